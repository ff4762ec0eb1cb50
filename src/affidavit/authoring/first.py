"""A starter contract for a task: the default contract, with a comment on each line."""

from affidavit.authoring.writing import quoted
from affidavit.contracts import default_contract
from affidavit.tasks import Task


def first_contract(task: Task) -> str:
    """The text of a contract.yaml that says what the default contract says for a task, ready to be tightened."""
    contract = default_contract(task)
    document = contract.document
    own = [pattern for pattern in document.files.write if not pattern.startswith("!")]
    kept = [pattern for pattern in document.files.write if pattern.startswith("!") and "affidavit:" not in pattern]
    return "\n".join(
        [
            f"# What the agent promises in the task {quoted(task.id)}: for now the same as without a contract.",
            "# Tighten it; affidavit contract learn makes a tight one from recorded runs, contract lint finds holes.",
            "schema: affidavit.contract/v1",
            f"id: {quoted(task.id)}",
            "version: 1.0.0",
            "mode: strict      # audit: violations are recorded and do not count",
            "actions: [flag]   # halt: the sandbox is killed at once; alert: a message goes to those of --alert",
            "# What the sandbox refuses. record: it is noted as an attempt; violation: it breaks the contract.",
            f"attempts: {document.attempts}",
            "# base: what running any program touches. test-infrastructure: never a file that decides how tests run.",
            'extends: ["affidavit:base", "affidavit:test-infrastructure"]',
            "files:",
            "  # What may be read beside what may be written and what base lets one read.",
            f"  read: [{_quoted(document.files.read or ())}]",
            "  # What may be created, changed, renamed, removed. All else is read-only. ! takes away from the list.",
            "  write:",
            *(f"    - {quoted(pattern)}" for pattern in (*own, *kept)),
            "  # May not be touched, there or not, whatever the other lists say: the hidden parts of the task.",
            f"  deny: [{_quoted(document.files.deny)}]",
            "network:",
            "  endpoints: []   # such as api.example.org:443, *.example.org:443, 192.0.2.0/24:53",
            "processes:",
            "  # What may be run; without this line anything in the sandbox.",
            '  # exec: ["/usr/bin/python3", "/bin/sh"]',
            "  max_processes: 256",
            "operations:",
            "  # Detectors by name; docs/contracts.md says what each sees.",
            "  forbid: [modify_test_runner, read_answer_key, tool_replacement, process_injection]",
            "syscalls:",
            "  # Only who has privileges over the machine has a use for them.",
            f"  deny: [{', '.join(document.syscalls.deny)}]",
            "# Reaching one is a violation. At the task's own time limit the agent is stopped and graded as it stands.",
            f"# limits: {{wall_ms: {max(1, round(task.limits.agent_timeout_s * 1000))}}}",
            "",
        ]
    )


def _quoted(patterns: "tuple[str, ...]") -> str:
    return ", ".join(map(quoted, patterns))
