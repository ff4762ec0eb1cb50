"""Exploit agents, played against a suite, and the plain outcome grading that they are made for."""

from affidavit.redteam.battery import BatteryResult, Play, outcome_of, play_battery
from affidavit.redteam.briefing import Briefing, brief
from affidavit.redteam.exploit import FLAWS, Exploit, load_exploits
from affidavit.redteam.layers import Layer, stopping_layers
from affidavit.redteam.outcome import outcome_score
from affidavit.redteam.scripts import write_scripts

__all__ = [
    "FLAWS",
    "BatteryResult",
    "Briefing",
    "Exploit",
    "Layer",
    "Play",
    "brief",
    "load_exploits",
    "outcome_of",
    "outcome_score",
    "play_battery",
    "stopping_layers",
    "write_scripts",
]
