"""Task folders in Harbor's layout: what is read, what is warned of, what is refused and in which words."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.tasks import (
    Artifact,
    DecoySettings,
    Labels,
    Rootfs,
    Task,
    TaskError,
    TaskUser,
    find_tasks,
    load_task,
    read_labels,
)

# The tables and keys that a task written for Harbor usually has.
ORDINARY = """\
schema_version = "1.1"

[task]
name = "someone/count-lines"
description = "Count lines."
authors = [{ name = "someone", email = "someone@example.org" }]
keywords = ["text"]

[metadata]
difficulty = "easy"
anything = { goes = ["here"] }

[verifier]
timeout_sec = 120.0

[verifier.env]

[agent]
timeout_sec = 900.0

[environment]
build_timeout_sec = 300.0
cpus = 1
memory_mb = 1024
storage_mb = 10240
gpus = 0
mcp_servers = []
allow_internet = false

[solution.env]
"""
HOST = '\n[affidavit]\nrootfs = "host"\n'

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a task folder; the TOML is `ORDINARY` on the machine's own programs unless told otherwise."""

    def make(toml: str = ORDINARY + HOST, name: str = "folder", **without: bool) -> Path:
        folder = tmp_path / name
        files = {"task.toml": toml, "instruction.md": "Count.\n", "tests/test.sh": "exit 0\n"}
        for relative, text in files.items():
            if without.get(Path(relative).stem):
                continue
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return make


def refusal(folder: Path) -> str:
    """What the task is refused with: one line that begins with the folder."""
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message.removeprefix(f"{folder}/")


def test_ordinary_task_is_read_without_a_warning(make: Make) -> None:
    task = load_task(make())
    assert task.warnings == ()
    assert (task.id, task.instruction, task.environment.workdir) == ("someone/count-lines", "Count.\n", "/workspace")
    assert (task.limits.agent_timeout_s, task.limits.verifier_timeout_s, task.limits.build_timeout_s) == (900, 120, 300)
    assert (task.limits.cpus, task.limits.memory_mb, task.limits.storage_mb, task.network.mode) == (
        1,
        1024,
        10240,
        "none",
    )
    assert (task.environment.rootfs.kind, task.environment.user, task.contract.path, task.scoring.control) == (
        "host",
        TaskUser(),
        None,
        True,
    )


@pytest.mark.parametrize(
    ("text", "network", "hosts"),
    [
        ('[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.x"]\n', "allowlist", ("a.x",)),
        (
            '[agent]\nallowed_hosts = ["b.x:443"]\n'
            '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.x"]\n',
            "allowlist",
            ("a.x", "b.x:443"),
        ),
        (
            '[agent]\nnetwork_mode = "no-network"\n'
            '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.x"]\n',
            "none",
            (),
        ),
        ('[environment]\nallow_internet = true\n[agent]\nnetwork_mode = "none"\n', "none", ()),
        ('[environment]\nnetwork_mode = "public"\n', "none", ()),
    ],
)
def test_the_hosts_that_a_task_lists(make: Make, text: str, network: str, hosts: tuple[str, ...]) -> None:
    task = load_task(make(text))
    assert (task.network.mode, task.network.allowed_hosts) == (network, hosts)


def test_nearly_empty_task_toml_is_enough(make: Make) -> None:
    task = load_task(make(""))
    assert (task.id, task.environment.rootfs.kind, task.limits.agent_timeout_s, task.limits.memory_mb) == (
        "folder",
        "host",
        600,
        2048,
    )
    assert task.warnings == ()


@pytest.mark.parametrize(
    ("toml", "warning"),
    [
        ("[task]\ncolour = 1\n", "task.toml:2: [task].colour is unknown and is ignored"),
        ("sources = []\n", "task.toml:1: sources is unknown and is ignored"),
        ("[agent]\ntimeout = 3\n", "task.toml:2: [agent].timeout is unknown and is ignored"),
        (
            '[verifier]\nenvironment_mode = "separate"\n[verifier.environment]\nnetwork_mode = "public"\n',
            "task.toml:4: [verifier.environment].network_mode asks for a network; gradings have none; what tests "
            "download is answered from a cache that affidavit task warm fills",
        ),
        (
            '[verifier]\nnetwork_mode = "public"\n',
            "task.toml:2: [verifier].network_mode asks for a network; gradings have none; what tests download is "
            "answered from a cache that affidavit task warm fills",
        ),
        (
            '[agent]\nallowed_hosts = ["a.example"]\n',
            'task.toml:2: [agent].allowed_hosts is of no use without network_mode = "allowlist"',
        ),
        (
            '[environment]\nskills_dir = "/skills"\n',
            "task.toml:2: [environment].skills_dir is ignored: no agent here reads skills",
        ),
        (
            "[verifier.environment]\ncpus = 1\n",
            'task.toml:1: [verifier].environment is ignored: environment_mode is not "separate"',
        ),
        (
            'artifacts = ["/app/report.json"]\n',
            "task.toml:1: artifacts is ignored: all changes that the contract permits come along to the grading",
        ),
        (
            "[environment]\nallow_internet = true\n",
            "task.toml:2: [environment].allow_internet asks for every host, and an agent gets none: list them "
            "(allowlist) or use --allow",
        ),
        (
            '[environment.env]\nTOKEN = "${TOKEN}"\n',
            "task.toml:2: [environment.env].TOKEN asks for this machine's TOKEN, which a sandbox never gets",
        ),
    ],
)
def test_key_that_does_nothing_is_warned_of(make: Make, toml: str, warning: str) -> None:
    assert load_task(make(toml)).warnings == (warning,)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[agent\n", "task.toml: is not TOML"),
        ('[agent]\ntimeout_sec = "9"\n', "task.toml:2: [agent].timeout_sec must be a positive number of seconds"),
        ("[agent]\ntimeout_sec = -1\n", "task.toml:2: [agent].timeout_sec must be a positive number of seconds"),
        ("agent = 3\n", "task.toml:1: agent must be a table, not 3"),
        ("[environment]\ngpus = 1\n", "task.toml:2: [environment].gpus wants a GPU, which no sandbox has"),
        ('[environment]\ngpus = "1"\n', "task.toml:2: [environment].gpus must be a whole number"),
        ('[environment]\ntpu = "v4"\n', "task.toml:2: [environment].tpu wants a TPU"),
        (
            '[[environment.mcp_servers]]\nname = "x"\n',
            'task.toml:1: [[environment.mcp_servers]] number 1 needs a url, as its transport is "sse"',
        ),
        (
            '[[environment.mcp_servers]]\nname = "x"\ntransport = "stdio"\n',
            "task.toml:1: [[environment.mcp_servers]] number 1 needs a command",
        ),
        (
            '[[environment.mcp_servers]]\nname = "x"\nurl = "file:///etc"\n',
            "task.toml:3: [[environment.mcp_servers]] number 1.url must be http://HOST:PORT/PATH",
        ),
        (
            '[[environment.mcp_servers]]\nname = "x"\nurl = "http://h"\nheaders = {A = "Bearer ${T}"}\n',
            "task.toml:4: [[environment.mcp_servers]] number 1.headers of 'A' asks for a variable of this machine",
        ),
        (
            '[[environment.mcp_servers]]\nname = "x"\nurl = "http://h"\ntransport = "udp"\n',
            'task.toml:4: [[environment.mcp_servers]] number 1.transport must be "stdio", "sse" or "streamable-http"',
        ),
        (
            '[[environment.mcp_servers]]\nname = "x"\nurl = "http://h"\noauth = true\n',
            "task.toml:4: [[environment.mcp_servers]] number 1.oauth is not known",
        ),
        (
            "[environment.healthcheck]\nretries = 2\n",
            "task.toml:1: [environment.healthcheck].command must be a command",
        ),
        (
            '[environment.healthcheck]\ncommand = "x"\nretries = 0\n',
            "task.toml:3: [environment.healthcheck].retries must be a whole number from 1",
        ),
        (
            '[environment.healthcheck]\ncommand = "x"\ninterval_sec = -1\n',
            "task.toml:3: [environment.healthcheck].interval_sec must be a number of seconds, 0 or more",
        ),
        ('[[verifier.collect]]\ncommand = "x"\n', "task.toml:1: [verifier].collect wants commands to run"),
        ('[verifier]\nenvironment_mode = "other"\n', "task.toml:2: [verifier].environment_mode must be"),
        (
            '[verifier]\nenvironment_mode = "separate"\n[verifier.environment]\nhealthcheck = {command = "x"}\n',
            "task.toml:4: [verifier.environment].healthcheck is not supported yet",
        ),
        (
            '[verifier]\nenvironment_mode = "separate"\n[verifier.environment]\ngpus = 1\n',
            "task.toml:4: [verifier.environment].gpus wants a GPU",
        ),
        (
            '[verifier]\nenvironment_mode = "separate"\n[verifier.environment]\nos = "windows"\n',
            'task.toml:4: [verifier.environment].os must be "linux"',
        ),
        ("artifacts = [3]\n", "task.toml:1: artifacts must be paths"),
        (
            'artifacts = ["/a/../b"]\n[verifier]\nenvironment_mode = "separate"\n',
            "task.toml:1: artifacts must be absolute paths without '..', not '/a/../b'",
        ),
        (
            'artifacts = ["a"]\n[verifier]\nenvironment_mode = "separate"\n',
            "task.toml:1: artifacts must be absolute paths",
        ),
        (
            'artifacts = ["/"]\n[verifier]\nenvironment_mode = "separate"\n',
            "task.toml:1: artifacts must be absolute paths",
        ),
        ('artifacts = [{source = "/a", exclude = "b"}]\n', "task.toml:1: artifacts has an exclude that is no list"),
        ('artifacts = [{source = "/a", service = 3}]\n', "task.toml:1: artifacts has a service that is no name"),
        ('artifacts = [{source = "a", service = "db"}]\n', "task.toml:1: artifacts must be absolute paths"),
        ('multi_step_reward_strategy = "best"\n', "task.toml:1: multi_step_reward_strategy must be"),
        ('[agent]\nallowed_hosts = "a"\n', "task.toml:2: [agent].allowed_hosts must be a list of strings"),
        ('[environment]\nos = "windows"\n', 'task.toml:2: [environment].os must be "linux"'),
        ('[environment]\nmemory = "lots"\n', "task.toml:2: [environment].memory must be a size"),
        ('[environment]\nmemory = "1G"\nmemory_mb = 9\n', "task.toml:2: [environment].memory (1024 MiB) and memory_mb"),
        ('[environment]\nnetwork_mode = "some"\n', "task.toml:2: [environment].network_mode must be one of"),
        ('[task]\nname = "../up"\n', "task.toml:2: [task].name must be NAME or ORGANISATION/NAME"),
        ('[affidavit]\nworkdir = "here"\n', "task.toml:2: [affidavit].workdir must be an absolute path"),
        ('[affidavit]\nrootfs = "docker:x"\n', "task.toml:2: [affidavit].rootfs must be"),
        ('[affidavit]\nrootfs = "oci:gone"\n', "task.toml:2: [affidavit].rootfs names"),
        ('[verifier]\nuser = "someone"\n', "task.toml:2: [verifier].user 'someone' can't be looked up"),
    ],
)
def test_wrong_task_toml_is_refused_by_line_and_key(make: Make, toml: str, message: str) -> None:
    assert refusal(make(toml)).startswith(message)


@pytest.mark.parametrize(("without", "file"), [("instruction", "instruction.md"), ("test", "tests/test.sh")])
def test_missing_file_is_named(make: Make, without: str, file: str) -> None:
    assert refusal(make(**{without: True})).startswith(f"{file}: is missing")


def test_harbors_keys_that_change_nothing_are_silent(make: Make) -> None:
    toml = (
        'schema_version = "1.4"\nmulti_step_reward_strategy = "mean"\nmulti_step_reward_mode = "x"\nartifacts = []\n'
        '[task]\nname = "a/b"\nversion = "1.0"\n[verifier]\nenvironment_mode = "shared"\nnetwork_mode = "no-network"\n'
        "[environment]\ngpus = 0\ngpu_types = []\nmcp_servers = []\nallowed_hosts = []\n"
    )
    assert load_task(make(toml)).warnings == ()


def test_where_the_image_comes_from(make: Make) -> None:
    folder = make(ORDINARY)
    (folder / "environment").mkdir()
    (folder / "environment" / "Dockerfile").write_text("FROM scratch\n")
    assert load_task(folder).environment.rootfs == Rootfs("dockerfile", folder / "environment")
    # Harbor, too, takes the image that is there before it builds one.
    (folder / "task.toml").write_text(ORDINARY.replace("[environment]", '[environment]\ndocker_image = "some/image:1"'))
    assert load_task(folder).environment.rootfs == Rootfs("registry", None, "some/image:1")
    (folder / "task.toml").write_text(ORDINARY + HOST)
    assert load_task(folder).environment.rootfs.kind == "host"


def test_users_are_for_the_image_to_know(make: Make) -> None:
    folder = make('[agent]\nuser = "web:staff"\n[verifier]\nuser = 33\n[environment]\ndocker_image = "x"\n')
    task = load_task(folder)
    assert (task.environment.asked.user, task.environment.asked.verifier_user) == ("web:staff", "33")


def test_a_file_with_services(make: Make) -> None:
    folder = make(ORDINARY)
    (folder / "environment").mkdir()
    compose = folder / "environment" / "docker-compose.yaml"
    compose.write_text("services: {}\n")
    environment = load_task(folder).environment
    assert (environment.compose, environment.rootfs.kind, environment.profile) == (compose, "dockerfile", "container")
    (folder / "task.toml").write_text(f'{ORDINARY}{HOST}profile = "strict"\n')
    assert "profile can't be strict" in refusal(folder)
    compose.with_name("compose.yaml").write_text("services: {}\n")
    assert "there is docker-compose.yaml too" in refusal(folder)


def test_environment_templates_take_defaults_only(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of this machine")
    toml = '[environment.env]\nA = "${SECRET:-fallback}"\nB = "${SECRET}"\nC = "two\\nlines"\n[verifier.env]\nD = "x"\n'
    task = load_task(make(toml))
    assert task.environment.env == {"A": "fallback", "C": "two\nlines"}
    assert task.tests.env == {"D": "x"}


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ('"root"', TaskUser(0, 0, "root", "/root")),
        ('"agent"', TaskUser()),
        ('"1234:99"', TaskUser(1234, 99, "user1234", "/home/agent")),
        ("1234", TaskUser(1234, 1234, "user1234", "/home/agent")),
    ],
)
def test_verifier_user(make: Make, user: str, wanted: TaskUser) -> None:
    task = load_task(make(f"[verifier]\nuser = {user}\n"))
    assert (task.tests.user, task.environment.user) == (wanted, TaskUser())


def change_content(folder: Path) -> None:
    (folder / "tests" / "test.sh").write_text("exit 1\n")


def change_name(folder: Path) -> None:
    (folder / "instruction.md").rename(folder / "spare.md")
    (folder / "instruction.md").write_text("Count.\n")


def change_executable(folder: Path) -> None:
    (folder / "tests" / "test.sh").chmod(0o755)


def change_file_into_folder(folder: Path) -> None:
    (folder / "tests" / "data").mkdir()


@pytest.mark.parametrize("change", [change_content, change_name, change_executable, change_file_into_folder])
def test_digest_tells_a_change(make: Make, change: Callable[[Path], None]) -> None:
    folder = make()
    before = load_task(folder).digest
    change(folder)
    assert load_task(folder).digest != before


def test_digest_is_of_the_content_alone(make: Make) -> None:
    one, other = make(name="one"), make(name="other")
    (other / "instruction.md").chmod(0o600)
    assert load_task(one).digest == load_task(other).digest
    assert re.fullmatch("sha256:[0-9a-f]{64}", load_task(one).digest)


def test_symlink_may_lead_out_only_where_it_is_the_sandbox_s(make: Make) -> None:
    folder = make()
    (folder / "environment" / "root").mkdir(parents=True)
    (folder / "environment" / "root" / "link").symlink_to("/etc/passwd")
    (folder / "tests" / "inside").symlink_to("../instruction.md")
    load_task(folder)
    (folder / "tests" / "outside").symlink_to("../../elsewhere")
    assert refusal(folder).startswith("tests/outside: is a symlink that leaves the task folder")


def test_tasks_of_a_folder_come_by_name_and_may_not_share_one(make: Make, tmp_path: Path) -> None:
    make("", name="b")
    make("", name="a")
    (tmp_path / "notes").mkdir()

    def names(tasks: list[Task]) -> list[str]:
        return [task.id for task in tasks]

    assert names(find_tasks(tmp_path)) == ["a", "b"]
    assert names(find_tasks(tmp_path / "a")) == names(find_tasks(tmp_path / "a" / "task.toml")) == ["a"]
    make('[task]\nname = "a"\n', name="c")
    with pytest.raises(TaskError, match="bears the same name as"):
        find_tasks(tmp_path)


@pytest.mark.parametrize("name", ["notes", "gone"])
def test_folder_without_tasks_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(TaskError, match=f"{name}: "):
        find_tasks(tmp_path / name)


def test_task_can_not_be_changed(make: Make) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_task(make()).id = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["contract.yaml", "contract.json", "behavioral_contract.json"])
def test_names_of_a_contract(task: Make, name: str) -> None:
    folder = task(files={name: "{}"})
    assert load_task(folder).contract.path == folder / name


def test_two_contracts_are_one_too_many(task: Make) -> None:
    folder = task(files={"contract.yaml": "{}", "behavioral_contract.json": "{}"})
    with pytest.raises(
        TaskError, match=r"behavioral_contract.json: there is contract.yaml too; keep the one that holds"
    ):
        load_task(folder)


def test_labels_are_read_from_metadata_and_keywords(make: Make) -> None:
    toml = ORDINARY.replace(
        'difficulty = "easy"\n',
        'difficulty = "easy"\ncategory = "debugging"\ntags = ["python", "text"]\nsecurity_critical = true\n',
    )
    assert load_task(make(toml + HOST)).labels == Labels("debugging", "easy", ("python", "text"), True)


def test_labels_of_another_type_are_none(make: Make) -> None:
    toml = ORDINARY.replace(
        'difficulty = "easy"\n', 'difficulty = 3\ncategory = []\ntags = ["", 5, "x"]\nsecurity_critical = "yes"\n'
    ).replace('keywords = ["text"]', f'keywords = ["{"y" * 5000}"]')
    found = load_task(make(toml + HOST))
    assert found.labels == Labels(None, None, ("x", "y" * 100), False)
    assert found.warnings == ()
    assert read_labels(["no", "table"]) == Labels()


def test_decoys_are_read_and_wrong_ones_named(make: Make) -> None:
    def decoys(text: str) -> Task:
        return load_task(make(f"{ORDINARY}{HOST}[affidavit.decoys]\n{text}"))

    assert load_task(make()).decoys is None
    assert decoys("files = 3\n").decoys == DecoySettings(1, 1, 3)
    (make() / "wrong.txt").write_text("41\n")
    assert decoys('credentials = 0\nanswer_key = "wrong.txt"\n').decoys == DecoySettings(1, 0, 1, b"41\n")
    for text, said in {
        "files = 11\n": r"task\.toml:\d+: \[affidavit\.decoys\]\.files must be a whole number from 0 to 10, not '11'",
        "files = true\n": "files must be a whole number",
        "answer_keys = 0\ncredentials = 0\nfiles = 0\n": "asks for none",
        "keys = 1\n": "keys is unknown; it knows answer_keys",
        'answer_key = "../x"\n': "must be a path in the task's folder",
        'answer_key = "none.txt"\n': "none.txt, which is no file",
        'answer_keys = 0\nanswer_key = "wrong.txt"\n': "is of no use",
    }.items():
        with pytest.raises(TaskError, match=said):
            decoys(text)


def test_artifacts_of_services(make: Make) -> None:
    task = load_task(make('artifacts = [{source = "/app/./data/", service = "db", exclude = ["*.tmp"]}]\n'))
    assert (task.warnings, task.tests.artifacts) == ((), ())
    assert task.tests.service_files == (Artifact("/app/data", ("*.tmp",), "db"),)


def test_a_verifier_with_an_image_of_its_own(make: Make) -> None:
    toml = (
        'artifacts = ["/app//out/", {source = "/app/./log", destination = "x", exclude = ["*.tmp"]}]\n'
        '[verifier]\nenvironment_mode = "separate"\nuser = "web"\n[verifier.environment]\nworkdir = "/grade"\n'
        'memory_mb = 512\nenv = {A = "1"}\n[environment]\nmemory_mb = 256\ndocker_image = "x:1"\nenv = {B = "2"}\n'
    )
    folder = make(toml)
    (folder / "tests/Dockerfile").write_text("FROM y\n")
    task = load_task(folder)
    assert task.warnings == ()
    assert [(one.path, one.exclude) for one in task.tests.artifacts] == [("/app/out", ()), ("/app/log", ("*.tmp",))]
    grading = task.grading
    assert grading is not None
    assert (grading.environment.rootfs, task.environment.rootfs.reference) == (
        Rootfs("dockerfile", folder / "tests"),
        "x:1",
    )
    assert (grading.environment.asked.workdir, grading.environment.asked.verifier_user, grading.tests.in_image) == (
        "/grade",
        "web",
        True,
    )
    assert (grading.limits.memory_mb, task.limits.memory_mb, grading.environment.env, task.environment.env) == (
        512,
        256,
        {"A": "1"},
        {"B": "2"},
    )
    (folder / "task.toml").write_text(toml.replace("memory_mb = 512", 'docker_image = "z:1"\ncolour = 1'))
    named = load_task(folder)
    assert named.grading is not None
    assert (named.grading.environment.rootfs.reference, named.grading.limits.memory_mb) == ("z:1", 256)
    assert named.warnings == ("task.toml:8: [verifier.environment].colour is unknown and is ignored",)


def test_a_verifier_with_a_copy_of_the_agents_image(make: Make) -> None:
    toml = 'artifacts = "/out"\n[verifier]\nenvironment_mode = "separate"\n[environment]\ndocker_image = "x:1"\n'
    task = load_task(make(toml))
    assert task.grading is not None
    assert (task.grading.environment.rootfs, task.grading.tests.in_image) == (task.environment.rootfs, False)
    assert [one.path for one in task.tests.artifacts] == ["/out"]


def test_services_beside_the_verifier_are_refused(make: Make) -> None:
    folder = make('[verifier]\nenvironment_mode = "separate"\n')
    (folder / "tests/docker-compose.yaml").write_text("services: {}\n")
    assert "verifiers of several services are not supported yet" in refusal(folder)
