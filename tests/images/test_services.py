"""Tasks with services beside the agent, from their compose file to their verdict."""

import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from making import folder, layer, member, programs_layer, push, write_image

from affidavit.evaluation import RunError, clean_workplaces, reproduce
from affidavit.sandbox import clean_stale
from affidavit.signing import new_key
from harness import EBPF, Command, Home, Outcome, Trials, Way, at_work, leftovers, wait_for
from web_site import HOST, Site

AUTO = Way("auto", "auto")
SERVER = Path(__file__).with_name("sum_server.c")
COMPOSE = """
services:
  first:
    image: HOST/sum
    command: [sh, -c, 'sleep 0.2; echo ready >/seed/ready']
    volumes: [seed:/seed]
  sum:
    image: HOST/sum
    command: [sh, -c, 'cat /seed/ready /etc/sum.conf && exec /server 80 /var/log/sum/log']
    depends_on: {first: {condition: service_completed_successfully}}
    volumes: [log:/var/log/sum, seed:/seed:ro, './sum.conf:/etc/sum.conf:ro']
    healthcheck: {test: [CMD, bash, -c, 'exec 3<>/dev/tcp/127.0.0.1/80'], interval: 100ms}
  relay:
    image: HOST/sum
    command: ['/bin/bash', -c, 'exec 3<>/dev/tcp/adder/80 && echo add 2 >&3 && read -r _ <&3; exec sleep 600']
    depends_on: {sum: {condition: service_healthy}}
    networks: [back]
  main:
    environment: {SUM: sum}
    volumes: [log:/srv/log:ro]
    depends_on: {sum: {condition: service_healthy}}
networks: {back: }
volumes: {log: , seed: }
""".replace("    healthcheck: {test", "    networks: {default: , back: {aliases: [adder]}}\n    healthcheck: {test")
ASK = "exec 3<>/dev/tcp/$SUM/80 && echo {} >&3 && read -r n <&3\n"
# It was 2 before the agent came, by another service.
TEST = ASK.format("get") + (
    '[ "$n" = 42 ] && grep -q "add 40" /srv/log/log && reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n'
)
SOLVE = ASK.format("add 40")
# That they run apart is asked for in vain.
ONE_RUN = 'control = false\n[[affidavit.graders]]\nkind = "test_run"\nseparate = true\n'
# A service may be an MCP server, which can be reached then.
MCP = '[[environment.mcp_servers]]\nname = "sums"\ntransport = "streamable-http"\nurl = "http://sum/mcp"\n'
IN_CONFIG = r'grep -q "http://sum/mcp" "$AFFIDAVIT_MCP_CONFIG"'


@pytest.fixture
def with_services(host: str, task: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a task whose agent works beside a service that keeps a sum, in its memory and in a log."""
    if shutil.which("cc") is None:
        pytest.skip("cc: not installed")
    server = tmp_path / "server"
    subprocess.run(["cc", "-static", "-O1", "-o", str(server), str(SERVER)], check=True)
    write_image(tmp_path / "image", programs_layer(), layer(folder("seed"), member("server", server.read_bytes())))
    push(tmp_path / "image", f"{host}/sum")

    def make(compose: str = COMPOSE, **content: object) -> Path:
        files = {"environment/docker-compose.yaml": compose.replace("HOST", host), "environment/sum.conf": "plain\n"}
        return task(**{"test": TEST, "solve": None, "files": files, "graders": ONE_RUN, **content})

    return make


def in_bash(script: str) -> str:
    return f"exec bash -c {shlex.quote(script)}"


def services_of(outcome: Outcome) -> set[str]:
    return {path.parent.name for path in outcome.bundle.glob("service-*/summary.json")}


def test_services_from_the_agent_to_the_grading(
    affidavit: Command, trials: Trials, with_services: Callable[..., Path]
) -> None:
    solved = trials(AUTO, with_services(graders=f"{ONE_RUN}{MCP}"), in_bash(f"{IN_CONFIG} && {SOLVE}"))
    assert (solved.verdict, solved.score) == ("pass", 1.0), solved.reasons
    assert not [note for note in solved.notes if "MCP" in note]
    # Whatever grades may find there what another grading has left.
    assert solved.trial.judgement.assurance == "outcome"
    assert services_of(solved) == {"service-first", "service-sum", "service-relay"}
    network = solved.json("agent/network.json")
    assert [(one["name"], one["port"], one["outcome"]) for one in network["connections"]] == [("sum", 80, "passed")]
    assert {"sum"} <= {event["path2"] for event in solved.events() if event["op"] == "connect"}
    (between,) = solved.json("service-relay/network.json")["connections"]
    assert (between["name"], between["outcome"]) == ("adder", "passed")
    assert "add 40" not in {event["path"] for event in solved.events("service-sum")}
    learned = affidavit("contract", "learn", solved.bundle)
    assert 'network:\n  endpoints:\n    - "sum:80"  # 1 connection, run 1\n' in learned.out, learned.err


# What the service has at its start is there again; what the agent has added is not.
@pytest.mark.parametrize(("agent", "wanted", "reproduced"), [("true", 2, True), (SOLVE, 42, False)])
def test_a_bundle_is_graded_again_beside_new_services(
    trials: Trials, with_services: Callable[..., Path], tmp_path: Path, agent: str, wanted: int, reproduced: bool
) -> None:
    folder = with_services(test=TEST.replace("= 42", f"= {wanted}").replace("add 40", "add"))
    outcome = trials(EBPF, folder, in_bash(f"{agent}\ntrue"))
    assert outcome.score == 1.0, outcome.reasons
    result = reproduce(outcome.bundle, folder, None, new_key(tmp_path / "other"))
    assert result.ok == reproduced, result.differences
    if result.facts is None:
        score, why = result.differences[0], result.differences[-1]
        assert score == "grader test_run: score: signed 1.0, here 0.0"
        assert why == "the services were new ones: what the agent changed in the trial's is not in the bundle"
    else:
        assert result.facts.new_services


def test_tests_that_download_reach_services(
    affidavit: Command, trials: Trials, with_services: Callable[..., Path], site: Site
) -> None:
    # What goes to a service does not go to the cache, which would not have it.
    download = f"curl -fsS http://{site.address}/expected -o /tmp/expected || exit 0\ncurl -s http://$SUM/\n"
    folder = with_services(test=download + TEST.replace("= 42", '= "$(cat /tmp/expected)"'), solve=SOLVE)
    warmed = affidavit("task", "warm", folder, "--allow", HOST)
    assert warmed.status == 0, warmed
    site.shut()
    solved = trials(AUTO, folder, in_bash(SOLVE))
    assert (solved.verdict, solved.score) == ("pass", 1.0), solved.reasons


def test_what_an_agent_cannot_do_to_services(trials: Trials, with_services: Callable[..., Path]) -> None:
    cheat = (
        "grep ' /srv/log ' /proc/self/mountinfo; echo add 40 >>/srv/log/log; "
        "exec 3<>/dev/tcp/relay/80; exec 3<>/dev/tcp/first/80; exit 0"
    )
    outcome = trials(EBPF, with_services(), in_bash(cheat))
    assert outcome.score == 0.0
    assert " /srv/log ro," in outcome.text("agent/stdout")
    assert "relay: Name or service not known" in outcome.text("agent/stderr")
    assert not [one for one in outcome.json("agent/network.json")["connections"] if one["outcome"] == "passed"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "'sleep 0.2; echo ready >/seed/ready'",
            "'echo no seed >&2; exit 3'",
            r"services\.first: ended with exit status 3: no seed",
        ),
        (
            "127.0.0.1/80'], interval",
            "127.0.0.1/81'], retries: 1, interval",
            r"healthcheck of the service sum: .* did not become healthy",
        ),
    ],
)
def test_services_that_do_not_begin(
    trials: Trials, with_services: Callable[..., Path], old: str, new: str, message: str
) -> None:
    outcome = trials(EBPF, with_services(COMPOSE.replace(old, new)), "true")
    assert (outcome.verdict, outcome.score) == ("error", None)
    assert re.search(message, outcome.reasons), outcome.reasons


FILES = """
services:
  keeper:
    x-affidavit-rootfs: host
    command: [bash, -c, 'echo 1 >/srv/own; echo 1 >/data/one; ln -s /etc /data/out; touch /ready; exec sleep 600']
    volumes: [data:/data]
    healthcheck: {test: [CMD, test, -e, /ready], interval: 50ms}
  main:
    volumes: [data:/shared]
    depends_on: {keeper: {condition: service_healthy}}
volumes: {data: }
"""
FILE_CHECKS = """
[[affidavit.graders]]
kind = "state_diff"
checks = [
  { type = "file", path = "/services/keeper/srv/own", equals = "1", may_be_unchanged = true },
  { type = "file", path = "/services/keeper/data/one", equals = "2", may_be_unchanged = true },
  { type = "file", path = "/services/keeper/data/out", target = "/etc", may_be_unchanged = true },
  { type = "file", path = "/services/keeper/data/out/passwd", exists = false, may_be_unchanged = true },
  { type = "file", path = "/services/keeper/gone", exists = false, may_be_unchanged = true },
]
"""


def test_graders_see_files_of_services_and_not_what_an_agent_puts_there(
    trials: Trials, task: Callable[..., Path]
) -> None:
    folder = task(
        test="", solve=None, graders=FILE_CHECKS, files={"environment/docker-compose.yaml": FILES}, storage_mb=64
    )
    asked = ("/srv/own", "/srv", "/data/out/passwd", "/data", "/gone")
    rows = ", ".join(f'{{source = "{path}", service = "keeper"}}' for path in asked)
    settings = folder / "task.toml"
    as_root = settings.read_text().replace("[agent]\n", '[agent]\nuser = "root"\n')
    settings.write_text(f"artifacts = [{rows}]\n{as_root}")
    plant = "echo 2 >/shared/one; mkdir -p /services/keeper/srv; echo 1 >/services/keeper/gone; "
    outcome = trials(EBPF, folder, plant + "echo 3 >/services/keeper/srv/own && echo planted")
    assert outcome.text("agent/stdout") == "planted\n"
    assert (outcome.verdict, outcome.score) == ("pass", 1.0), outcome.json("grade.json")
    settings.write_text(settings.read_text().replace('"keeper"', '"kepper"', 1))
    with pytest.raises(RunError, match=r"task\.toml: artifacts names the service 'kepper', which .*compose\.yaml does"):
        trials(EBPF, folder)


@pytest.mark.usefixtures("nothing_left")
def test_a_killed_run_leaves_no_volume(
    affidavit: Command, at_home: Home, with_services: Callable[..., Path], tmp_path: Path
) -> None:
    folder = with_services()
    run = affidavit.start("run", folder, "--agent-cmd", in_bash(": >/workspace/started; sleep 60"))
    wait_for(lambda: at_work(at_home.state) or run.poll() is not None, 120)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    # What cleans up must have something to do.
    assert [one for one in leftovers(at_home.state, tmp_path) if re.search(r"^mount .*/trials/.*/volumes$", one)]
    clean_stale(at_home.state)
    clean_workplaces(at_home.state)


def test_what_is_refused_before_a_trial(trials: Trials, with_services: Callable[..., Path]) -> None:
    task = with_services(COMPOSE.replace("    image: HOST/sum\n", "    image: HOST/sum\n    privileged: true\n", 1))
    with pytest.raises(RunError, match=r"docker-compose\.yaml:5:5: services\.first\.privileged: is refused"):
        trials(EBPF, task)
