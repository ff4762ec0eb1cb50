"""The suite configuration in JSON under the one key ``evaluation_suite``, which users have already.

It is read, checked, and translated into the schema ``affidavit.suite/v1``; docs/suites.md says what becomes of each
field.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from affidavit.contracts import Action, Mode, Section, Version, check_endpoint
from affidavit.suites.document import SCHEMA, Collector, Method, check_writable


class _Isolation(Section):
    runtime: Literal["auto", "runc", "gvisor"] = "auto"
    network_policy: Literal["deny-all", "allow-list"] = "deny-all"
    allowed_endpoints: tuple[Annotated[str, AfterValidator(check_endpoint)], ...] = ()
    filesystem_policy: Literal["read-only-root"] = "read-only-root"
    writable_paths: tuple[Annotated[str, AfterValidator(check_writable)], ...] = ()


class _Telemetry(Section):
    collectors: tuple[Collector, ...] | None = None
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    anomaly_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    export_format: Literal["bundle", "otlp"] | None = None


class _Contracts(Section):
    versioning: Literal["semver"] = "semver"
    signature_algorithm: Literal["ed25519"] = "ed25519"
    enforcement_mode: Mode | None = None
    violation_actions: Annotated[tuple[Action, ...], Field(min_length=1)] | None = None


class _Validation(Section):
    methods: tuple[Method, ...] | None = None
    llm_judge_enabled: bool | None = None
    fallback_to_deterministic: bool | None = None


class _Suite(Section):
    version: Version
    tasks: tuple[str, ...] | None = None
    profile: str | None = None
    isolation: _Isolation = _Isolation()
    telemetry: _Telemetry = _Telemetry()
    contracts: _Contracts = _Contracts()
    validation: _Validation = _Validation()


# Where a field of the translation stands in the document.
_CALLED = {
    "isolation.network": "isolation.network_policy",
    "isolation.endpoints": "isolation.allowed_endpoints",
    "isolation.root": "isolation.filesystem_policy",
    "isolation.writable": "isolation.writable_paths",
    "recording.collectors": "telemetry.collectors",
    "retention.days": "telemetry.retention_days",
    "analysis.anomaly_threshold": "telemetry.anomaly_threshold",
    "export.format": "telemetry.export_format",
    "contracts.mode": "contracts.enforcement_mode",
    "contracts.actions": "contracts.violation_actions",
    "validation.model_judge": "validation.llm_judge_enabled",
}
_NETWORK = {"deny-all": "none", "allow-list": "allowlist", "read-only-root": "read-only"}


class EvaluationSuite(Section):
    """The document as it is written."""

    evaluation_suite: _Suite

    def translated(self, name: str) -> dict[str, Any]:
        """The same as plain values of the schema ``affidavit.suite/v1``.

        Args:
            name: of the suite, which the document does not say.
        """
        written = self.model_dump(mode="json", exclude_unset=True)["evaluation_suite"]
        value: dict[str, Any] = {"schema": SCHEMA, "id": name, "version": written["version"]}
        value |= {key: written[key] for key in ("tasks", "profile") if key in written}
        renamed = {old: new for new, old in _CALLED.items()}
        for section in ("isolation", "telemetry", "contracts", "validation"):
            for key, content in written.get(section, {}).items():
                place, _, last = renamed.get(f"{section}.{key}", f"{section}.{key}").partition(".")
                translated = _NETWORK.get(content, content) if isinstance(content, str) else content
                value.setdefault(place, {})[last] = translated
        return value


def by_own_names(said: Mapping[str, str]) -> dict[str, str]:
    """Sentences on fields of the translation, by the names that the document has for them."""
    return {_CALLED.get(field, field): text for field, text in said.items()}
