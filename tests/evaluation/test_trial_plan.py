"""A trial's plan is the same after it was written as JSON and read."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.agents import built_in_agents
from affidavit.contracts import (
    Contract,
    ContractSource,
    contract_of,
    load_contract,
    publish_contract,
    sign_contract,
    signature_path,
)
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.run_policy import Terms, terms_of
from affidavit.evaluation.trial_plan import Backends, PlanIdentity, RunSettings, TrialPlan
from affidavit.gateway import NO_HOSTS, EgressSettings, GatewaySettings, Price, Upstream
from affidavit.runs import PlannedTrial
from affidavit.sandbox import RootFilesystem, User
from affidavit.signing import Trust, TrustDocument, canonical_json, load_or_make_key
from affidavit.suites import PROFILES
from affidavit.tasks import DeclaredContract, GraderSpec, PublishedContract, Scoring, Task, load_task
from harness import write_task

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True)
PATHS = NAMES.map(lambda name: Path("/srv") / name)
# What tomllib returns.
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SCALARS = (
    TEXT
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.dates()
    | st.times().map(lambda when: when.replace(fold=0))
    | st.datetimes(timezones=st.none() | OFFSETS).map(lambda when: when.replace(fold=0))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
SPECS = st.builds(
    GraderSpec,
    kind=NAMES,
    name=NAMES,
    weight=st.floats(0, 10),
    gate=st.none() | st.floats(0.1, 1),
    settings=st.dictionaries(TEXT, VALUES, max_size=4),
)
ROOTS = st.builds(
    RootFilesystem,
    layers=st.lists(PATHS, max_size=3).map(tuple),
    host_usr=st.booleans(),
    digest=TEXT,
    user=st.builds(User, st.integers(0, 65535), st.integers(0, 65535), NAMES, TEXT),
    env=st.dictionaries(NAMES, TEXT, max_size=3),
    workdir=st.none() | TEXT,
)
MODELS = st.builds(
    GatewaySettings,
    mode=st.sampled_from(["live", "script"]),
    models=st.lists(NAMES, min_size=1, max_size=2).map(tuple),
    upstreams=st.just({"openai": Upstream("https://models.example", "sk-secret")}),
    script=st.lists(st.dictionaries(NAMES, TEXT | st.none(), max_size=2), max_size=2).map(tuple),
    prices=st.dictionaries(NAMES, st.builds(Price, st.floats(0, 9), st.floats(0, 9)), max_size=2),
)
KEYS = {"openai": "sk-secret"}


@cache
def tiny() -> Task:
    with TemporaryDirectory() as folder:
        return load_task(write_task(Path(folder) / "tiny"))


@cache
def terms(profile: str | None) -> Terms:
    return terms_of(None, profile, None, None, None)


@cache
def defined_agents() -> tuple[Agent, ...]:
    return tuple(Agent.defined(one) for one in built_in_agents().values())


@st.composite
def plans(draw: st.DrawFn) -> TrialPlan:
    profile = draw(st.none() | st.sampled_from(PROFILES))
    hosts = EgressSettings(("pypi.org:443",), {"pypi.org": "10.0.0.1"}) if draw(st.booleans()) else NO_HOSTS
    base = terms(profile)
    run = RunSettings(
        draw(NAMES),
        draw(PATHS),
        Backends("runc", "ebpf", draw(TEXT), draw(TEXT)),
        PlanIdentity(draw(TEXT), draw(TEXT)),
        replace(base, trials=draw(st.integers(1, 9)), access=replace(base.access, allowed=hosts)),
        draw(st.none() | MODELS),
        draw(st.none() | st.just(()) | st.just(("10.0.0.2:80",))),
    )
    environment = replace(tiny().environment, env=draw(st.dictionaries(NAMES, TEXT)))
    scoring = Scoring(draw(st.lists(SPECS, max_size=3).map(tuple)))
    task = replace(tiny(), environment=environment, scoring=scoring)
    if draw(st.booleans()):
        task = replace(task, grading=replace(task, environment=replace(environment, workdir=draw(TEXT))))
    agents = [Agent("cmd", draw(TEXT)), *defined_agents()]
    trial = PlannedTrial(draw(TEXT), task.id, draw(TEXT), "cmd", draw(st.integers(0, 99)), draw(NAMES), 7)
    head = {"schema": "affidavit.contract/v1", "id": draw(NAMES), "version": "1.0.0"}
    contract = contract_of({**head, "files": {"write": ["/workspace/**"]}}, "contract")
    return TrialPlan(run, trial, task, draw(st.sampled_from(agents)), contract, draw(ROOTS), draw(st.none() | ROOTS))


@given(plans())
@settings(max_examples=25, deadline=None)
def test_written_and_read(plan: TrialPlan) -> None:
    data = plan.to_json()
    assert b"sk-secret" not in data
    read = TrialPlan.from_json(data, KEYS)
    assert read == plan
    # A date is not a date with a time, and 1 is neither 1.0 nor true; == does not tell all of them apart.
    assert repr(read.task.scoring.graders) == repr(plan.task.scoring.graders)
    assert read.contract.digest == plan.contract.digest
    assert read.to_json() == data


def test_a_published_contract(at_home: None, tmp_path: Path, task: Callable[..., Path]) -> None:
    """Its signatures, what they are worth and its proof are in the plan."""
    key, _ = load_or_make_key(tmp_path / "keys")
    folder = task("published", contract={"files": {"write": ["/workspace/**"]}})
    document = load_contract(folder / "contract.yaml").document
    signature_path(folder / "contract.yaml").write_bytes(canonical_json(sign_contract(document, key, None).to_json()))
    trust = Trust.start(TrustDocument.of([key.public]), key)
    publish_contract(str(tmp_path / "registry"), load_contract(folder / "contract.yaml"), key, trust)
    named = PublishedContract(f"{document.id}@{document.version}", str(tmp_path / "registry"), allowed=True)
    plain = load_task(folder)
    contract = ContractSource(trust=trust).contract_for(replace(plain, contract=DeclaredContract(published=named)))
    assert contract.publication is not None
    assert contract.signed_by == key.key_id
    read = TrialPlan.from_json(plan_of(plain, contract).to_json())
    assert read.contract == contract
    assert read.contract.signed_by == key.key_id


def plan_of(task: Task, contract: Contract) -> TrialPlan:
    run = RunSettings("run", Path("/runs/run"), Backends("runc", "ebpf"), PlanIdentity("sha256:0", "0"))
    trial = PlannedTrial("tiny/nop/0", task.id, "sha256:1", "nop", 0, "tiny/0", 7)
    return TrialPlan(run, trial, task, Agent.named("nop"), contract, RootFilesystem((), True, "", User(1, 1, "a", "/")))


def _changed(plan: Any, *place: str | int, to: Any) -> bytes:
    value = plan
    for part in place[:-1]:
        value = value[part]
    value[place[-1]] = to
    return json.dumps(plan).encode()


def test_every_kind_of_setting(task: Callable[..., Path]) -> None:
    plain = load_task(task())
    values = {"date": date(2026, 1, 2), "time": time(3, 4), "moment": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)}
    spec = GraderSpec("value", "value", settings={**values, "list": [1, 1.0, True, -math.inf, {"deep": ["date", "x"]}]})
    plan = plan_of(replace(plain, scoring=Scoring((spec,))), ContractSource().contract_for(plain))
    read = TrialPlan.from_json(plan.to_json())
    assert repr(read.task.scoring.graders) == repr(plan.task.scoring.graders)


def test_what_is_no_plan(task: Callable[..., Path]) -> None:
    folder = task()
    plan = plan_of(load_task(folder), ContractSource().contract_for(load_task(folder)))
    broken = replace(plan, agent=Agent("cmd", "echo \udcff"))
    with pytest.raises(RunError, match="can't be written as JSON"):
        broken.to_json()
    for place, value, says in (
        (("format",), "affidavit.trial-plan/v2", "format"),
        (("more",), 1, "more"),
        (("trial", "number"), "first", "trial.number"),
        (("contract", "signature"), {"payload": 1}, "trial plan: "),
        (("task", "scoring", "graders", 0, "settings"), {"expected": ["pickle", "x"]}, "a grader's setting"),
    ):
        with pytest.raises(RunError, match=says):
            TrialPlan.from_json(_changed(json.loads(plan.to_json()), *place, to=value))
    with pytest.raises(RunError, match="trial plan: "):
        TrialPlan.from_json(b"{")
