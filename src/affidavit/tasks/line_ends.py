"""Scripts that were saved with the line ends of Windows: a shell takes the carriage return for a letter."""

from pathlib import Path

CRLF = "has CRLF line ends, and a shell takes the CR for a part of each line's last word; run sed -i 's/\\r$//' on it"
"""What is wrong with such a script, after its name, and what to do."""

_MOST_BYTES = 256 << 10


def has_crlf(script: Path) -> bool:
    """Whether a script has a line that ends in CR LF, as far as its first 256 KiB go; False where it can't be read."""
    try:
        with script.open("rb") as file:
            return b"\r\n" in file.read(_MOST_BYTES)
    except OSError:
        return False
