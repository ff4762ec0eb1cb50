"""Telling somebody of violations: webhooks, commands, notification services.

Who is told is said on the run's side only (``--alert``, ``--alerts``), never by a contract or a suite file: those may
be a stranger's, who must not have commands run, or requests made, on the evaluator's machine. Whatever becomes of an
alert, it never blocks a run and never changes a verdict; what could not be delivered is said at the end.
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
