"""What a verifier lacks is no 0 of the agent's; what the agent's code lacks is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.verification import verify
from harness import EBPF, SOLVE, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

TOGETHER = '[[affidavit.graders]]\nkind = "test_run"\nseparate = false\n'
HOG = "python3 -c \"x = b'x' * (1 << 30)\""
# The reward says whether a program ended well.
RUN = "%s && reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n"


@pytest.mark.parametrize("tool", ["no-such-runner run /tests", "python3 -m no_such_framework"])
def test_a_verifier_without_its_tools_is_an_error_that_names_them(trials: Trials, task: Make, tool: str) -> None:
    outcome = trials(EBPF, task(test=RUN % tool), SOLVE)
    assert (outcome.verdict, outcome.score) == ("error", None)
    name = next(word for word in tool.split() if "such" in word)
    assert f"the verifier could not start, load or fetch {name}, and the task's own solution fails" in outcome.reasons
    assert verify(outcome.bundle).ok


def test_what_the_agents_own_code_lacks_is_its_fault(trials: Trials, task: Make) -> None:
    folder = task(test=RUN % "sh /workspace/run.sh", solve="echo true >run.sh\n", graders=TOGETHER)
    outcome = trials(EBPF, folder, "echo no-such-program >run.sh\n")
    assert (outcome.verdict, outcome.score) == ("fail", 0.0)
    assert outcome.json("grade.json")["verifier"]["missing"] == ["no-such-program"]
    assert "missing" not in outcome.json("grade.json")["verifier"]["tools"]["left"]


def test_a_verifier_that_uses_up_the_memory_is_an_error(trials: Trials, task: Make) -> None:
    outcome = trials(EBPF, task(test=RUN % HOG, memory_mb=64), SOLVE)
    assert outcome.verdict == "error"
    assert "ran out of memory: /usr/bin/python3" in outcome.reasons
    assert "had run nothing of the agent's" in outcome.reasons


@pytest.mark.parametrize(
    ("graders", "said"), [("", "in the sandbox with the agent's code alone"), (TOGETHER, "which ran /workspace/it.py")]
)
def test_an_agents_program_that_uses_up_the_memory_fails(trials: Trials, task: Make, graders: str, said: str) -> None:
    folder = task(test=RUN % "python3 /workspace/it.py", solve="echo >it.py\n", memory_mb=64, graders=graders)
    outcome = trials(EBPF, folder, "echo 'x = 1 * b\"x\" * (1 << 30)' >it.py\n")
    assert (outcome.verdict, outcome.score) == ("fail", 0.0)
    assert "the grading ran out of memory" in outcome.reasons
    assert said in outcome.reasons
