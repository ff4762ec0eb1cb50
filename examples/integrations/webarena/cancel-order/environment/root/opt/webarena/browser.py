"""A browser for agents: Chromium, driven through chromedriver (W3C WebDriver).

with Browser() as browser:
    browser.open("http://…")
    browser.fill("customer", "Ines")
    browser.click("Search")
    print(browser.text())
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# What the command chromium starts, which wants settings in /etc.
_CHROMIUM = "/usr/lib/chromium/chromium"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server")


class Browser:
    def __enter__(self):
        self._folder = tempfile.mkdtemp(prefix="browser-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {**os.environ, "HOME": self._folder, "TMPDIR": self._folder}
        # In the folder of the evaluation, of which this file is a part.
        where, command = Path(__file__).resolve().parent, ["chromedriver", f"--port={port}", "--silent"]
        self._driver = subprocess.Popen(command, cwd=where, env=environment, stdout=subprocess.DEVNULL)
        self._address = f"http://127.0.0.1:{port}/session"
        options = {"binary": _CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={self._folder}/profile"]}
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self._address += "/" + self._ask("POST", "", wanted)["sessionId"]
        return self

    def __exit__(self, *_):
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, url):
        self._ask("POST", "/url", {"url": url})

    def text(self):
        return self._run("return document.body.innerText")

    def click(self, label):
        """Click a link or a button that leads to another page, and wait for that."""
        place = f"//*[self::a or self::button][normalize-space()='{label}']"
        self._run("document.left = true")
        self._ask("POST", f"/element/{self._find('xpath', place)}/click", {})
        while not self._run("return !document.left && document.readyState === 'complete'"):
            time.sleep(0.05)

    def fill(self, name, text):
        self._ask("POST", f"/element/{self._find('css selector', f'[name={name}]')}/value", {"text": text})

    def _run(self, script):
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def _find(self, how, value):
        return self._ask("POST", "/element", {"using": how, "value": value})[_ELEMENT]

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with no_proxy.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            sys.exit(f"browser: {json.load(error)['value']['message'].splitlines()[0]}")
