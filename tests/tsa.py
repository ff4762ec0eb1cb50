"""A time-stamping authority for tests: ``openssl ts`` behind HTTP on loopback."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONFIG = """
[tsa]
default_tsa = one
[one]
dir = .
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True)
class Authority:
    """Where it is asked, and the certificate that it is known by."""

    url: str
    certificate: Path


def make_authority(folder: Path) -> Path:
    """The certificate of a new authority, whose files are in `folder`."""
    folder.mkdir(exist_ok=True)
    usage = ["-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "keyUsage=critical,digitalSignature"]
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=TSA {folder.name}"]
    files = ["-keyout", "tsa.key", "-out", "tsa.pem"]
    subprocess.run(["openssl", *request, *usage, *files], cwd=folder, check=True, capture_output=True)
    (folder / "serial").write_text("01\n")
    (folder / "ts.cnf").write_text(_CONFIG)
    return folder / "tsa.pem"


@contextmanager
def authority_at_work(folder: Path) -> Iterator[Authority]:
    """A new authority that answers."""
    certificate, one_at_a_time = make_authority(folder), threading.Lock()

    def reply(query: bytes) -> bytes:
        with one_at_a_time:
            (folder / "query.tsq").write_bytes(query)
            command = ["ts", "-reply", "-config", "ts.cnf", "-queryfile", "query.tsq", "-out", "answer.tsr"]
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
            return (folder / "answer.tsr").read_bytes()

    with answering(reply) as url:
        yield Authority(url, certificate)


@contextmanager
def answering(reply: Callable[[bytes], bytes]) -> Iterator[str]:
    """The address of a server that answers what is posted to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(answer)

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
