"""``affidavit serve`` and its client, over real sandboxes."""

import asyncio
import http.client
import io
import json
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from affidavit.client import AsyncClient, Busy, Client, ClientError, Refused, RemoteSession, ServerGone
from affidavit.verification import verify
from harness import Command, Home, loaders, ready_loaders, wait_for, wait_until_gone, write_task
from servers import Served, serving

DENIES = {"files": {"read": ["/**"], "write": ["/workspace/**"], "deny": ["/workspace/secret"]}}
SOLVE = ("sh", "-c", "echo 42 >answer")
NOBODY = 65534
CLIENT = Path(sys.modules[Client.__module__].__file__ or "").parent


@pytest.fixture(scope="module")
def shared(home: Home) -> Iterator[Served]:
    """A server for two sessions at a time, which lets in nobody, the user of that name, too."""
    # The folders of tests are closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "given").mkdir()
        with serving(home, folder, "--sessions", 2, "--user", NOBODY, "--tasks", folder / "given") as served:
            yield served
            wait_until_gone(served.left)


@pytest.fixture
def server(at_home: Home, shared: Served) -> Served:
    return shared


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    with Client(server.socket) as made:
        yield made


def raw(server: Served, method: str, place: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """One request as it is said."""
    connection = http.client.HTTPConnection("affidavit")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(server.socket))
    try:
        connection.request(method, place, body, headers)
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None
    finally:
        connection.close()


def test_a_session_over_the_socket_is_one_in_the_process(client: Client, task: Callable[..., Path]) -> None:
    with client.open_session(task(contract=DENIES), agent="far") as session:
        assert (session.phase, session.workdir) == ("setup", "/workspace")
        session.setup(["sh", "-c", "echo hidden >secret"])
        seen = session.exec(
            ["sh", "-c", "pwd; id -u; echo $A; cat; exit 3"], env={"A": "b"}, input=b"\xff\0", cwd="/tmp"
        )
        assert (seen.stdout, seen.exit_code, seen.timed_out) == (b"/tmp\n1000\nb\n\xff\0", 3, False)
        content = bytes(range(256)) * 8192
        session.write_file("/workspace/of bytes&more", content)
        assert session.read_file("/workspace/of bytes&more") == content
        assert session.exec(["sleep", "100"], timeout_s=0.2).timed_out
        assert session.read_file("/workspace/secret", origin="harness") == b"hidden\n"
        session.exec(SOLVE)
        session.freeze()
        assert session.phase == "frozen"
        judgement = session.grade()
        assert (judgement.verdict, judgement.score, judgement.violations) == ("pass", 1.0, ()), judgement
        bundle = session.seal()
        archive = io.BytesIO()
        session.download_bundle(archive)
    checked = verify(Path(bundle.path))
    assert [check for check in checked.checks if not check.ok] == []
    archive.seek(0)
    with tarfile.open(fileobj=archive) as entries:
        sent = {entry.name: entries.extractfile(entry).read() for entry in entries}  # type: ignore[union-attr]
    there = {path: path.read_bytes() for path in Path(bundle.path).rglob("*") if path.is_file()}
    assert sent == {f"bundle/{path.relative_to(bundle.path)}": data for path, data in there.items()}


def test_a_session_takes_recorders_that_are_ready(server: Served, client: Client, task: Callable[..., Path]) -> None:
    owner = server.process.pid
    ready = {*wait_for(lambda: len(found := ready_loaders(owner)) == 4 and found)}
    with client.open_session(task()) as session:
        session.exec(["true"])
        assert ready & ({*loaders(owner)} - {*ready_loaders(owner)})
        # Others take their places.
        wait_for(lambda: len(ready_loaders(owner)) >= 4)


def test_what_the_engine_refuses_is_refused_by_name(client: Client, task: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"holds no task\.toml") as no_task:
        client.open_session(tmp_path)
    assert (no_task.value.status, no_task.value.kind) == (422, "TaskError")
    with pytest.raises(Refused, match="name who works"):
        client.open_session(task(), agent="oracle")
    with pytest.raises(Refused, match="no such runtime"):
        client.open_session(task(), runtime="none")
    with client.open_session(task()) as session:
        with pytest.raises(Refused, match="no such user") as no_user:
            session.exec(["true"], user="nobody-of-that-name")
        assert (no_user.value.status, no_user.value.kind) == (409, "SessionError")
        with pytest.raises(Refused, match=r"/workspace/none: can't be read"):
            session.read_file("/workspace/none")
        with pytest.raises(Refused, match="larger than 3 bytes"):
            session.read_file("/etc/passwd", most=3)
        with pytest.raises(Refused, match="argv"):
            session.exec([])
        with pytest.raises(ValueError, match="write it in parts"):
            session.write_file("/workspace/big", bytes((64 << 20) + 1))
        with pytest.raises(Refused, match="no bundle before"):
            session.download_bundle(io.BytesIO())


def test_requests_are_bounded_and_nothing_unknown_is_taken(server: Served) -> None:
    assert raw(server, "GET", "/v1", {})[1]["api"] == 1
    assert raw(server, "GET", "/v2", {})[0] == 404
    assert raw(server, "PUT", "/v1/sessions", {})[0] == 405
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
        assert raw(server, "POST", "/v1/sessions", headers, b"{}")[0] == 401
    with Client(server.socket) as client:
        known = dict(client._transport._headers)
        assert raw(server, "POST", "/v1/sessions", known, iter([b"{}"]))[0] == 411
        assert raw(server, "POST", "/v1/sessions", {**known, "Content-Length": str(1 << 40)})[0] == 413
        for body in (b"", b"{", b"[]", b'{"task": 1}', b'{"task": "/x", "more": 1}', b'{"task": "x"}'):
            status, answer = raw(server, "POST", "/v1/sessions", known, body)
            assert (status, answer["error"]["kind"]) == (422, "Refusal"), body
        assert raw(server, "GET", "/v1/sessions/0", known)[0] == 404
    wait_for(lambda: raw(server, "POST", "/v1/sessions", known, b"{}")[0] == 401)


def test_no_client_reaches_what_another_has(server: Served, client: Client, task: Callable[..., Path]) -> None:
    with client.open_session(task()) as session, Client(server.socket) as other:
        theirs = RemoteSession(other._transport, session.id, session.workdir, {})
        for call in (
            theirs.freeze,
            theirs.close,
            lambda: theirs.exec(["true"]),
            lambda: theirs.read_file("/etc/passwd"),
        ):
            with pytest.raises(Refused, match="you have none of that name"):
                call()
        assert session.exec(["true"]).exit_code == 0


def test_there_is_room_for_so_many_sessions(client: Client, task: Callable[..., Path]) -> None:
    tasks = [task(f"tasks/{number}") for number in range(3)]
    first, second = (client.open_session(one) for one in tasks[:2])
    with pytest.raises(Busy, match="2 sessions are open"):
        client.open_session(tasks[2])
    closing = threading.Timer(0.5, first.close)
    closing.start()
    with client.open_session(tasks[2], wait_s=60) as third:
        assert third.exec(["true"]).exit_code == 0
    closing.join()
    second.close()
    assert client.about()["open_sessions"] == 0


def test_commands_run_beside_each_other(server: Served, task: Callable[..., Path]) -> None:
    async def use() -> list[bytes]:
        async with await AsyncClient.connect(server.socket) as client, await client.open_session(task()) as session:
            wait = "while [ ! -e go ]; do sleep 0.02; done; echo $0"
            waiting = [session.exec(["sh", "-c", wait, str(number)], timeout_s=60) for number in range(3)]
            gathered = asyncio.gather(*waiting)
            await session.write_file("/workspace/go", b"")
            return [one.stdout for one in await gathered]

    assert asyncio.run(use()) == [b"0\n", b"1\n", b"2\n"]


def test_a_client_that_is_killed_takes_its_sessions_along(server: Served, task: Callable[..., Path]) -> None:
    program = textwrap.dedent("""
        import sys, threading
        from affidavit.client import Client
        client = Client(sys.argv[1])
        session = client.open_session(sys.argv[2])
        threading.Thread(target=session.exec, args=(["sh", "-c", "touch started; sleep 1000"],), daemon=True).start()
        while session.exec(["test", "-e", "started"], origin="harness").exit_code: pass
        print("started", flush=True)
        threading.Event().wait()
    """)
    before = server.attempts()
    arguments = [sys.executable, "-c", program, str(server.socket), str(task())]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
    wait_until_gone(server.left)
    with Client(server.socket) as client:
        wait_for(lambda: client.about()["open_sessions"] == 0)
    assert [one for one in server.attempts() if one not in before] == [("error", "the client has gone")]


def test_no_end_of_a_server_lets_anything_pass(at_home: Home, tmp_path: Path, task: Callable[..., Path]) -> None:
    """Killed, it leaves what the next one removes; stopped, it leaves nothing and says why."""
    with serving(at_home, tmp_path) as served, Client(served.socket) as client:
        session = client.open_session(task())
        session.exec(SOLVE)
        served.process.kill()
        served.process.wait(60)
        with pytest.raises(ServerGone, match="the server has ended"):
            session.seal()
        with pytest.raises(ServerGone, match="no server answers there"):
            Client(served.socket)
    with serving(at_home, tmp_path) as served, Client(served.socket) as client:
        assert served.left() == []
        session = client.open_session(task())
        failed: list[BaseException] = []

        def wait() -> None:
            try:
                session.exec(["sh", "-c", "touch started; sleep 1000"])
            except ClientError as error:
                failed.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_for(lambda: session.exec(["test", "-e", "started"], origin="harness").exit_code == 0)
        served.process.terminate()
        assert served.process.wait(60) == 0
        thread.join(60)
        assert failed, "a command of a session that was ended has no result"
        with pytest.raises(ServerGone):
            session.seal()
    assert served.left() == []
    assert not served.socket.exists()
    assert ("error", "the server was stopped") in served.attempts()
    assert list(tmp_path.rglob("bundle")) == []


def test_other_users_are_let_in_by_name_and_name_the_tasks_that_they_may(server: Served) -> None:
    program = textwrap.dedent("""
        import sys
        from affidavit.client import Client, Refused
        place, token, *tasks = sys.argv[1:]
        try:
            client = Client(place)
        except Refused as error:
            sys.exit(str(error))
        for task in tasks:
            try:
                with client.open_session(task) as session:
                    print(session.exec(["cat", "/instruction.md"]).stdout.decode(), end="")
            except Refused as error:
                print(error.status)
        client._transport._headers["Authorization"] = token
        try:
            client.open_session(tasks[0])
        except Refused as error:
            print(error.status)
    """)
    folder = server.socket.parent
    # Its folder is all that a client needs.
    shutil.copytree(CLIENT, folder / "lib/affidavit/client", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "lib/affidavit/__init__.py").touch()
    given, kept = write_task(folder / "given/tiny"), write_task(folder / "kept")
    (folder / "given/out").symlink_to(kept)

    def run_as(user: int, token: str) -> "subprocess.CompletedProcess[str]":
        named = [server.socket, token, given, kept, folder / "given/out", folder / "given/none"]
        return subprocess.run(
            [Path(sys.executable).resolve(), "-B", "-c", program, *named],
            user=user,
            group=user,
            extra_groups=[],
            cwd="/",
            env={"PYTHONPATH": f"{folder}/lib"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    with Client(server.socket) as owner:
        done = run_as(NOBODY, owner._transport._headers["Authorization"])
    assert done.stdout.splitlines() == ["Write 42 into the file answer.", "403", "403", "403", "401"], done
    done = run_as(NOBODY - 1, "")
    assert (done.returncode, done.stderr) == (
        1,
        f"uid {NOBODY - 1} may not use this server: ask its owner for --user\n",
    )


def test_a_session_asks_the_models_that_the_server_grants(
    at_home: Home, tmp_path: Path, task: Callable[..., Path]
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"answers": [{"text": "42", "repeat": True}]}))
    granted = ("--model", "model-1", "--model", "model-2", "--model-script", script)
    with serving(at_home, tmp_path, *granted) as served, Client(served.socket) as client:
        with pytest.raises(
            Refused, match=r"models: 'model-3' is not granted here: start the server with --model model-3"
        ):
            client.open_session(task(), models=["model-1", "model-3"])
        with client.open_session(task(), models=["model-2"]) as session, client.open_session(task("tasks/o")) as other:
            assert other.model_environment == {}
            reach = session.model_environment
            for model, status in (("model-2", 200), ("model-1", 403)):
                body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
                headers = {"authorization": f"Bearer {reach['OPENAI_API_KEY']}"}
                answer = httpx.post(f"{reach['OPENAI_BASE_URL']}/chat/completions", json=body, headers=headers)
                assert answer.status_code == status
            session.exec(SOLVE)
            bundle = Path(session.seal().path)
    facts = json.loads((bundle / "agent/model.json").read_text())
    assert (facts["asked"], facts["turns"]) == (["model-2"], 2)
    assert verify(bundle).ok


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--user", "nobody-of-that-name"), "there is no such user"),
        (("--user", "0"), "say with --tasks"),
        (("--tasks", "none"), "--tasks none: can't be used"),
        (("--socket", "task"), "is there already and is no socket"),
        (("--socket", "SOCKET"), "another server serves there"),
    ],
)
def test_a_server_that_cant_begin_says_why(
    affidavit: Command, server: Served, tmp_path: Path, arguments: tuple[str, str], message: str
) -> None:
    (tmp_path / "task").touch()
    done = affidavit("serve", *(str(server.socket) if word == "SOCKET" else word for word in arguments))
    assert (done.status, message in done.err, done.err.count("\n")) == (2, True, 1), done.err
