"""What Python programs do with files, programs and sockets: by the standard library, not by system calls of choice."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

here = Path.cwd()
(here / "made" / "deep").mkdir(parents=True)
(here / "made" / "text").write_text("x")
with (here / "made" / "text").open("a") as file:
    file.write("y")
Path("made/text").replace("made/deep/text")
shutil.copyfile("made/deep/text", "copy")
shutil.move("copy", "folder")
with tempfile.NamedTemporaryFile(dir=here, prefix="temporary-"):
    pass
(here / "hard").hardlink_to(here / "made/deep/text")
(here / "soft").symlink_to("hard")
(here / "soft").chmod(0o640)
os.truncate("soft", 0)
shutil.rmtree("made")
with contextlib.suppress(FileNotFoundError):
    (here / "missing").read_bytes()
subprocess.run(["/opt/conform", "nothing"], check=True)
subprocess.run("/opt/conform nothing; exit 3", shell=True, check=False)
thread = threading.Thread(target=lambda: Path("by-thread").touch())
thread.start()
thread.join()
with socket.create_server(("127.0.0.1", 4020)) as server, socket.create_connection(("127.0.0.1", 4020)):
    server.accept()[0].close()
