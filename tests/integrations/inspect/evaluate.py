"""Runs evals in Inspect's own Python, one after the other, and prints what came of each as JSON: ``evaluate.py EVALS``.

EVALS is a list in JSON: each has a ``task``, the ``commands`` that the scripted model runs, and further arguments of
`inspect_ai.eval`.
"""

import json
import math
import sys
from typing import Any

from inspect_ai import eval as run_eval
from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score


def _value(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _score(score: Score) -> dict[str, Any]:
    return {
        "value": _value(score.value),
        "reason": score.reason,
        "metadata": (score.metadata or {}).get("affidavit"),
        "history": [_value(edit.value) for edit in score.history],
    }


def _evaluated(task: str, commands: list[str], **arguments: Any) -> dict[str, Any]:
    outputs = [ModelOutput.for_tool_call("mockllm", "bash", {"command": one}) for one in commands]
    outputs.append(ModelOutput.for_tool_call("mockllm", "submit", {"answer": "done"}))
    for output in outputs:
        # Else Inspect counts tokens, and loads a tokenizer for it.
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = run_eval(task, model=model, display="none", log_dir=".", **arguments)
    log = read_eval_log(log.location)
    return {
        "status": log.status,
        "error": log.error and log.error.message,
        "metrics": {
            one.name: {name: _value(metric.value) for name, metric in one.metrics.items()}
            for one in (log.results.scores if log.results else [])
        },
        "samples": [
            {
                "error": sample.error and sample.error.message,
                "scores": {name: _score(score) for name, score in (sample.scores or {}).items()},
                "tools": [one.text for one in sample.messages if one.role == "tool"],
                "infos": [one.data for one in sample.events if one.event == "info"],
            }
            for sample in log.samples or []
        ],
    }


if __name__ == "__main__":
    print(json.dumps([_evaluated(**one) for one in json.loads(sys.argv[1])]))
