"""What people read: reports, tables, trees and progress."""

from affidavit.report.battery import print_battery, print_scripts
from affidavit.report.behaviour import read_behaviour
from affidavit.report.comparison import Comparison, Comparisons, compare, report_json
from affidavit.report.comparison_text import print_comparison
from affidavit.report.contracts import print_contract_diff, print_log, print_standing, print_trust
from affidavit.report.explanation import print_topic, print_topics
from affidavit.report.figures import Report, make_report
from affidavit.report.html import write_comparison, write_page, write_pages
from affidavit.report.junit import junit_text
from affidavit.report.linting import print_lint
from affidavit.report.live import LiveReport, serve
from affidavit.report.otlp import otlp_lines, otlp_spans, published_graders
from affidavit.report.overview import print_report
from affidavit.report.plans import plan_document, print_plan
from affidavit.report.predictions import PredictionFile, make_predictions
from affidavit.report.prices import read_prices
from affidavit.report.profiles import print_profiles
from affidavit.report.quality import print_findings, print_reports
from affidavit.report.runs import ReportError, find_bundles, read_run, read_runs
from affidavit.report.sarif import sarif_text
from affidavit.report.tables import csv_text
from affidavit.report.terminal import (
    Progress,
    print_agents,
    print_doctor,
    print_process_tree,
    print_reproduction,
    print_run,
    print_table,
    print_verification,
    process_list,
)
from affidavit.report.text import printable
from affidavit.report.turns import print_turn, print_why, turn_facts, why_facts
from affidavit.report.verified import verify_runs
from affidavit.report.workers import shared

__all__ = [
    "Comparison",
    "Comparisons",
    "LiveReport",
    "PredictionFile",
    "Progress",
    "Report",
    "ReportError",
    "compare",
    "csv_text",
    "find_bundles",
    "junit_text",
    "make_predictions",
    "make_report",
    "otlp_lines",
    "otlp_spans",
    "plan_document",
    "print_agents",
    "print_battery",
    "print_comparison",
    "print_contract_diff",
    "print_doctor",
    "print_findings",
    "print_lint",
    "print_log",
    "print_plan",
    "print_process_tree",
    "print_profiles",
    "print_report",
    "print_reports",
    "print_reproduction",
    "print_run",
    "print_scripts",
    "print_standing",
    "print_table",
    "print_topic",
    "print_topics",
    "print_trust",
    "print_turn",
    "print_verification",
    "print_why",
    "printable",
    "process_list",
    "published_graders",
    "read_behaviour",
    "read_prices",
    "read_run",
    "read_runs",
    "report_json",
    "sarif_text",
    "serve",
    "shared",
    "turn_facts",
    "verify_runs",
    "why_facts",
    "write_comparison",
    "write_page",
    "write_pages",
]
