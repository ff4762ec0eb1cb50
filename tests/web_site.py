"""A web site for tests that download."""

import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# All of 127.0.0.0/8 is this machine, and no program takes this one for local.
HOST = "127.0.0.2"


class Site:
    """A site on loopback that can be shut."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=folder)  # type: ignore[arg-type]

            def log_message(self, *_: object) -> None:
                site.asked.append(self.path)

        (folder / "expected").write_text("42\n")
        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.address = f"{HOST}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def shut(self) -> None:
        self._server.shutdown()
        self._server.server_close()
