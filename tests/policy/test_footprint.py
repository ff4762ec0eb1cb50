"""What of an agent's changes in a container is kept out of the grading."""

import json
from collections.abc import Callable

import pyarrow as pa
import pytest

from affidavit.contracts import default_for
from affidavit.policy import Footprint, Judge
from policy.remains import Change

SITE = "/usr/local/lib/python3.11/dist-packages"
DIRECTORY = 0o200000


@pytest.fixture
def footprint(table: Callable[..., pa.Table]) -> Footprint:
    """Of a verifier that runs Python, which imports a module of its own, and of a solution that installs a package."""
    record = table(
        {"op": "exec", "path": "/usr/bin/python3", "exe": "/usr/bin/python3.11", "argv": ["python3", "-s"]},
        {"op": "exec", "path": "/usr/bin/perl", "exe": "/usr/bin/perl", "argv": ["perl"]},
        {"op": "open_read", "path": "/usr/lib/x86_64-linux-gnu/libz.so.1.2"},
        {"op": "open_read", "path": "/usr/lib/python3.11", "flags": DIRECTORY},
        {"op": "open_read", "path": "/opt/later/lib/one.so", "ret": -2},
        {"op": "open_read", "path": "/usr/share/nodejs/npm/lib/cli.js"},
        {"op": "open_read", "path": "/opt/service/main.js"},
        {"op": "open_read", "path": "/usr/lib/python3.11/xml/__pycache__/dom.cpython-311.pyc"},
        {"op": "open_read", "path": f"{SITE}/known", "flags": DIRECTORY},
        {"op": "open_read", "path": f"{SITE}/known/__pycache__/it.cpython-311.pyc"},
        {"op": "open_read", "path": "/workspace/tool.js"},
        {"op": "open_read", "path": "/etc/ld.so.cache"},
        {"op": "open_read", "path": "/usr/lib/python3.11/json/__init__.py"},
        {"op": "open_read", "path": "/usr/lib/locale/C.utf8/LC_CTYPE"},
        {"op": "open_read", "path": "/etc/passwd"},
        {"op": "open_read", "path": "/opt/app.toml", "ret": -2},
        {"op": "open_read", "path": SITE, "flags": DIRECTORY},
        {"op": "open_read", "path": "/opt/venv/lib", "flags": DIRECTORY},
        {"op": "unlink", "path": "/srv/never"},
    )
    solution = [
        Change("/workspace/answer"),
        Change(f"{SITE}/pack", type="directory"),
        Change(f"{SITE}/pack/__init__.py"),
        Change(f"{SITE}/pack-1.0.dist-info", type="directory"),
        Change(f"{SITE}/pack-1.0.dist-info/entry_points.txt"),
        Change("/usr/local/bin/pack"),
        Change("/etc/hosts", kind="modified"),
        Change("/srv/gone", kind="deleted"),
        Change("/opt/venv", type="directory"),
        Change("/opt/venv/lib", type="directory"),
        Change("/opt/venv/share", type="directory"),
        Change("/opt/service", type="directory"),
        Change("/opt/service/main.js"),
        Change("/usr/lib/python3.11/nuisance.py", kind="deleted"),
    ]
    links = {
        "/lib64": "usr/lib64",
        "/lib": "usr/lib",
        "/usr/lib64/ld-linux-x86-64.so.2": "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/usr/lib64/libz.so.1": "/etc/links/libz",
        "/etc/links/libz": "/usr/lib/x86_64-linux-gnu/libz.so.1.2",
        "/usr/lib/x86_64-linux-gnu/libjq.so.1": "libjq.so.1.0",
        "/srv/loop": "loop",
    }
    return Footprint.observed(
        "/workspace",
        solution,
        record.to_batches(),
        ("/opt/tools", "/root/.local/bin", "/usr/bin"),
        links=links,
        looked_for=["uv"],
        homes=["/srv/web", "/root", "/home/agent", "/"],
    )


CARRIED = {
    "the product": Change("/workspace/bin/python3"),
    "even what has a name that is looked for": Change("/workspace/lib/x.pth"),
    "what the solution made": Change("/usr/local/bin/pack", kind="modified"),
    "what it changed": Change("/etc/hosts", kind="modified"),
    "a folder that it made, whole": Change(f"{SITE}/pack/more.py"),
    "another version of a distribution": Change(f"{SITE}/pack-2.1.dist-info/entry_points.txt"),
    "a folder in one that is searched": Change("/opt/venv/share/more"),
    "what nothing uses": Change("/usr/bin/jq"),
    "a service's data": Change("/var/lib/postgresql/data/x"),
    "a module of a package that nothing imports": Change(
        "/usr/lib/python3/dist-packages/yaml/loader.py", kind="modified"
    ),
    "what it deleted": Change("/usr/lib/python3.11/nuisance.py", kind="deleted"),
    "a link to what nothing uses": Change(
        "/usr/lib/x86_64-linux-gnu/libjq.so.1", kind="modified", type="symlink", target="x"
    ),
    "a module beside the solution's own": Change("/opt/service/other.js"),
    "a file of a program's name that is no program": Change("/srv/data/perl"),
    "the mode of a module": Change("/usr/lib/python3.11/telnetlib.py", kind="metadata"),
}
KEPT_OUT = {
    "PATH": Change("/usr/local/sbin/python3"),
    "a name that a program was started by": Change("/root/.local/bin/python3.11"),
    "a name on the PATH": Change("/opt/tools/python3"),
    "a folder of the PATH that leads elsewhere": Change("/root/.local/bin", type="symlink", target="/srv"),
    "what lies above such a folder": Change("/root/.local", type="symlink", target="/srv"),
    "a module beside what the solution put into a folder that is searched": Change("/opt/venv/lib/json.py"),
    "an archive of modules": Change("/usr/lib/python311.zip"),
    "a user's own modules": Change("/root/.local/lib/python3.11/site-packages/pytest.py"),
    "settings of tools": Change("/root/.config/matplotlib/matplotlibrc"),
    "sitecustomize": Change("/usr/lib/python3.11/sitecustomize.py"),
    "usercustomize": Change("/root/.local/lib/python3.11/site-packages/usercustomize.py"),
    "lines of Python that every start runs": Change(f"{SITE}/pack/evil.pth"),
    "a plug-in": Change(f"{SITE}/evil-1.0.dist-info/entry_points.txt"),
    "a module in a folder that is searched": Change(f"{SITE}/simplejson.py"),
    "a package in a folder that is searched": Change(f"{SITE}/simplejson", type="directory"),
    "compiled code in place of a module": Change("/usr/lib/python3/dist-packages/json.pyc"),
    "what configures tests above them": Change("/conftest.py"),
    "a folder that Perl searches first": Change("/etc/perl/strict.pm"),
    "ld.so.preload": Change("/etc/ld.so.preload"),
    "the linker's folders": Change("/etc/ld.so.conf.d/a.conf"),
    "the linker's cache": Change("/etc/ld.so.cache", kind="modified"),
    "profile files": Change("/etc/profile.d/a.sh"),
    "a shell's settings": Change("/root/.bashrc", kind="modified"),
    "names of machines": Change("/etc/host.conf"),
    "git": Change("/root/.gitconfig"),
    "git of all": Change("/etc/gitconfig"),
    "nsswitch": Change("/etc/nsswitch.conf", kind="modified"),
    "alternatives": Change("/etc/alternatives/editor", kind="modified", type="symlink", target="/usr/bin/jq"),
    "locale": Change("/usr/lib/locale/C.utf8/LC_CTYPE", kind="modified"),
    "accounts": Change("/etc/passwd", kind="modified"),
    "what was looked for in vain": Change("/opt/app.toml"),
    "a folder of what is used": Change("/usr/lib/python3.11", kind="modified", type="symlink", target="/tmp"),
    "pip's settings": Change("/etc/pip.conf"),
    "an upgrade of a package": Change(f"{SITE}/known/it.py", kind="modified"),
    "a program that is looked for": Change("/usr/local/bin/uv"),
    "a program where another looks first": Change("/usr/lib/git-core/perl"),
    "what loads programs under another name": Change("/usr/lib/x86_64-linux-gnu/ld-2.31.so", kind="modified"),
    "faster libraries": Change("/usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libm.so.6"),
    "a module that nothing opened yet": Change("/usr/lib/python3.11/telnetlib.py", kind="modified"),
    "a module of Perl": Change("/usr/share/perl5/File/Spec.pm"),
    "a module of Node without its suffix": Change("/usr/share/nodejs/npm/lib/cli"),
    "a repository above the working directory": Change("/.git", type="file"),
    "settings in a home folder elsewhere": Change("/srv/web/.bashrc"),
    "modules in a home folder elsewhere": Change("/srv/web/.local/lib/python3.11/site-packages/json.py"),
}
REPLACED = {
    "a program": Change("/usr/bin/python3.11", kind="modified"),
    "a module": Change("/usr/lib/python3.11/json/__init__.py", kind="deleted"),
    "the source of a module": Change("/usr/lib/python3.11/xml/dom.py", kind="modified"),
    "what loads programs": Change("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", kind="modified"),
    "a link to it": Change("/usr/lib64/ld-linux-x86-64.so.2", kind="modified"),
    "a link to a library": Change("/usr/lib64/libz.so.1", kind="modified"),
    "a link to the folder of one": Change("/lib64", kind="modified", type="symlink", target="/opt"),
}
IN_FOLDERS = {
    "a folder in which something was looked for": [
        Change("/opt/later", type="directory"),
        Change("/opt/later/lib", type="directory"),
        Change("/opt/later/lib/two.so"),
    ],
    "a package of Node": [
        Change("/usr/share/nodejs/npm/lib/node_modules", type="directory"),
        Change("/usr/share/nodejs/npm/lib/node_modules/semver.js"),
    ],
    "a package of Node among others": [
        Change("/usr/share/node_modules/semver", type="directory"),
        Change("/usr/share/node_modules/semver/index.js"),
    ],
    "a repository": [
        Change("/.git", type="directory"),
        Change("/.git/config"),
    ],
}  # fmt: skip


def judge(footprint: Footprint) -> Judge:
    return Judge(default_for("/workspace", "container"), footprint=footprint)


@pytest.mark.parametrize("what", CARRIED)
def test_what_the_grading_does_not_rest_on_is_carried_over(footprint: Footprint, what: str) -> None:
    # With the folders above it that were added, too.
    judged = judge(footprint)
    assert judged.carried([CARRIED[what]]) == {CARRIED[what].path}
    assert judged.finish(diff=[CARRIED[what]]) == []
    assert judged.attempts == ()


@pytest.mark.parametrize("what", KEPT_OUT)
def test_trojans_are_kept_out_and_named(footprint: Footprint, what: str) -> None:
    change = KEPT_OUT[what]
    judged = judge(footprint)
    assert judged.carried([change]) == frozenset()
    assert judged.finish(diff=[change]) == []
    (attempt,) = judged.attempts
    assert (attempt.rule, attempt.outcome, attempt.stage) == ("grading.footprint", "set_aside", "diff")
    assert attempt.message.startswith(f"{change.path} was ")


def test_compiled_caches_are_kept_out_without_a_word(footprint: Footprint) -> None:
    change = Change("/usr/lib/python3.11/json/__pycache__/__init__.cpython-311.pyc", kind="modified")
    judged = judge(footprint)
    assert judged.carried([change]) == frozenset()
    assert (judged.finish(diff=[change]), judged.attempts) == ([], ())


@pytest.mark.parametrize("what", IN_FOLDERS)
def test_what_lies_in_a_folder_that_is_looked_into_is_kept_out_with_it(footprint: Footprint, what: str) -> None:
    changes = IN_FOLDERS[what]
    judged = judge(footprint)
    assert judged.carried(changes) == frozenset()
    assert judged.finish(diff=changes) == []
    assert {attempt.message.split()[0] for attempt in judged.attempts} >= {changes[0].path}


def test_a_folder_in_place_of_a_link_is_a_violation_with_all_that_is_in_it(footprint: Footprint) -> None:
    changes = [
        Change("/lib64", kind="modified", type="directory"),
        Change("/lib64/ld-linux-x86-64.so.2"),
        Change("/lib64/other.so"),
    ]
    judged = judge(footprint)
    assert judged.carried(changes) == frozenset()
    (violation,) = judged.finish(diff=changes)
    assert violation.message == "/lib64 was changed, which the tests use"


def test_a_former_footprint_keeps_out_what_it_did(footprint: Footprint) -> None:
    stored = footprint.to_json()
    for name in ("gone", "homes", "rules"):
        del stored[name]
    former = Footprint.from_json(stored)
    changes = [
        KEPT_OUT[what]
        for what in ("what loads programs under another name", "a module of Perl", "a module that nothing opened yet")
    ]
    assert former.kept_out(changes) == {}
    assert len(footprint.kept_out(changes)) == 3
    with pytest.raises(ValueError, match="no footprint"):
        Footprint.from_json({**stored, "rules": 3})


@pytest.mark.parametrize("what", REPLACED)
def test_what_replaces_what_the_tests_use_is_a_violation(footprint: Footprint, what: str) -> None:
    judged = judge(footprint)
    assert judged.carried([REPLACED[what]]) == frozenset()
    (violation,) = judged.finish(diff=[REPLACED[what]])
    assert (violation.rule, violation.severity) == ("grading.footprint", "high")
    assert violation.message.endswith(", which the tests use")


def test_what_was_added_together_is_named_once(footprint: Footprint) -> None:
    package = [Change(f"{SITE}/big", type="directory"), *(Change(f"{SITE}/big/{number}.py") for number in range(500))]
    judged = judge(footprint)
    assert judged.carried(package) == frozenset()
    judged.finish(diff=package)
    assert [attempt.message.split()[0] for attempt in judged.attempts] == [f"{SITE}/big"]


def test_where_nobody_looked_the_product_alone_is_carried_over() -> None:
    changes = [Change("/workspace/a"), Change("/usr/bin/jq"), Change("/var/lib/x")]
    assert judge(Footprint("/workspace")).carried(changes) == {"/workspace/a"}


@pytest.mark.parametrize("workdir", ["/", "/root", "/home/agent"])
def test_a_working_directory_that_holds_settings_is_no_product_whole(workdir: str, footprint: Footprint) -> None:
    own = Footprint(workdir, used=footprint.used, programs=footprint.programs)
    home = "/root" if workdir == "/" else workdir
    changes = [Change(f"{home}/.bashrc"), Change(f"{home}/work.py")]
    assert own.kept_out(changes).keys() == {f"{home}/.bashrc"}


def test_it_stands_in_a_bundle_as_it_is(footprint: Footprint) -> None:
    for one in (footprint, Footprint("/workspace")):
        assert Footprint.from_json(json.loads(json.dumps(one.to_json()))) == one
    for wrong in ({}, {**footprint.to_json(), "used": "x"}, {**footprint.to_json(), "files": [1]}):
        with pytest.raises(ValueError, match="no footprint"):
            Footprint.from_json(wrong)
