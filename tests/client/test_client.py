"""What the client needs; that it works is shown in ``tests/server``."""

import ast
import subprocess
import sys
from pathlib import Path

from affidavit.client import Client

CLIENT = Path(sys.modules[Client.__module__].__file__ or "").parent


def test_the_client_needs_nothing_but_an_old_python() -> None:
    for path in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.startswith("affidavit.client") or name.split(".")[0] in sys.stdlib_module_names, (
                    path,
                    name,
                )
    loaded = "import sys, affidavit.client; print(*{m for m in sys.modules if m.startswith('affidavit.')})"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert all(name.startswith("affidavit.client") for name in done.stdout.split()), done.stdout
