"""Files of others are looked at under a limit."""

import pytest

from affidavit.cli.memory import bounded_memory


def test_what_takes_more_is_refused() -> None:
    with bounded_memory(512):
        assert len(bytearray(64 << 20)) == 64 << 20
        with pytest.raises(MemoryError):
            bytearray(1 << 30)
    assert len(bytearray(1 << 30)) == 1 << 30
