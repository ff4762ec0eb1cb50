"""A small agent that speaks HTTP to its model and does what the model says, with nothing but Python's own library."""

import shlex

_PROGRAM = """
import json, os, subprocess, sys, time, urllib.error, urllib.request

def ask(messages):
    body = json.dumps({"model": os.environ["AFFIDAVIT_MODEL"], "messages": messages}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["choices"][0]["message"]
        except (urllib.error.URLError, ConnectionError, ValueError) as error:
            print("no answer:", error, file=sys.stderr, flush=True)
            time.sleep(0.1)
    sys.exit(3)

messages = [
    {"role": "system", "content": "You solve tasks with the tool bash."},
    {"role": "user", "content": open("/instruction.md").read()},
]
while True:
    message = ask(messages)
    messages.append(message)
    print(message["content"] or "", flush=True)
    if not message.get("tool_calls"):
        break
    for call in message["tool_calls"]:
        command = json.loads(call["function"]["arguments"])["command"]
        done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": done.stdout + done.stderr})
"""


def http_agent(tries: int = 3) -> str:
    """The agent as a shell command, which asks up to so many times for each answer."""
    return f"exec python3 -c {shlex.quote(_PROGRAM.replace('TRIES', str(tries)))}"


def bash(command: str, text: str = "") -> dict[str, object]:
    """An answer of a script that calls the agent's one tool."""
    return {"text": text, "tool_calls": [{"name": "bash", "arguments": {"command": command}}]}
