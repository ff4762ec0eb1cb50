"""Commands are read from trajectories as they were run: what `make bench-sequences` plays."""

import gzip
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from sequences import sample  # noqa: E402
from trajectories import (  # noqa: E402
    CommandSequence,
    TrajectoryError,
    read,
    shortened,
    without_private_names,
    write,
)

LONG = "x" * 201


def commands(file: Path) -> list[tuple[str, ...]]:
    return [one.commands for one in read(file)]


def test_a_terminal_recording_gives_the_commands_with_their_own_lines(tmp_path: Path) -> None:
    first = "grep -rn " + "a" * 140
    screen = [
        "\x1b[1mmini-swe-agent\x1b[0m (step \x1b[1m1\x1b[0m, $\x1b[1m0.00\x1b[0m):\r",
        "⠴ Waiting\rTHOUGHT: look\r",
        "\r",
        "⠴ Waiting\r```bash\r",
        f"{first} \r",
        "second-word here\r",
        "echo own line\r",
        "```\r",
        "⠴ Waiting\r\r",
        "User:\r",
        "```bash\r",
        "rm -rf of-an-observation\r",
        "```\r",
        "⠋ Waiting\rmini-swe-agent (step 2, $0.01):\r",
        "No command.\r",
        "mini-swe-agent (step 3, $0.02):\r",
        "```bash\r",
        "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\r",
        "```\r",
    ]
    file = tmp_path / "agent.log"
    file.write_text("\n".join(screen))
    assert commands(file) == [(f"{first} second-word here\necho own line",)]


def test_trajectories_of_both_agents_give_what_a_shell_ran(tmp_path: Path) -> None:
    answers = ["THOUGHT\n\n```bash\ncat <<'E' > f\nx\nE\n```", "no block", "```bash\nls\n```\n```bash\nnot run\n```"]
    messages = [{"role": "user", "content": "```bash\nprompt\n```"}]
    messages += [{"role": "assistant", "content": one} for one in answers]
    (tmp_path / "a.traj.json").write_text(json.dumps({"messages": messages}))
    actions = ["open setup.py 3\n", "edit 1:2\nrm -rf /\nend_of_edit\n", "created=1 python x.py\n", "", "submit"]
    (tmp_path / "b.traj").write_text(json.dumps({"trajectory": [{"action": one} for one in actions]}))
    (tmp_path / "c.traj").write_text(json.dumps({"history": []}))
    (tmp_path / "notes.json").write_text("{}")
    assert list(read(tmp_path)) == [
        CommandSequence("a.traj.json", ("cat <<'E' > f\nx\nE", "ls")),
        CommandSequence("b.traj", ("created=1 python x.py",)),
    ]


def test_the_last_request_of_openhands_gives_what_its_shell_ran(tmp_path: Path) -> None:
    def calls(name: str, **arguments: object) -> dict[str, object]:
        return {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": json.dumps(arguments)}}]}

    messages = [
        {"role": "user", "content": "prompt"},
        calls("execute_bash", command="ls -R /workspace"),
        calls("str_replace_editor", command="view", path="/workspace/a.py"),
        calls("execute_bash", command="C-c", is_input="true"),
        calls("execute_bash", command=""),
        {"role": "assistant", "content": "no call", "tool_calls": None},
        calls("execute_bash", command="pytest"),
    ]
    (tmp_path / "Model-1743405394.75.json").write_text(json.dumps({"fncall_messages": messages}))
    assert list(read(tmp_path)) == [CommandSequence("Model-1743405394.75.json", ("ls -R /workspace", "pytest"))]


def test_an_attempt_at_a_grader_is_marked_as_cheating_where_its_source_takes_it_for_that(tmp_path: Path) -> None:
    calls = [{"command": "view", "path": "/app/task_assets/test_outputs.py"}, {"command": "create", "path": "/app/x"}]
    calls += [{"command": "cat ./task_assets/reference_solution.sh /app/my_task_assets"}]
    events = [{"kind": "agent_message"}, *({"kind": "tool_call", "arguments": one} for one in calls)]
    for folder in ("actions", "qa"):
        (tmp_path / folder).mkdir()
    for name, cheats in (("run-branch-07.json", True), ("run-branch-08.json", False)):
        (tmp_path / "actions" / name).write_text(json.dumps({"trace_readback": {"events": {"events": events}}}))
        (tmp_path / "qa" / name).write_text(json.dumps({"is_reward_hacking": cheats}))
    commands = ("cat /tests/test_outputs.py", "cat /solution/solve.sh /app/my_task_assets")
    (found,) = read(tmp_path)
    assert found == CommandSequence("actions/run-branch-07.json", commands, cheats=True)
    write([found], tmp_path / "saved.jsonl.gz")
    assert list(read(tmp_path / "saved.jsonl.gz")) == [found]


def test_a_sample_has_as_many_of_each_collection_as_there_are() -> None:
    sequences = [CommandSequence(f"large/{number}", ("ls",)) for number in range(50)]
    sequences += [CommandSequence(f"small/{number}", ("ls",)) for number in range(3)]
    chosen = sample(sequences, 10)
    assert [one.collection for one in chosen] == ["large", "small"] * 3 + ["large"] * 4
    assert chosen == sample(sequences, 0)[:10]
    assert sorted(one.source for one in sample(sequences, 0)) == sorted(one.source for one in sequences)


def test_what_is_saved_has_no_long_texts_and_private_names_and_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "saved.jsonl.gz"
    write([CommandSequence("t.traj", (f"cat > f <<'EOF'\n{LONG}\nEOF\ncat f", f'python3 -c "{LONG}"', "ls"))], file)
    assert commands(file) == [("cat > f <<'EOF'\nEOF\ncat f", "python3 -c ''", "ls")]
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("git clone https://u:p@host.org:8443/a.git", "git clone https://example.com/a.git"),
        ("curl http://localhost:80/x 10.1.2.3 127.0.0.1", "curl http://localhost:80/x 192.0.2.1 127.0.0.1"),
        (
            "ls /home/ann/x; git config user.email ann@site.org",
            "ls /home/user/x; git config user.email user@example.com",
        ),
        ("export T=ghp_0123456789abcdef", "export T=TOKEN"),
        ("pip install x==1.2.3", "pip install x==1.2.3"),
    ],
)
def test_private_names_are_replaced(command: str, kept: str) -> None:
    assert without_private_names(command) == kept


def test_short_texts_stay() -> None:
    command = "cat > f <<EOF\nshort\nEOF\ngrep 'a b' f"
    assert shortened(command) == command


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.traj", b"[]"),
        ("x.traj.json", b'{"messages": [1]}'),
        ("x.jsonl.gz", b"no archive"),
        ("x.jsonl.gz", gzip.compress(b'{"source": "s"}')),
        ("x.jsonl.gz", gzip.compress(b'{"source": "s", "commands": [1]}')),
        ("x.txt", b""),
    ],
    # Archives hold the time at which they were made, which is no part of a name.
    ids=["traj", "traj-json", "no-archive", "no-commands", "commands-of-numbers", "another-kind"],
)
def test_another_file_is_an_error_of_one_line_that_names_it(tmp_path: Path, name: str, data: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(TrajectoryError, match="x\\.") as error:
        list(read(file))
    assert "\n" not in str(error.value)


def test_a_folder_without_trajectories_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(TrajectoryError, match=r"no trajectory is in this folder \(agent\.log"):
        list(read(tmp_path))
