"""Harbor: an environment, a verifier, the job plug-in that belongs to them, and scripted agents.

Harbor takes them by import path; see ``docs/integrations.md``. Needs a server (`affidavit serve`).
"""

from affidavit.integrations.harbor.agents import Oracle, Script
from affidavit.integrations.harbor.environment import Environment
from affidavit.integrations.harbor.plugin import Plugin
from affidavit.integrations.harbor.verifier import Verifier

__all__ = ["Environment", "Oracle", "Plugin", "Script", "Verifier"]
