"""Reporting violations: webhooks, commands, notification services.

The destinations of alerts are set on the run's side only (``--alert``, ``--alerts``), never by a contract or a suite
file: those may come from a stranger, who must not run commands or make requests on the evaluator's machine. An alert
never blocks a run and never changes a verdict; what could not be delivered is reported at the end.
"""

from affidavit.alerts.destinations import AlertError, Command, DeliveryError, Destination, Service, Webhook
from affidavit.alerts.dispatch import Alerts, Undelivered
from affidavit.alerts.reading import read_destination, read_destinations

__all__ = [
    "AlertError",
    "Alerts",
    "Command",
    "DeliveryError",
    "Destination",
    "Service",
    "Undelivered",
    "Webhook",
    "read_destination",
    "read_destinations",
]
