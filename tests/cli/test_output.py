"""What is said on a terminal when something can't be done."""

import pytest
import typer

from affidavit.cli.output import fail


def test_a_failure_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        fail("no item \x1b]0;title\x07\nin\u202e \udc80")
    assert capsys.readouterr().err == "affidavit: no item \\x1b]0;title\\x07 in\\u202e \\udc80\n"
