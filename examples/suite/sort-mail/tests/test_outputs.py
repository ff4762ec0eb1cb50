"""Messages under names and in folders that say nothing of what they are."""

import subprocess

PROGRAM = "/workspace/sort.sh"


def sort(folder, *messages):
    paths = []
    for number, text in enumerate(messages):
        paths.append(folder / f"m{number:03d}")
        paths[-1].write_text(text)
    ran = subprocess.run([PROGRAM, *map(str, paths)], capture_output=True, text=True, timeout=20, cwd=folder)
    return ran.returncode, ran.stdout.split("\n")[:-1]


GOOD = "From: a@b.example\nSubject: tea\n\nNow?\n"


def test_good_messages(tmp_path):
    links = "http://a https://b HTTP"
    assert sort(tmp_path, GOOD, f"FROM: <x@y.example>\n\n{links}\n", "From: q@r\nsubject: urgently\n\n") == (
        0,
        ["accept"] * 3,
    )


def test_sender(tmp_path):
    said = sort(
        tmp_path, "Subject: tea\n\nFrom: a@b\n", "From: nobody\nFrom: a@b\n\n", "X-From: a@b\n\n", "From:\n a@b\n\n"
    )
    assert said == (1, ["reject", "reject", "reject", "accept"])


def test_subject(tmp_path):
    messages = [
        "From: a@b.example\nSubject: Your Invoice.\n\n",
        "From: a@b.example\nSubject: this is\n\turgent\n\n",
        "From: Post <a@example.org>\nSubject: urgent\n\n",
        "From: a@example.org.net\nSubject: urgent\n\n",
        "From: a@b.example\nSubject: invoices\nSubject: winner\n\nwinner\n",
    ]
    assert sort(tmp_path, *messages) == (1, ["reject", "reject", "accept", "reject", "accept"])


def test_body_and_score(tmp_path):
    head = "From: a@b.example\n"
    messages = [
        f"{head}X-Link: http://a http://b http://c\n\nhttp://d http://e\n",
        f"{head}\nhttp://ahttp://b\nx https://c\n",
        f"{head}x-spam-score: 5\n\n",
        f"{head}X-Spam-Score: 12.25\n\n",
        f"{head}X-Spam-Score: many\n\n",
        f"{head}X-Spam-Score: -7\n\n",
    ]
    assert sort(tmp_path, *messages) == (1, ["accept", "reject", "reject", "reject", "accept", "accept"])


def test_wrong_use(tmp_path):
    (tmp_path / "good").write_text(GOOD)
    said = []
    for arguments in ([], ["nowhere"], ["good", "nowhere"]):
        ran = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20, cwd=tmp_path)
        said.append((ran.returncode, ran.stdout, ran.stderr != ""))
    assert said == [(2, "", True)] * 3
