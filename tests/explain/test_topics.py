"""Everything that is printed under a name has an explanation."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import affidavit.recorder.ebpf.recording as ebpf
import affidavit.sandbox.available_runtimes as runtimes
from affidavit.authoring import lint
from affidavit.contracts import OPERATIONS, contract_of
from affidavit.explain import UnknownTopicError, explain, topics
from affidavit.quality import CHECKS
from affidavit.recorder.gvisor import recorder as gvisor
from affidavit.recorder.ptrace import recorder as ptrace
from affidavit.redteam import load_exploits
from affidavit.verification import Verdict, decide, grading_failed

SOURCE = Path(__file__).parents[2] / "src" / "affidavit"
GAPS = [
    *ebpf._GAPS,
    *gvisor.GAPS,
    *ptrace.GAPS,
    ptrace._EXECUTIONS_GAP,
    *runtimes._GVISOR_GAPS,
    runtimes._NO_FILTER,
    runtimes._NO_STATX,
    runtimes._NO_LOOP,
]


def test_ids_are_unique_and_everything_is_filled_in() -> None:
    ids = [topic.id for topic in topics()]
    assert len(ids) == len(set(ids))
    assert all(
        part.strip() for topic in topics() for part in (topic.title, topic.meaning, topic.why, topic.fix, topic.example)
    )


@pytest.mark.parametrize("gap", GAPS)
def test_every_gap(gap: str) -> None:
    assert explain(gap).kind == "gap"


def test_every_verdict_operation_and_exploit() -> None:
    assert {explain(verdict).kind for verdict in Verdict} == {"verdict"}
    assert {explain(f"operations.{name}").kind for name in OPERATIONS} == {"operation"}
    assert {explain(exploit.name).kind for exploit in load_exploits()} == {"exploit"}


def test_every_finding_of_the_grading() -> None:
    written = {
        name
        for path in (SOURCE / "grading").rglob("*.py")
        for name in re.findall(r'"(grading\.[a-z_]+)"', path.read_text())
    }
    assert len(written) >= 8
    assert {explain(name).kind for name in written} == {"finding"}


def test_every_section_of_a_contract() -> None:
    sections = {
        f"{section}.{name}"
        for section in ("files", "processes", "network", "syscalls", "limits", "model")
        for name in type(getattr(contract_of(MINIMAL, "here").document, section)).model_fields
        if name not in ("actions", "severity", "attempts")
    }
    assert {explain(section).kind for section in sections} == {"rule"}
    assert {explain(rule).id for rule in ("rules.tests-first", "scopes.build", "scopes.build.files.write")} == {
        "rules",
        "scopes",
    }


def test_every_check_of_a_task() -> None:
    lint_source = (SOURCE / "quality" / "lint.py").read_text()
    checks = {*CHECKS, *re.findall(r'Finding\(\s*"([a-z]+)"', lint_source)}
    assert {explain(f"check.{check}").kind for check in checks} == {"task check", "task lint"}


MINIMAL = {"schema": "affidavit.contract/v1", "id": "a", "version": "1.0.0"}
BAD = {
    **MINIMAL,
    "mode": "audit",
    "expires": "2020-01-01",
    "files": {"read": ["/**"], "write": ["/**", "/usr/**", "/workspace/caf\u00e9/**", "/a\u200b/**"]},
    "network": {"endpoints": ["github.com", "0.0.0.0/0:80", "169.254.169.254:80"]},
    "processes": {"exec": ["/bin/sh", "/usr/bin/python3*", "/workspace/**"]},
}


@pytest.mark.parametrize("document", [BAD, {**MINIMAL, "files": {"write": [], "deny": ["/x/**", "/x/y/**"]}}])
def test_every_finding_of_contract_lint(document: dict[str, object]) -> None:
    found = lint(contract_of(document, "here"), datetime(2026, 1, 1, tzinfo=UTC))
    assert len(found) >= 4
    assert {explain(finding.message).kind for finding in found} == {"contract lint"}


@pytest.mark.parametrize(
    ("sentence", "topic"),
    [
        ("the agent's record is incomplete: 12 events lost", "reason.incomplete-record"),
        (
            "the agent's record is incomplete: /workspace/a was created, which nothing in it explains",
            "reason.unexplained-change",
        ),
        (grading_failed("no space left on device"), "reason.grading-failed"),
        (decide("strict", (), None, ()).reasons[0], None),
        ("grader lint gave 0.2, and below 0.5 the whole score is 0", "reason.gate-closed"),
        ("the grader's record does not show who wrote the reward", "reason.unseen-reward"),
    ],
)
def test_reasons_of_a_verdict(sentence: str, topic: str | None) -> None:
    if topic is None:
        with pytest.raises(UnknownTopicError):
            explain(sentence)
    else:
        assert explain(sentence).id == topic


def test_what_is_not_known_names_what_is_spelled_like_it() -> None:
    with pytest.raises(UnknownTopicError, match=r"nothing is known of 'files.rite'; did you mean files.write"):
        explain("files.rite")
