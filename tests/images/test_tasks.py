"""Tasks whose image is built or pulled, from their folder to their verdict."""

from collections.abc import Callable
from pathlib import Path

import pytest
from making import folder, layer, programs_layer, push, write_image

from affidavit.evaluation import Agent, RunError, load_tasks, with_images, with_known_workdirs
from affidavit.images import ImageStore
from affidavit.tasks import TaskUser
from harness import EBPF, Command, Home, Trials, Way

AUTO = Way("auto", "auto")
TOML = 'version = "1.0"\n[agent]\ntimeout_sec = 60\n{agent}[verifier]\ntimeout_sec = 60\n[environment]\n{environment}'
TEST = '#!/bin/bash\n[ "$(cat answer)" = "$WANTED" ] && reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n'


@pytest.fixture
def image_task(tmp_path: Path) -> Callable[..., Path]:
    """Makes a task folder whose solution writes what its tests want: the value of the image's variable WANTED."""

    def make(
        dockerfile: str = "", *, environment: str = "", agent: str = "", files: dict[str, str] | None = None
    ) -> Path:
        task = tmp_path / "task"
        content = {
            "task.toml": TOML.format(agent=agent, environment=environment),
            "instruction.md": "Write the right word into answer.\n",
            "tests/test.sh": TEST,
            "solution/solve.sh": '#!/bin/bash\necho "$WANTED" >answer\n',
            **({"environment/Dockerfile": dockerfile} if dockerfile else {}),
            **(files or {}),
        }
        for name, text in content.items():
            (task / name).parent.mkdir(parents=True, exist_ok=True)
            (task / name).write_text(text)
        return task

    return make


def test_a_dockerfile_becomes_a_trial(host: str, way: Way, trials: Trials, image_task: Callable[..., Path]) -> None:
    task = image_task(
        f"FROM {host}/base\nENV WANTED=sesame\nRUN mkdir -p /srv/app && chown 33:50 /srv/app\n"
        "WORKDIR /srv/app\nUSER web\n"
    )
    solved = trials(way, task)
    assert (solved.verdict, solved.score) == ("pass", 1.0), solved.reasons
    idle = trials(way, task, Agent.named("nop"))
    assert (idle.verdict, idle.score) == ("fail", 0.0), idle.reasons
    # What tasks made for Docker expect, where it can be had.
    container = (way.runtime, way.recorder) == ("runc", "ebpf")
    assert solved.json("task.json")["profile"] == ("container" if container else "strict")
    assert any("can't hold the profile container" in note for note in solved.notes) != container


def test_an_image_of_a_registry(
    host: str, at_home: Home, trials: Trials, tmp_path: Path, image_task: Callable[..., Path]
) -> None:
    write_image(
        tmp_path / "i", programs_layer(), layer(folder("app")), config={"WorkingDir": "/app", "Env": ["WANTED=x"]}
    )
    push(tmp_path / "i", f"{host}/ready:1")
    task = image_task("FROM nothing-here\n", environment=f'docker_image = "{host}/ready:1"\n')
    solved = trials(AUTO, task)
    assert (solved.verdict, solved.score) == ("pass", 1.0), solved.reasons
    names = [image.name for image in ImageStore(at_home.state).images()]
    assert f"{host}/ready:1" in names


@pytest.mark.parametrize(
    ("own", "asked", "user"),
    [
        ("", "", TaskUser(0, 0, "root", "/root")),
        ("web", "", TaskUser(33, 50, "web", "/srv/web")),
        ("33", "", TaskUser(33, 50, "web", "/srv/web")),
        ("web:staff", "", TaskUser(33, 60, "web", "/srv/web")),
        ("4321:7", "", TaskUser(4321, 7, "4321", "/home/agent")),
        ("web", 'user = "root"\n', TaskUser(0, 0, "root", "/root")),
        ("", 'user = "web"\n', TaskUser(33, 50, "web", "/srv/web")),
        ("", "user = 33\n", TaskUser(33, 50, "web", "/srv/web")),
    ],
)
def test_users(
    host: str, tmp_path: Path, image_task: Callable[..., Path], at_home: Home, own: str, asked: str, user: TaskUser
) -> None:
    name = f"{host}/user:{'x' + own.replace(':', '-')}"
    write_image(tmp_path / "i", programs_layer(), config={"User": own} if own else {})
    push(tmp_path / "i", name)
    task = image_task(environment=f'docker_image = "{name}"\n', agent=asked)
    (found,) = with_images(load_tasks(task)[0], at_home.state)
    assert found.environment.user == user
    assert found.environment.workdir == "/"


def test_a_user_that_the_image_does_not_have(host: str, at_home: Home, image_task: Callable[..., Path]) -> None:
    task = image_task(environment=f'docker_image = "{host}/base"\n', agent='user = "somebody"\n')
    with pytest.raises(RunError, match=r"task: .*/base:latest: the image's user 'somebody' is not in its /etc/passwd"):
        with_images(load_tasks(task)[0], at_home.state)


def test_a_contract_is_learned_from_runs_on_an_image(
    host: str, trials: Trials, affidavit: Command, image_task: Callable[..., Path]
) -> None:
    task = image_task(
        f"FROM {host}/base\nENV WANTED=x\nWORKDIR /app\nHEALTHCHECK --interval=100ms CMD touch /var/checked\n"
    )
    honest = "echo x >answer; echo 1 >/etc/mine"
    first = trials(EBPF, task, honest)
    assert first.verdict == "pass", first.reasons
    learned = affidavit("contract", "learn", first.bundle, "--out", task / "contract.yaml")
    assert learned.status == 0, learned.err
    text = (task / "contract.yaml").read_text()
    assert '- "/etc/mine"  # 1 event, run 1\n' in text
    # What the harness did is nothing that the agent may do.
    assert "/var/checked" not in text
    assert trials(EBPF, task, honest).verdict == "pass"
    assert trials(EBPF, task, f"{honest}; echo 1 >/etc/other").rules == {"files.write"}


def test_an_entrypoint_runs_beside_the_agent(host: str, trials: Trials, image_task: Callable[..., Path]) -> None:
    task = image_task(
        f'FROM {host}/base\nENV WANTED=x\nWORKDIR /app\nCOPY --chmod=755 start /start\nENTRYPOINT ["/start"]\n',
        files={
            "environment/start": '#!/bin/bash\necho ready >/tmp/ready\nexec "$@"\n',
            "solution/solve.sh": "#!/bin/bash\nuntil [ -e /tmp/ready ]; do sleep 0.1; done\ncat /tmp/ready >answer\n",
            "tests/test.sh": "#!/bin/bash\nuntil [ -e /tmp/ready ]; do sleep 0.1; done\n"
            '[ "$(cat answer)" = ready ] && reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n',
        },
    )
    solved = trials(AUTO, task)
    assert solved.score == 1.0, solved.reasons


STARTS = """#!/bin/bash
(sleep 0.3; echo ready >/app/ready) &
exec "$@"
"""


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ("--interval=100ms CMD [ -s /app/ready ]", "pass"),
        ('--interval=100ms --retries=1 CMD ["grep", "ready", "/app/gone"]', "error"),
        ("NONE", "fail"),
    ],
)
def test_the_check_of_an_image(
    host: str, trials: Trials, image_task: Callable[..., Path], check: str, verdict: str
) -> None:
    # The image's entrypoint takes a while, and the agent would not wait for it.
    task = image_task(
        f"FROM {host}/base\nENV WANTED=ready\nWORKDIR /app\nCOPY --chmod=755 start /start\n"
        f'ENTRYPOINT ["/start"]\nHEALTHCHECK {check}\n',
        files={"environment/start": STARTS, "solution/solve.sh": "#!/bin/bash\ncat ready >answer\n"},
    )
    outcome = trials(AUTO, task)
    assert outcome.verdict == verdict, outcome.reasons
    if verdict == "error":
        assert "HEALTHCHECK of the image" in outcome.reasons
        assert "grep ready /app/gone: failed in 1 attempt" in outcome.reasons


@pytest.mark.parametrize(
    ("dockerfile", "environment", "message"),
    [
        ("FROM HOST/base\nRUN false\n", "", r"environment/Dockerfile:2: RUN false: ended with status 1|exit status 1"),
        ("FROM HOST/base\nRUN echo Could not resolve x; false\n", "", r"affidavit image build --network /.*task$"),
        (
            "",
            'docker_image = "HOST/gone"\n',
            r"\[environment\]\.docker_image: .*gone:latest: can't be pulled",
        ),
        ("FROM x\n", 'docker_image = "HOST/gone"\n', r"or remove docker_image, and .*Dockerfile is built$"),
        ("", 'docker_image = "UPPER"\n', r"task\.toml: \[environment\]\.docker_image: 'UPPER' is not an image name"),
    ],
)
def test_what_cannot_be_had(
    host: str, trials: Trials, image_task: Callable[..., Path], dockerfile: str, environment: str, message: str
) -> None:
    task = image_task(dockerfile.replace("HOST", host), environment=environment.replace("HOST", host))
    with pytest.raises(RunError, match=message) as raised:
        trials(AUTO, task)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("dockerfile", "asked", "workdir"),
    [
        ("FROM x\nWORKDIR /a\nFROM y\nWORKDIR /b\nWORKDIR c\n", "", "/b/c"),
        ("FROM x\n", "", "/"),
        ("FROM x\nWORKDIR /a\n", 'workdir = "/w"\n', "/w"),
        ("not a Dockerfile\n", "", "/"),
    ],
)
def test_workdirs_are_known_without_a_build(
    image_task: Callable[..., Path], dockerfile: str, asked: str, workdir: str
) -> None:
    (task,) = with_known_workdirs(load_tasks(image_task(dockerfile, environment=asked))[0])
    assert task.environment.workdir == workdir


SEPARATE = '[verifier]\ntimeout_sec = 60\nenvironment_mode = "separate"\n'
CHECK = """#!/bin/bash
# Of the agent's image and of its other files nothing is here; of the tests' image all is.
[ -e /app/base ] || [ -e /app/other ] || [ -e /app/out/a.tmp ] && exit 0
[ "$(cat /app/out/answer)" = "$(cat /tests/expected)" ] && reward=1 || reward=0
echo $reward >/logs/verifier/reward.txt
"""


def test_a_verifier_with_an_image_of_its_own_sees_the_artifacts_alone(
    host: str, trials: Trials, image_task: Callable[..., Path]
) -> None:
    task = image_task(
        f"FROM {host}/base\nRUN mkdir -p /app/out && echo 1 >/app/base && echo 2 >/app/out/kept\nWORKDIR /app\n",
        files={
            "tests/Dockerfile": f"FROM {host}/base\nRUN mkdir /tests && echo sesame >/tests/expected\nWORKDIR /grade\n",
            "tests/test.sh": CHECK,
            "solution/solve.sh": "#!/bin/bash\necho sesame >out/answer; echo 3 >other; echo 4 >out/a.tmp\n",
        },
    )
    toml = (task / "task.toml").read_text().replace("[verifier]\ntimeout_sec = 60\n", SEPARATE)
    (task / "task.toml").write_text(f'artifacts = [{{source = "/app/out", exclude = ["*.tmp"]}}]\n{toml}')
    solved = trials(AUTO, task)
    assert (solved.verdict, solved.score) == ("pass", 1.0), solved.reasons
    images = solved.json("environment.json")
    assert images["tests_rootfs"] not in (None, images["rootfs"])
    wrong = trials(AUTO, task, "echo something >out/answer")
    assert (wrong.verdict, wrong.score) == ("fail", 0.0), wrong.reasons
    # Without an image of its own it has a fresh copy of the agent's, and the artifacts.
    (task / "tests/Dockerfile").unlink()
    (task / "tests/expected").write_text("sesame\n")
    (task / "tests/test.sh").write_text(CHECK.replace("[ -e /app/base ]", "[ ! -e /app/base ]"))
    copied = trials(AUTO, task)
    assert (copied.verdict, copied.score) == ("pass", 1.0), copied.reasons
