"""Hidden tests: the script is run as a user would, on logs that the agent has not seen."""

import subprocess
from pathlib import Path

LINE = '{client} - - [{day}/{month}/2023:{hour}:30:00 +0200] "GET {target} HTTP/1.1" {status} {size} "-" "probe"\n'


def line(client="192.0.2.1", day="03", month="Nov", hour="07", target="/", status=200, size="10"):
    return LINE.format(client=client, day=day, month=month, hour=hour, target=target, status=status, size=size)


def report(folder, text):
    """What the script prints for a log with this text; its exit status comes first when it is not 0."""
    log = folder / "some.log"
    log.write_text(text)
    done = subprocess.run(["/workspace/report.sh", str(log)], capture_output=True, text=True, timeout=30)
    return ([f"exit {done.returncode}"] if done.returncode else []) + done.stdout.splitlines()


def test_larger_log(tmp_path):
    assert report(tmp_path, Path("/tests/some.log").read_text()) == Path("/tests/some.txt").read_text().splitlines()


def test_empty_log(tmp_path):
    assert report(tmp_path, "") == ["requests 0", "clients 0", "bytes 0", "malformed 0"]


def test_only_malformed_lines(tmp_path):
    assert report(tmp_path, "nonsense\n\n") == ["requests 0", "clients 0", "bytes 0", "malformed 2"]


def test_ties_go_by_path(tmp_path):
    lines = report(tmp_path, "".join(line(target=target) for target in ("/b", "/a", "/Z", "/c")))
    assert lines[4:7] == ["top 1 /Z", "top 1 /a", "top 1 /b"]


def test_earliest_busy_hour(tmp_path):
    text = line(day="30", month="Sep", hour="23") + line(day="01", month="Oct", hour="00")
    assert report(tmp_path, text)[-2] == "busiest 2023-09-30T23 1"


def test_queries_and_sizes(tmp_path):
    text = line(target="/x?a=1", size="-") + line(target="/x?b=2?c", size="4000000000") + line(size="4000000000")
    assert report(tmp_path, text)[2:6] == ["bytes 8000000000", "status 200 3", "top 2 /x", "top 1 /"]


def test_half_a_line_is_malformed(tmp_path):
    text = line() + '192.0.2.1 - - [03/Nov/2023:07:30:00 +0200] "GET /" 200 10\n' + line(status="20x")
    assert report(tmp_path, text)[-1] == "malformed 2"


def test_wrong_use(tmp_path):
    done = subprocess.run(["/workspace/report.sh", str(tmp_path / "none")], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr != "") == (2, "", True)
