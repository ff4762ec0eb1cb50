"""A client of the endurance test: one session after the other, each with a word of its own, until it is killed or told
to stop (its standard input ends). It says a line of JSON for each session that was sealed.

    python endurance_client.py SOCKET TASK
"""

import json
import select
import sys
import uuid

from affidavit.client import Client


def main(socket: str, task: str) -> None:
    with Client(socket) as client:
        told = False
        while not told:
            word = uuid.uuid4().hex
            # Every other one leaves the task undone.
            solves = int(word[0], 16) % 2 == 0
            with client.open_session(task, wait_s=600) as session:
                session.write_file("/workspace/mine", word.encode())
                seen = session.exec(["sh", "-c", f"ls; cat mine; echo {word} >{word}; {'echo 42 >answer' * solves}"])
                session.freeze()
                judgement = session.grade()
                bundle = session.seal()
            said = {"word": word, "solves": solves, "seen": seen.stdout.decode(), "verdict": judgement.verdict}
            print(json.dumps({**said, "reasons": judgement.reasons, "bundle": bundle.path}), flush=True)
            told = bool(select.select([sys.stdin], [], [], 0)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
