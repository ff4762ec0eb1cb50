"""What people read: tables, trees and progress on a terminal."""

from affidavit.report.contracts import print_contract_diff, print_log, print_standing, print_trust
from affidavit.report.linting import print_lint
from affidavit.report.otlp import otlp_lines
from affidavit.report.profiles import print_profiles
from affidavit.report.terminal import (
    Progress,
    print_agents,
    print_doctor,
    print_process_tree,
    print_run,
    print_table,
    print_verification,
    process_list,
)
from affidavit.report.text import printable
from affidavit.report.turns import print_turn, print_why, turn_facts, why_facts

__all__ = [
    "Progress",
    "otlp_lines",
    "print_agents",
    "print_contract_diff",
    "print_doctor",
    "print_lint",
    "print_log",
    "print_process_tree",
    "print_profiles",
    "print_run",
    "print_standing",
    "print_table",
    "print_trust",
    "print_turn",
    "print_verification",
    "print_why",
    "printable",
    "process_list",
    "turn_facts",
    "why_facts",
]
