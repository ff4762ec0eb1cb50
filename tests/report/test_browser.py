"""Pages in a real browser: nothing in them runs, nothing leaves, and everyone can read them."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from affidavit.report import (
    compare,
    make_report,
    read_behaviour,
    read_runs,
    write_comparison,
    write_page,
    write_pages,
)
from injections import INJECTIONS, RUN
from run_folders import attempt, trial, turn, violation, write_bundle, write_run

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    pytest.skip("chromium: not installed", allow_module_level=True)


# So that every table of a trial's page is there.
DETAIL: dict[str, Any] = {
    "changes": [{"kind": "added", "path": f"/workspace/{'folder/' * 20}file", "type": "file", "size": 3}],
    "grades": [{"name": "tests", "kind": "test_run", "score": 0.5, "weight": 1.0, "message": "1 of 2 parts"}],
    "turns": [turn(1, "I will look at " + "it " * 100, "cat /workspace/" + "x" * 200)],
    "execs": [
        {
            "id": 1, "phase": "agent", "origin": "agent", "argv": ["make", "it"], "uid": 0, "gid": 0, "cwd": "/",
            "pid": 10, "exit_code": 3, "timed_out": False, "began_ns": 1_000_000_000, "ended_ns": 1_002_000_000,
            "stdout_bytes": 0, "stderr_bytes": 0, "dropped_bytes": 0,
        }
    ],
    "attempts": [attempt()],
}  # fmt: skip
WIDTHS = (360, 768, 1280)
PHONE = WIDTHS[0]
ORDINARY = (
    "both.html",
    "compared.html",
    "three.html",
    "many.html",
    "both-pages/index.html",
    "both-pages/trial-00009.html",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium that notes every request, and every complaint of a page."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    profile = tmp_path_factory.mktemp("profile")
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    for argument in (*flags, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(DRIVER))
    made.set_script_timeout(300)
    try:
        yield made
    finally:
        made.quit()


@contextmanager
def view(browser: Any, width: int) -> Iterator[None]:
    """A screen of that width: a window can't be made narrower than 500 pixels, the view in it can."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def opened(browser: Any, path: Path) -> None:
    """Open a page, with every fold open, and forget what was noted before."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@dataclass(frozen=True)
class Traffic:
    """What the page asked for, itself aside; `refused`: what its policy kept from being sent."""

    asked: list[str]
    refused: list[str]


def traffic(browser: Any) -> Traffic:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    urls = {one["requestId"]: one["request"]["url"] for one in sent[1:]}
    failed = [message["params"] for message in messages if message["method"] == "Network.loadingFailed"]
    return Traffic(
        [*urls.values()],
        [urls[one["requestId"]] for one in failed if one.get("blockedReason") == "csp" and one["requestId"] in urls],
    )


def complaints(browser: Any) -> list[str]:
    """What the console shows: a script that was refused would show there."""
    return [entry["message"] for entry in browser.get_log("browser")]


def spelled(text: str) -> str:
    """As a file in UTF-8 can hold it."""
    return text.encode("utf-8", "replace").decode()


def poisoned(text: str, number: int) -> dict[str, Any]:
    broken = [violation(rule=text, message=text, action=text)]
    return trial(
        f"t{number}", 0, "violation", violations=broken, reasons=[text], assurance=text,
        attempts=[attempt(rule=text, message=text, outcome=text)],
        grades=[{"name": text, "kind": text, "message": text, "findings": [{"message": text}]}],
        changes=[{"kind": text, "path": text, "type": text, "target": text}, {"path": f"/{number}"}],
        texts={"files": [{"path": f"/{number}", "before": spelled(text), "after": None}], "left_out": 0},
        identity={"name": "cmd", "command_sha256": text, "model": text}, instruction=text,
        labels={"category": text, "tags": [text]},
        stdout=text.encode("utf-8", "surrogatepass"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a run with every injection in it, and of an ordinary one."""
    folder = tmp_path_factory.mktemp("pages")
    trials = [poisoned(text, number) for number, text in enumerate(INJECTIONS.values())]
    trials += [trial(text, 1, "inconclusive", reasons=[text], bundled=False) for text in INJECTIONS.values()]
    runs = [write_run(folder / "evil", trials, "r-evil")]
    labels = {"category": "debugging", "difficulty": "hard", "tags": ["python"], "security_critical": True}
    for agent, verdict in (("one", "pass"), ("two", "violation")):
        honest = [
            trial(f"t{n}", k, verdict, agent=agent, labels=labels, **DETAIL)
            for n in range(7)
            for k in range(2 if n == 3 else 1)
        ]
        runs.append(write_run(folder / agent, honest, f"r-{agent}"))
    evil = make_report(read_runs(runs[:1]), read_behaviour)
    write_page(evil, folder / "evil.html")
    write_pages(evil, folder / "evil-pages")
    write_comparison(compare(make_report(read_runs(runs[:2]))), folder / "evil-compared.html")
    both = make_report(read_runs(runs[1:]), read_behaviour)
    write_page(both, folder / "both.html")
    write_pages(both, folder / "both-pages")
    write_comparison(compare(both), folder / "compared.html")
    write_comparison(compare(make_report(read_runs(runs))), folder / "evil-three.html")
    third = write_run(
        folder / "three", [trial(f"t{n}", 0, "fail", agent="three", labels=labels) for n in range(7)], "r-3"
    )
    write_comparison(compare(make_report(read_runs([*runs[1:], third]))), folder / "three.html")
    crowd = [
        write_run(
            folder / f"crowd-{number}",
            [trial(f"t{n}", 0, verdict, agent=f"agent-{number}", labels=labels) for n in range(number, 7)],
            f"r-crowd-{number}",
        )
        for number, verdict in enumerate(("pass", "fail", "violation", "pass", "error", "inconclusive", "fail"))
    ]
    many = make_report(read_runs(crowd), read_behaviour)
    write_page(many, folder / "many.html")
    return folder


def poisoned_pages(folder: Path) -> list[Path]:
    compared = [folder / "evil-compared.html", folder / "evil-three.html"]
    return [folder / "evil.html", *compared, *sorted((folder / "evil-pages").iterdir())[::20]]


def test_nothing_runs_and_nothing_leaves(browser: Any, pages: Path) -> None:
    for path in poisoned_pages(pages):
        opened(browser, path)
        assert browser.execute_script("return document.documentElement.dataset.ran") is None, path
        assert browser.title != "ran"
        assert complaints(browser) == [], path
        assert traffic(browser).asked == [], path
        assert browser.execute_script("return document.scripts.length") == 1
        assert browser.execute_script("return document.querySelectorAll('style, link').length") == 1


def test_the_policy_holds_where_escaping_would_not(browser: Any, pages: Path, tmp_path: Path) -> None:
    """The second line of defence: a page into which markup was put by hand."""
    text = (pages / "both.html").read_text()
    attack = f"<script>{RUN}</script><img src=http://127.0.0.1:9/away onerror=\"{RUN}\"><p style='color:red'>x</p>"
    (tmp_path / "attacked.html").write_text(text.replace('<main id="content">', f'<main id="content">{attack}', 1))
    opened(browser, tmp_path / "attacked.html")
    assert browser.execute_script("return document.documentElement.dataset.ran") is None
    assert any("Content Security Policy" in said for said in complaints(browser))
    seen = traffic(browser)
    assert seen.asked == seen.refused
    # And the measure itself works: without the policy the same markup does run.
    (tmp_path / "open.html").write_text(f"<!DOCTYPE html><title>x</title>{attack}")
    opened(browser, tmp_path / "open.html")
    assert browser.execute_script("return document.documentElement.dataset.ran") == "1"
    assert traffic(browser).refused == []


def test_text_is_shown_as_it_was_written(browser: Any, pages: Path) -> None:
    opened(browser, pages / "evil.html")
    shown = browser.execute_script("return document.body.textContent")
    for name in (
        "script",
        "double-quote",
        "jinja-expression",
        "csv-formula",
        "entities",
        "look-alikes",
        "right-to-left",
    ):
        assert INJECTIONS[name] in shown
    for escaped in ("\\u202essap\\u202c fail", "\\x1b[32mpass", "a\\x00b", "pa\\u200bss"):
        assert escaped in shown


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*ORDINARY, "evil.html"])
def test_no_page_is_wider_than_the_screen(browser: Any, pages: Path, name: str, width: int) -> None:
    with view(browser, width):
        opened(browser, pages / name)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ORDINARY)
def test_a_phone_shows_tables_whole(browser: Any, pages: Path, name: str) -> None:
    """Nothing of a table is out of sight, and every cell says of which column it is."""
    with view(browser, PHONE):
        opened(browser, pages / name)
        cut = """return [...document.querySelectorAll('table')].filter((table) =>
            table.parentElement.scrollWidth > table.parentElement.clientWidth || table.scrollWidth > innerWidth
        ).map((table) => table.textContent.slice(0, 100))"""
        assert browser.execute_script(cut) == []
        hidden = (
            "return [...document.querySelectorAll('td:not(:empty)')].filter((one) => !one.checkVisibility()).length"
        )
        assert browser.execute_script(hidden) == 0
        wrong = """const cells = document.querySelectorAll('table:not(.narrow) td:not(.text, .drawing, :empty)');
        return [...cells].filter((cell) => {
            const head = cell.closest('table').tHead.rows[0].cells[cell.cellIndex].textContent.trim();
            return cell.dataset.label !== head || getComputedStyle(cell, '::before').content === 'none';
        }).map((cell) => cell.outerHTML)"""
        assert browser.execute_script(wrong) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ORDINARY)
def test_axe_finds_nothing_serious(browser: Any, pages: Path, name: str, scheme: str) -> None:
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    opened(browser, pages / name)
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    wrong = [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
    assert [one for one in wrong if one[1] in ("serious", "critical")] == []


def test_the_keyboard_reaches_everything(browser: Any, pages: Path) -> None:
    opened(browser, pages / "both.html")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    fold = browser.find_element(By.CSS_SELECTOR, "details.trial > summary")
    fold.send_keys(Keys.ENTER)
    assert browser.find_element(By.CSS_SELECTOR, "details.trial").get_attribute("open") is None
    cell = browser.find_element(By.CSS_SELECTOR, "#matrix ~ .wide a.cell")
    target = cell.get_attribute("href").rsplit("#", 1)[-1]
    cell.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.getElementById(arguments[0]).closest('details').open", target)


def test_tables_sort_trials_fold_and_a_filter_narrows(browser: Any, pages: Path) -> None:
    opened(browser, pages / "both-pages/index.html")

    def column(number: int) -> list[str]:
        cells = browser.find_elements(By.CSS_SELECTOR, f"#trial-table tbody tr > :nth-child({number})")
        return [cell.text for cell in cells if cell.is_displayed()]

    heads = browser.find_elements(By.CSS_SELECTOR, "#trial-table thead button")
    heads[1].send_keys(Keys.ENTER)
    assert column(2) == ["pass"] * 8 + ["violation"] * 8
    heads[1].send_keys(Keys.ENTER)
    assert column(2) == ["violation"] * 8 + ["pass"] * 8
    browser.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("t3")
    assert len(column(1)) == 4
    assert all("t3" in text for text in column(1))
    opened(browser, pages / "both.html")
    button = "//button[text()='{}']"
    browser.find_element(By.XPATH, button.format("Fold all")).send_keys(Keys.ENTER)
    assert not browser.execute_script("return document.querySelectorAll('details.trial[open]').length")
    browser.find_element(By.XPATH, button.format("Unfold all")).send_keys(Keys.ENTER)
    assert browser.execute_script("return document.querySelectorAll('details.trial[open]').length") == 16


def test_a_timeline_zooms(browser: Any, pages: Path) -> None:
    opened(browser, pages / "both-pages/trial-00001.html")
    drawing = browser.find_element(By.CSS_SELECTOR, "figure.zoom svg")
    before = drawing.size["width"]
    browser.find_element(By.XPATH, "//button[text()='Zoom in']").send_keys(Keys.ENTER)
    assert drawing.size["width"] == pytest.approx(2 * before, rel=0.05)
    browser.find_element(By.XPATH, "//button[text()='Zoom out']").send_keys(Keys.ENTER)
    assert drawing.size["width"] == pytest.approx(before, rel=0.05)


def test_a_served_page_tells_of_what_is_new(browser: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [trial("a")], "r-live")
    (folder / "run.json").rename(tmp_path / "run.json")
    command = [sys.executable, "-c", "from affidavit.cli import main; main()", "view", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            browser.get(served.stdout.readline().strip())
            status = WebDriverWait(browser, 60).until(lambda b: b.find_element(By.CSS_SELECTOR, "header [role=status]"))
            WebDriverWait(browser, 60).until(lambda b: status.text == "The run is not finished; trials judged: 1.")
            write_bundle(folder / "b/0/bundle", "r-live", trial("b"), {})
            WebDriverWait(browser, 60).until(lambda b: "trials judged: 2" in status.text)
            status.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
            WebDriverWait(browser, 60).until(lambda b: "2 trials of 2" in b.find_element(By.TAG_NAME, "header").text)
            (tmp_path / "run.json").rename(folder / "run.json")
            WebDriverWait(browser, 60).until(
                lambda b: "The run is finished" in b.find_element(By.CSS_SELECTOR, "header [role=status]").text
            )
        finally:
            served.send_signal(signal.SIGINT)
        assert served.wait(60) == 0
