"""Readers of hostile bytes run without privileges and come to an end."""

import os

import pytest

from affidavit.grading.confined import Overrun, run_confined


def test_what_it_returns_comes_back():
    assert run_confined("builtins:sorted", [3, 1, 2]) == [1, 2, 3]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_it_has_no_privileges_and_no_network():
    assert run_confined("os:getresuid") == [65534] * 3
    assert run_confined("os:getgroups") == []
    with pytest.raises(RuntimeError, match="PermissionError"):
        run_confined("os:listdir", "/root")
    with pytest.raises(RuntimeError, match="unreachable"):
        run_confined("socket:create_connection", ("127.0.0.1", 9))


def test_it_starts_no_process():
    with pytest.raises(RuntimeError, match="BlockingIOError"):
        run_confined("os:fork")


def test_its_memory_and_time_end():
    with pytest.raises(Overrun, match="memory"):
        run_confined("builtins:bytes", 8 << 30)
    with pytest.raises(Overrun, match="processor time"):
        run_confined("builtins:eval", "[0 for _ in iter(int, 1)]", cpu_seconds=1)


def test_a_crash_of_its_is_no_crash_of_ours():
    with pytest.raises(Overrun, match="crash"):
        run_confined("ctypes:string_at", 1)


def test_an_exception_of_its_is_told():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run_confined("operator:truediv", 1, 0)
