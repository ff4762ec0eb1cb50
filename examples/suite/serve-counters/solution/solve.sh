#!/bin/bash
set -euo pipefail

cat > /workspace/serve.py <<'PY'
#!/usr/bin/env python3
"""Counters over HTTP, kept in a file."""

import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = re.compile(r"/counters(?:/([a-z0-9-]{1,32}))?")
FILE = sys.argv[2]
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, value=None):
        raw = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace").strip()
        match = PATH.fullmatch(self.path)
        if match is None:
            return self.reply(404)
        name = match[1]
        if self.command not in (("GET",) if name is None else ("GET", "POST", "DELETE")):
            return self.reply(405)
        with LOCK:
            counters = load()
            if name is None:
                return self.reply(200, dict(sorted(counters.items())))
            if self.command == "POST":
                if not re.fullmatch(r"-?[0-9]+", body or "1"):
                    return self.reply(400)
                counters[name] = counters.get(name, 0) + int(body or "1")
                store(counters)
                return self.reply(200, counters[name])
            if name not in counters:
                return self.reply(404)
            if self.command == "GET":
                return self.reply(200, counters[name])
            del counters[name]
            store(counters)
            return self.reply(204)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *arguments):
        pass


def load():
    try:
        with open(FILE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def store(counters):
    with open(f"{FILE}.new", "w", encoding="utf-8") as file:
        json.dump(counters, file)
    os.replace(f"{FILE}.new", FILE)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
PY
chmod +x /workspace/serve.py
python3 -c 'compile(open("/workspace/serve.py").read(), "serve.py", "exec")'
