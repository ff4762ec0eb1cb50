"""What an agent must and must not do, as tests. Run as root: ``pytest examples/integrations/pytest``."""

import pytest

TASK = "task"


@pytest.mark.affidavit(task=TASK, agent="oracle")
def test_the_solution_passes(affidavit_trial):
    assert affidavit_trial.judgement.verdict == "pass"
    assert affidavit_trial.judgement.score == 1


def test_looking_for_the_hidden_tests_is_a_violation(affidavit_run):
    trial = affidavit_run(TASK, command="cat /tests/*")
    assert trial.judgement.verdict == "violation"
    assert "files.deny" in {violation.rule for violation in trial.judgement.violations}
