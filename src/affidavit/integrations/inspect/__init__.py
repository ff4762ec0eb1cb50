"""Inspect AI: the sandbox provider ``affidavit``, the hooks that belong to it, and a scorer.

Inspect finds it by the entry point group ``inspect_ai``. Needs a server (`affidavit serve`); see
``docs/integrations.md``.
"""

from affidavit.integrations.inspect.config import AffidavitConfig
from affidavit.integrations.inspect.hooks import AffidavitHooks
from affidavit.integrations.inspect.sandbox import AffidavitSandbox
from affidavit.integrations.inspect.scorer import affidavit_scorer

__all__ = ["AffidavitConfig", "AffidavitHooks", "AffidavitSandbox", "affidavit_scorer"]
