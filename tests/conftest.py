"""Fixtures of the tests that run the whole road of a trial."""

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from affidavit.evaluation import choose_runtime
from affidavit.sandbox import clean_stale
from harness import (
    WAYS,
    Command,
    Home,
    Trials,
    Way,
    leftovers,
    share_images,
    unmount_below,
    wait_until_gone,
    write_task,
)
from web_site import Site

# Who runs tests in the background of a script, or under nohup, has these ignored, and all processes inherit that;
# affidavit leaves ignored what it finds ignored.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

# A loaded machine is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_choose = functools.cache(choose_runtime)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A state and a key folder for all tests: what is cached there need be made only once."""
    if os.geteuid() != 0:
        pytest.skip("sandboxes need root")
    folder = tmp_path_factory.mktemp("home")
    share_images(folder / "state")
    yield Home(folder / "state", folder / "keys")
    # Where a test has failed: pytest is going to remove this folder, and something may be mounted in it.
    clean_stale(folder / "state")
    unmount_below(folder)


@pytest.fixture
def at_home(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Affidavit in this process uses `home`, works in `tmp_path`, and is asked once only what works on this machine."""
    for name, value in home.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("affidavit.evaluation.preflight.choose_runtime", _choose)
    return home


@pytest.fixture
def affidavit(at_home: Home, tmp_path: Path) -> Iterator[Command]:
    """The command; what it started is gone after the test."""
    command = Command(at_home, tmp_path)
    yield command
    command.end()


@pytest.fixture
def trials(at_home: Home, tmp_path: Path) -> Trials:
    """Trials."""
    return Trials(at_home, tmp_path)


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Path]:
    """Makes task folders, each in a folder of its own unless a name is given; see `write_task`."""

    def make(name: str = "tasks/tiny", **content: object) -> Path:
        return write_task(tmp_path / name, **content)

    return make


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """Each runtime with each recorder that goes with it."""
    wanted: Way = request.param
    if wanted.missing:
        pytest.skip(f"{wanted.missing}: not installed")
    return wanted


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web site that has the file ``expected``, with the text 42."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "site").mkdir()
    made = Site(tmp_path / "site")
    yield made
    made.shut()


@pytest.fixture
def nothing_left(home: Home, tmp_path: Path) -> Iterator[None]:
    """After the test nothing of its runs is left on the machine, nor a descriptor in this process."""
    before = _descriptors()
    yield
    wait_until_gone(lambda: [*leftovers(home.state, tmp_path), *sorted(_descriptors() - before)])


def _descriptors() -> set[str]:
    """What is open here, by number and target."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"descriptor {entry.name}: {entry.readlink()}")
        except OSError:
            continue
    return found
