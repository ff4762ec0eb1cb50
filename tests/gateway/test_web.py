"""A web server that answers programs from a cache: what it keeps, what it refuses, and what programs make of it."""

import hashlib
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from affidavit.gateway import (
    Answers,
    Authority,
    CachedAnswer,
    GatewayError,
    WebCache,
    WebProcess,
    WebSettings,
    WebSpool,
    new_cache,
    web_environment,
    write_web_files,
)
from affidavit.gateway.web_cache import Query
from affidavit.gateway.web_server import is_private

# All of 127.0.0.0/8 is this machine, and no program takes this one for local.
HOST = "127.0.0.2"


class Upstream:
    """A site on loopback.

    Attributes:
        files: what it has, by path: a body, or a body by the header Accept.
        asked: the requests that it got.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, bytes | Mapping[str, bytes]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                found = site.files.get(self.path)
                varies = isinstance(found, Mapping)
                body = found.get(self.headers.get("accept", ""), b"") if isinstance(found, Mapping) else found
                self.send_response(200 if body is not None else 404)
                body = body or b""
                if varies:
                    self.send_header("Vary", "Accept")
                self.send_header("Content-Type", "text/html" if "/simple/" in self.path else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://{HOST}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def upstream(context: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    site = Upstream(context)
    try:
        yield site
    finally:
        site.close()


class Running:
    """A web server, and a way to ask it."""

    def __init__(self, settings: WebSettings, folder: Path, stack: ExitStack) -> None:
        self._settings = settings
        self._files = folder / "files"
        write_web_files(self._files, str(self._files), settings.authority)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._process = stack.enter_context(WebProcess(settings, listener, folder / "spool"))
        context = ssl.create_default_context(cadata=settings.authority.certificate.decode())
        proxy = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(proxy=proxy, verify=context, timeout=30, trust_env=False)
        stack.callback(self.client.close)

    @property
    def env(self) -> dict[str, str]:
        return web_environment(str(self._files), self.port)

    def stop(self) -> WebSpool:
        """End it; what it fetched is in its cache afterwards."""
        self.client.close()
        spool = self._process.stop()
        if self._settings.fetch:
            WebCache.write(self._settings.folder, Answers(spool.fetched))
        return spool


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """Starts web servers over one cache: `fetch` or not."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    new_cache(tmp_path / "cache")
    with ExitStack() as stack:

        def start(fetch: bool = False, allowed: tuple[str, ...] = (HOST,)) -> Running:
            folder = tmp_path / os.urandom(4).hex()
            folder.mkdir()
            return Running(WebSettings(tmp_path / "cache", Authority.new(), fetch, allowed), folder, stack)

        yield start


def test_what_was_fetched_is_answered_without_the_site(web: Callable[..., Running]) -> None:
    with upstream() as site:
        site.files["/a?b=1"] = b"content" * 100_000
        first = web(fetch=True)
        assert first.client.get(f"{site.url}/a?b=1").content == site.files["/a?b=1"]
        assert first.client.get(f"{site.url}/none").status_code == 404
        assert first.client.get(f"{site.url}/a?b=1").status_code == 200
        fetched = first.stop().fetched
    assert site.asked == ["GET /a?b=1", "GET /none"]
    assert [(one.query.url, one.status, one.size) for one in fetched] == [
        (f"{site.url}/a?b=1", 200, 700_000),
        (f"{site.url}/none", 404, 0),
    ]
    again = web()
    assert again.client.get(f"{site.url}/a?b=1").content == b"content" * 100_000
    assert again.client.get(f"{site.url}/none").status_code == 404
    head = again.client.head(f"{site.url}/a?b=1")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "700000", b"")
    part = again.client.get(f"{site.url}/a?b=1", headers={"range": "bytes=7-13"})
    assert (part.status_code, part.content) == (206, b"content")
    assert part.headers["content-range"] == "bytes 7-13/700000"
    assert again.client.get(f"{site.url}/a?b=1", headers={"range": "bytes=-3"}).content == b"ent"
    assert again.stop().missed == []


def test_a_miss_is_told_and_never_fetched(web: Callable[..., Running]) -> None:
    with upstream() as site:
        site.files["/a"] = b"1"
        server = web()
        answer = server.client.get(f"{site.url}/a")
        assert (answer.status_code, site.asked) == (404, [])
        assert answer.text == f"# Affidavit: the verifier cache does not have GET {site.url}/a\n"
        server.client.post(f"{site.url}/a", content=b"x")
        server.client.get(f"{site.url}/a")
        assert server.stop().missed == [f"GET {site.url}/a", f"POST {site.url}/a"]


def test_tls_is_opened_and_the_sites_certificate_is_checked(
    web: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Authority.new()
    with upstream(theirs.context(HOST)) as site:
        site.files["/a"] = b"secret"
        strange = web(fetch=True)
        answer = strange.client.get(f"{site.url}/a")
        assert answer.status_code == 502
        assert "certificate" in answer.text.lower()
        strange.stop()
        (tmp_path / "theirs.pem").write_bytes(theirs.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "theirs.pem"))
        WebCache.write(tmp_path / "cache", Answers())
        known = web(fetch=True)
        assert known.client.get(f"{site.url}/a").content == b"secret"
        known.stop()
    assert web().client.get(f"{site.url}/a").content == b"secret"


def test_answers_that_vary_are_kept_apart(web: Callable[..., Running]) -> None:
    with upstream() as site:
        site.files["/a"] = {"text/html": b"html", "application/json": b"json"}
        site.files["/b"] = b"same"
        server = web(fetch=True)
        for accept in ("text/html", "application/json"):
            server.client.get(f"{site.url}/a", headers={"accept": accept})
        server.client.get(f"{site.url}/b", headers={"accept": "text/html"})
        server.stop()
    again = web()
    assert again.client.get(f"{site.url}/a", headers={"accept": "application/json"}).content == b"json"
    assert again.client.get(f"{site.url}/a", headers={"accept": "text/html"}).content == b"html"
    assert again.client.get(f"{site.url}/b", headers={"accept": "image/png"}).content == b"same"
    assert again.client.get(f"{site.url}/a", headers={"accept": "image/png"}).status_code == 404
    assert again.stop().missed == [f"GET {site.url}/a"]


def test_this_machine_is_out_of_reach_but_by_leave(web: Callable[..., Running]) -> None:
    with upstream() as site:
        site.files["/a"] = b"private"
        server = web(fetch=True, allowed=())
        answer = server.client.get(f"{site.url}/a")
        assert (answer.status_code, site.asked) == (502, [])
        assert answer.text == f"# Affidavit: {HOST} is a private address; --allow {HOST} permits it\n"
        assert server.client.get("http://localhost:1/").status_code == 502
        assert server.stop().fetched[0].failed.startswith(f"{HOST} is a private address")


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("169.254.169.254", True),
        ("[::1]", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.0.0.1", True),
        ("100.64.0.1", True),
        ("224.0.0.1", True),
        ("localhost.", True),
        ("a.localhost", True),
        ("9.9.9.9", False),
        ("2620:fe::fe", False),
        ("example.org", False),
    ],
)
def test_private_addresses(host: str, private: bool) -> None:
    assert is_private(host) is private


REFUSED = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
)
GARBAGE = (b"\0" * 70_000, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://a/")


def test_what_is_no_request_of_a_proxy_ends_its_connection_alone(web: Callable[..., Running]) -> None:
    server = web(fetch=True)

    def answered(sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            try:
                return client.recv(1000)
            except ConnectionError:
                return b""

    assert [answered(sent).split(b" ")[1] for sent in REFUSED] == [b"400"] * len(REFUSED)
    assert [answered(sent) for sent in GARBAGE] == [b""] * len(GARBAGE)
    assert server.client.get("http://localhost:1/").status_code == 502


def test_a_cache_that_was_changed_is_found_out(tmp_path: Path) -> None:
    cache = new_cache(tmp_path / "cache")
    body = tmp_path / "cache/bodies" / hashlib.sha256(b"a").hexdigest()
    body.write_bytes(b"b")
    answers = Answers([CachedAnswer(Query("GET", "http://a/"), 200, (), body.name, 1)])
    with pytest.raises(GatewayError, match="another one now"):
        WebCache.write(cache.folder, answers)
    body.unlink()
    body.symlink_to("/etc/passwd")
    with pytest.raises(GatewayError, match="is not there"):
        WebCache.write(cache.folder, answers)
    body.unlink()
    body.write_bytes(b"a")
    written = WebCache.write(cache.folder, answers)
    assert WebCache.read(cache.folder).digest == written.digest != cache.digest
    index = json.loads((cache.folder / "index.json").read_bytes())
    index["answers"][0]["status"] = 99
    (cache.folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(GatewayError, match="fill the cache again"):
        WebCache.read(cache.folder)


def wheel() -> bytes:
    """A wheel of a package `tiny` with one module."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tiny.py", "VALUE = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


def npm_package() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        text = json.dumps({"name": "tiny", "version": "1.0.0"}).encode()
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


def debian_package(folder: Path) -> bytes:
    (folder / "deb/DEBIAN").mkdir(parents=True)
    control = "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n"
    (folder / "deb/DEBIAN/control").write_text(control)
    subprocess.run(["dpkg-deb", "--build", folder / "deb", folder / "tiny.deb"], check=True, capture_output=True)
    return (folder / "tiny.deb").read_bytes()


def packages_of(site: Upstream, folder: Path) -> None:
    """Put the same small package into registries for pip, uv, npm and apt."""
    built, packed = wheel(), npm_package()
    site.files["/simple/tiny/"] = b'<!DOCTYPE html><a href="/f/tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>'
    site.files["/f/tiny-1.0-py3-none-any.whl"] = built
    version = {
        "name": "tiny",
        "version": "1.0.0",
        "dist": {"tarball": f"{site.url}/f/tiny.tgz", "shasum": hashlib.sha1(packed).hexdigest()},
    }
    about = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    site.files["/npm/tiny"] = json.dumps(about).encode()
    site.files["/f/tiny.tgz"] = packed
    if shutil.which("dpkg-deb"):
        deb = debian_package(folder)
        control = subprocess.run(["dpkg-deb", "-f", folder / "tiny.deb"], check=True, capture_output=True).stdout
        more = f"Filename: ./tiny.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
        site.files["/apt/./Packages"] = control + more.encode()
        site.files["/apt/./tiny.deb"] = deb


APT = (
    "mkdir -p lists/partial archives/partial none && touch status && "
    "echo 'deb [trusted=yes] {site}/apt ./' >sources.list && "
    'o="-o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=$PWD/none -o Dir::State::Lists=$PWD/lists '
    '-o Dir::Cache=$PWD -o Dir::State::status=$PWD/status" && '
    "apt-get $o -q update && apt-get $o -q download tiny && ls tiny*.deb"
)
TOOLS = {
    "curl": "curl -fsSL {site}/f/tiny-1.0-py3-none-any.whl -o tiny.whl && test -s tiny.whl",
    "wget": "wget -q {site}/f/tiny.tgz -O tiny.tgz && test -s tiny.tgz",
    "pip": "{python} -m pip install -q --isolated --no-cache-dir -t out --trusted-host "
    f"{HOST} -i {{site}}/simple tiny && cat out/tiny.py",
    "uv": "uv pip install -q --no-cache --no-config --python {python} --target out --index-url {site}/simple tiny && "
    "cat out/tiny.py",
    "npm": "npm install --no-audit --no-fund --cache cache --userconfig none --registry {site}/npm/ tiny && "
    "cat node_modules/tiny/package.json",
    "apt-get": APT,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_programs_get_from_the_cache_what_they_got_from_the_web(
    web: Callable[..., Running], tmp_path: Path, tool: str
) -> None:
    if tool != "pip" and shutil.which(tool) is None:
        pytest.skip(f"{tool}: not installed")

    def run(server: Running, site: str) -> "subprocess.CompletedProcess[bytes]":
        folder = tmp_path / f"{tool}-{time.monotonic_ns()}"
        folder.mkdir()
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **server.env}
        script = TOOLS[tool].format(site=site, python=sys.executable)
        return subprocess.run(["sh", "-ec", script], cwd=folder, env=env, capture_output=True, timeout=120)

    with upstream() as site:
        packages_of(site, tmp_path)
        filling = web(fetch=True)
        first = run(filling, site.url)
        assert first.returncode == 0, (first.stderr, site.asked)
        assert filling.stop().fetched
    answering = web()
    again = run(answering, site.url)
    missed = answering.stop().missed
    assert (again.returncode, missed) == (0, []), again.stderr
