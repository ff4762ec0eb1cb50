"""Run by swebench's Python: whether its own grading resolves each log. Arguments: task repository, folder of ID.log."""

import json
import sys
from pathlib import Path

from swebench.harness.grading import get_eval_report
from swebench.harness.utils import make_test_spec
from swebench.task.repo import load_task_repo

tasks, logs = map(Path, sys.argv[1:])
(instance,) = load_task_repo(tasks)
spec = make_test_spec(instance)
if not [*logs.glob("*.log")]:
    # What it would run in its container.
    (logs / "eval.sh").write_text(spec.eval_script)
    sys.exit()
resolved = {}
for log in logs.glob("*.log"):
    prediction = {"instance_id": spec.instance_id, "model_name_or_path": log.stem, "model_patch": "x"}
    report = get_eval_report(spec, prediction, str(log), include_tests_status=True)
    resolved[log.stem] = report[spec.instance_id]["resolved"]
print(json.dumps(resolved))
