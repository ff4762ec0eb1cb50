"""Which hosts an agent can reach."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.contracts import contract_of, default_contract
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.planning import contract_under
from affidavit.evaluation.reach import reach_of
from affidavit.evaluation.run_policy import AccessTerms, Terms
from affidavit.gateway import read_allowed
from affidavit.tasks import Task, load_task

Make = Callable[..., Path]


def reach(task: Task, permitted: list[str] | None, terms: Terms) -> tuple[str, ...]:
    """What can be reached under a contract; None: the default one."""
    if permitted is None:
        contract = contract_under(terms, task, default_contract(task))
    else:
        network = {"endpoints": permitted}
        contract = contract_of(
            {"schema": "affidavit.contract/v1", "id": "x", "version": "1.0.0", "network": network}, "x"
        )
    found = reach_of(task, contract, terms)
    return () if found is None else found.endpoints


def listing(task: Make, *hosts: str) -> Task:
    text = f'version = "1.0"\n[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = {[*hosts]}\n'
    return load_task(task(files={"task.toml": text + '[affidavit]\nrootfs = "host"\n'}))


ALLOW = read_allowed(["a.x:443", "b.x=10.0.0.1"])


@pytest.mark.parametrize(
    ("permitted", "terms", "found"),
    [
        (["a.x"], {}, ()),
        (["a.x"], {"endpoints": ("a.x",)}, ()),
        (["a.x"], {"network": "allowlist"}, ("a.x",)),
        (["a.x:443", "10.0.0.0/8"], {"network": "allowlist", "endpoints": ("*.x",)}, ("a.x:443",)),
        (["c.x"], {"network": "allowlist", "endpoints": ("a.x",)}, ()),
        (["*.x"], {"network": "allowlist", "allowed": ALLOW}, ("a.x:443", "b.x")),
        (None, {"network": "allowlist", "allowed": ALLOW}, ("a.x:443", "b.x")),
        (None, {"network": "allowlist", "endpoints": ("c.x",), "allowed": ALLOW}, ("c.x", "a.x:443", "b.x")),
        (None, {"network": "none", "endpoints": ("c.x",), "allowed": ALLOW}, ()),
        (None, {"network": "allowlist"}, ()),
    ],
)
def test_lists_are_bounded_by_the_contract(
    task: Make, permitted: list[str] | None, terms: dict[str, Any], found: tuple[str, ...]
) -> None:
    assert reach(load_task(task()), permitted, Terms(access=AccessTerms(**terms))) == found


def test_a_task_lists_hosts_of_its_own(task: Make) -> None:
    assert reach(listing(task, "a.x"), None, Terms()) == ("a.x",)
    assert reach(listing(task, "a.x"), ["a.x:443"], Terms()) == ("a.x:443",)
    assert reach(listing(task, "a.x"), None, Terms(access=AccessTerms(network="none"))) == ()


def test_only_the_user_says_where_a_host_is(task: Make) -> None:
    plain = load_task(task())
    terms = Terms(access=AccessTerms(network="allowlist", allowed=ALLOW))
    found = reach_of(plain, contract_under(terms, plain, default_contract(plain)), terms)
    assert found is not None
    assert found.addresses == {"b.x": "10.0.0.1"}


@pytest.mark.parametrize("host", ["https://a.x", "a.x:99999", "a b"])
def test_what_is_no_host_is_an_error_that_names_the_file(task: Make, host: str) -> None:
    with pytest.raises(RunError, match=r"task\.toml: allowed_hosts: "):
        reach(listing(task, host), None, Terms())


def test_a_port_that_can_not_be_had_is_an_error_before_the_run(task: Make) -> None:
    with pytest.raises(RunError, match="port 8080 of a sandbox is Affidavit's own"):
        reach(listing(task, "a.x:8080"), None, Terms())
