"""Fuzzing with coverage as the guide: ``python tests/fuzz/fuzz.py TARGET [libFuzzer's options] [corpus folders]``."""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))

_HOSTILE = ["affidavit.recorder", "affidavit.events", "affidavit.grading", "affidavit.evaluation", "affidavit_inside"]

with atheris.instrument_imports(include=_HOSTILE):
    from targets import TARGETS


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: fuzz.py {'|'.join(TARGETS)} [options of libFuzzer] [corpus folders]")
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
