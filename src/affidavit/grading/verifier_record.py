"""What the grading sandboxes left of the hidden tests: all that `test_run` grades by, in a run and in ``verify``.

It is ``verifier`` of ``grade.json``. What it holds was written by sandboxes, and is not believed here: it is parsed
where it is graded.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeGuard

from pydantic import JsonValue

from affidavit.grading.separation.separation import Separation
from affidavit.sandbox import Exit

_EXIT = frozenset(one.name for one in fields(Exit))

HarnessLine = Mapping[str, JsonValue]
"""What the harness reported of one test, as it stands in ``grade.json``: it quotes what the code under test gave it."""


@dataclass(frozen=True)
class LeftReward:
    """A reward file: its name, its bytes, and which of several rewards the task says is the score; None: it says
    nothing."""

    file: str
    raw: bytes
    name: str | None = None


@dataclass(frozen=True)
class LeftReport:
    """A report of a test framework: its file's name and its bytes."""

    file: str
    raw: bytes


@dataclass(frozen=True)
class Left:
    """What one run of the tests left.

    Attributes:
        exit: how the verifier ended.
        reward, report, tests: what the framework of the task leaves, and None for the others: a reward, a report, or
            what the harness reported of each test.
        forged: how many lines were put between the harness's.
        words: how often the tests took something on the word of the solution's sandbox, where that is another one.
        ways: how else the solution had a say in them, where that was to be found out.
        error: why there is nothing of reward, report and tests.
        missing: what the verifier said that it could not start, load or fetch.
        solution: how the solution's own sandbox ended; None where there was none, and in older bundles.
        misses: what they asked the verifier cache for in vain, method and URL.
    """

    exit: Exit
    reward: LeftReward | None = None
    report: LeftReport | None = None
    tests: tuple[HarnessLine, ...] | None = None
    forged: int = 0
    words: int = 0
    ways: tuple[str, ...] = ()
    error: str | None = None
    missing: tuple[str, ...] = ()
    solution: Exit | None = None
    misses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As in ``grade.json``."""
        reward, report = self.reward, self.report
        return {
            "exit": asdict(self.exit),
            "reward": None
            if reward is None
            else {"file": reward.file, "raw": base64.b64encode(reward.raw).decode(), "name": reward.name},
            "report": None if report is None else {"file": report.file, "raw": base64.b64encode(report.raw).decode()},
            "tests": None if self.tests is None else [dict(line) for line in self.tests],
            "forged": self.forged,
            "words": self.words,
            "error": self.error,
            **({"ways": list(self.ways)} if self.ways else {}),
            **({"missing": list(self.missing)} if self.missing else {}),
            **({} if self.solution is None else {"solution": asdict(self.solution)}),
            **({"misses": list(self.misses)} if self.misses else {}),
        }

    @classmethod
    def read(cls, value: object) -> "Left":
        """What `to_json` gave. Raises ValueError."""
        match value:
            case {
                "exit": dict(ended),
                "reward": dict() | None as reward,
                "report": dict() | None as report,
                "tests": list() | None as tests,
                "forged": int(forged),
                "error": str() | None as error,
                **more,
            } if tests is None or all(isinstance(line, dict) for line in tests):
                words, ways, misses = more.get("words", 0), more.get("ways", []), more.get("misses", [])
                missing, solution = more.get("missing", []), more.get("solution")
                if type(words) is int and _texts(ways) and _texts(missing) and _texts(misses) and _ended(solution):
                    return cls(
                        _exit(ended),
                        _reward(reward),
                        _report(report),
                        None if tests is None else tuple(tests),
                        forged,
                        words,
                        tuple(ways),
                        error,
                        tuple(missing),
                        None if solution is None else _exit(solution),
                        tuple(misses),
                    )
        raise _wrong("what a run of the tests left")


@dataclass(frozen=True)
class ReferenceRun:
    """What an accusation was compared with.

    Attributes:
        of: the task's own solution, or its start state.
        names: the tests that were run; empty where they can't be run one by one: then all were.
        error: why there is nothing; None where there is.
        right, wrong: what the tests left of it as they are, and made wrong as in the control that accuses.
    """

    of: Literal["solution", "start"]
    names: tuple[str, ...] = ()
    error: str | None = None
    right: Left | None = None
    wrong: Left | None = None

    def to_json(self) -> dict[str, Any]:
        """As in ``grade.json``."""
        return {
            "of": self.of,
            "names": list(self.names),
            "error": self.error,
            "right": None if self.right is None else self.right.to_json(),
            "wrong": None if self.wrong is None else self.wrong.to_json(),
        }

    @classmethod
    def read(cls, value: object) -> "ReferenceRun":
        """What `to_json` gave. Raises ValueError."""
        match value:
            case {
                "of": "solution" | "start" as of,
                "names": list(names),
                "error": str() | None as error,
                "right": right,
                "wrong": wrong,
            } if _texts(names):
                left = [None if one is None else Left.read(one) for one in (right, wrong)]
                return cls(of, tuple(names), error, *left)
        raise _wrong("what an accusation was compared with")


@dataclass(frozen=True)
class ToolsRun:
    """The tests over the task's own solution, run because the verifier missed something.

    Attributes:
        left: what they left; None where there is nothing.
        error: why there is nothing; None where there is.
    """

    left: Left | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in ``grade.json``."""
        return {"left": None if self.left is None else self.left.to_json(), "error": self.error}

    @classmethod
    def read(cls, value: object) -> "ToolsRun":
        """What `to_json` gave. Raises ValueError."""
        match value:
            case {"left": left, "error": str() | None as error}:
                return cls(None if left is None else Left.read(left), error)
        raise _wrong("a run of the tests over the task's own solution")


@dataclass(frozen=True)
class Control:
    """A run of tests that were made wrong.

    Attributes:
        left: what it left.
        turned: the tests that must fail in it.
        edits: how many were made.
        references: what an accusation by it was compared with.
    """

    left: Left
    turned: tuple[str, ...]
    edits: int
    references: tuple[ReferenceRun, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As in ``grade.json``."""
        return {
            **self.left.to_json(),
            "turned": list(self.turned),
            "edits": self.edits,
            "references": [one.to_json() for one in self.references],
        }

    @classmethod
    def read(cls, value: object) -> "Control":
        """What `to_json` gave. Raises ValueError."""
        match value:
            case {"turned": list(turned), "edits": int(edits), "references": list(references)} if _texts(turned):
                return cls(Left.read(value), tuple(turned), edits, tuple(map(ReferenceRun.read, references)))
        raise _wrong("a control")


@dataclass(frozen=True)
class Round:
    """The tests as they are, and a control; None where none was made."""

    left: Left
    control: Control | None = None

    def to_json(self) -> dict[str, Any]:
        """As in ``grade.json``."""
        return {**self.left.to_json(), "control": None if self.control is None else self.control.to_json()}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Round":
        """What `to_json` gave. Raises ValueError."""
        control = value.get("control")
        return cls(Left.read(value), None if control is None else Control.read(control))


@dataclass(frozen=True)
class VerifierRecord:
    """All that the hidden tests left, round by round.

    Attributes:
        framework, credit: see `TestRunSettings`.
        expected: the tests that must report.
        planned: how many rounds are to be made at most.
        rounds_for: ``any``: they are always made; else only where the agent's code was loaded by the tests.
        rounds: those that were made, at least one.
        separation: whether the solution had a sandbox of its own.
        secret: of the trial, hexadecimal; it decides how tests are made wrong. Empty in bundles of version 0.1.
        tools: what the tests left of the task's own solution; None where that was not asked.
        filling: the tests had a network, to fill the verifier cache.
        computed: the tests that no control guards, since code in their process can compute what they expect.
        services: the tests and the solution reach services of the task, which remember: a control guards nothing, as
            what is graded can leave word there.
    """

    framework: str
    credit: str
    expected: tuple[str, ...]
    planned: int
    rounds_for: str
    rounds: tuple[Round, ...]
    separation: Separation = field(default=Separation(False, "version 0.1 ran them in one sandbox"))
    secret: str = ""
    tools: ToolsRun | None = None
    filling: bool = False
    computed: tuple[str, ...] = ()
    services: bool = False

    @property
    def misses(self) -> tuple[str, ...]:
        """What the tests, right or wrong, asked the verifier cache for in vain."""
        left: list[Left | None] = []
        for one in self.rounds:
            left.append(one.left)
            if one.control is not None:
                left.append(one.control.left)
                left += [part for reference in one.control.references for part in (reference.right, reference.wrong)]
        return tuple(dict.fromkeys(miss for part in left if part is not None for miss in part.misses))

    @property
    def controlled(self) -> tuple[str, ...]:
        """The stages of rounds that have a control."""
        numbers = [number for number, made in enumerate(self.rounds, 1) if made.control is not None]
        return tuple(
            f"{kind}{'' if number == 1 else f'-{number}'}" for number in numbers for kind in ("grader", "control")
        )

    @property
    def first(self) -> Round:
        """The first round."""
        return self.rounds[0]

    def with_round(self, made: Round) -> "VerifierRecord":
        """The same with a further round."""
        return replace(self, rounds=(*self.rounds, made))

    def with_reference(self, number: int, run: ReferenceRun) -> "VerifierRecord":
        """The same with what an accusation was compared with.

        Args:
            number: of the round whose control accuses, from 1.
            run: what came of it.
        """
        rounds = [*self.rounds]
        accusing = rounds[number - 1].control
        if accusing is None:
            raise ValueError(f"round {number} has no control")
        control = replace(accusing, references=(*accusing.references, run))
        rounds[number - 1] = replace(rounds[number - 1], control=control)
        return replace(self, rounds=tuple(rounds))

    def to_json(self) -> dict[str, Any]:
        """As in ``grade.json``."""
        return {
            "framework": self.framework,
            "credit": self.credit,
            "expected": list(self.expected),
            "rounds": self.planned,
            "rounds_for": self.rounds_for,
            "separation": self.separation.to_json(),
            "secret": self.secret,
            **({"filling": True} if self.filling else {}),
            **({"computed": list(self.computed)} if self.computed else {}),
            **({"services": True} if self.services else {}),
            **self.first.to_json(),
            "again": [made.to_json() for made in self.rounds[1:]],
            **({} if self.tools is None else {"tools": self.tools.to_json()}),
        }

    @classmethod
    def read(cls, value: object) -> "VerifierRecord":
        """What `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        match value:
            case {
                "framework": str(framework),
                "credit": str(credit),
                "expected": list(expected),
                "rounds": int(planned),
                "rounds_for": str(rounds_for),
                **more,
            } if _texts(expected):
                again, secret, computed = more.get("again", []), more.get("secret", ""), more.get("computed", [])
                if (
                    isinstance(again, list)
                    and isinstance(secret, str)
                    and all(isinstance(one, dict) for one in again)
                    and _texts(computed)
                ):
                    rounds = tuple(Round.read(one) for one in (more, *again))
                    # Bundles of version 0.1 have nothing on it.
                    apart = {"separation": Separation.from_json(more["separation"])} if "separation" in more else {}
                    tools = ToolsRun.read(more["tools"]) if "tools" in more else None
                    return cls(
                        framework,
                        credit,
                        tuple(expected),
                        planned,
                        rounds_for,
                        rounds,
                        secret=secret,
                        tools=tools,
                        filling=more.get("filling", False) is True,
                        computed=tuple(computed),
                        services=more.get("services", False) is True,
                        **apart,
                    )
        raise _wrong("what the tests left")


def _ended(value: object) -> TypeGuard[dict[str, Any] | None]:
    return isinstance(value, dict | None)


def _exit(value: Mapping[str, Any]) -> Exit:
    match value:
        case {
            "code": int() | None,
            "signal": int() | None,
            "timed_out": bool(),
            "oom": bool(),
            "duration_ms": int(),
        } if value.keys() == _EXIT:
            return Exit(**value)
    raise _wrong("the end of a verifier")


def _reward(value: Mapping[str, Any] | None) -> LeftReward | None:
    match value:
        case None:
            return None
        case {"file": str(file), "raw": str(raw)} if isinstance(name := value.get("name"), str | None):
            return LeftReward(file, _bytes(raw), name)
    raise _wrong("a reward")


def _report(value: Mapping[str, Any] | None) -> LeftReport | None:
    match value:
        case None:
            return None
        case {"file": str(file), "raw": str(raw)}:
            return LeftReport(file, _bytes(raw))
    raise _wrong("a report")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _wrong("a file in base64") from None


def _texts(items: object) -> TypeGuard[list[str]]:
    return isinstance(items, list) and all(isinstance(item, str) for item in items)


def _wrong(what: str) -> ValueError:
    return ValueError(f"grade.json: verifier: holds something that is not {what}")
