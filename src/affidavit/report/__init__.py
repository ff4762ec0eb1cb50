"""What people read: tables, trees and progress on a terminal."""

from affidavit.report.battery import print_battery
from affidavit.report.contracts import print_contract_diff, print_log, print_standing, print_trust
from affidavit.report.linting import print_lint
from affidavit.report.otlp import otlp_lines
from affidavit.report.profiles import print_profiles
from affidavit.report.quality import print_findings, print_reports
from affidavit.report.runs import plan_document, print_plan
from affidavit.report.terminal import (
    Progress,
    print_doctor,
    print_process_tree,
    print_run,
    print_table,
    print_verification,
    process_list,
)
from affidavit.report.text import printable

__all__ = [
    "Progress",
    "otlp_lines",
    "plan_document",
    "print_battery",
    "print_contract_diff",
    "print_doctor",
    "print_findings",
    "print_lint",
    "print_log",
    "print_plan",
    "print_process_tree",
    "print_profiles",
    "print_reports",
    "print_run",
    "print_standing",
    "print_table",
    "print_trust",
    "print_verification",
    "printable",
    "process_list",
]
