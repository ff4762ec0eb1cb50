"""The ``model`` grader: one dimension of an answer, judged by models by a rubric.

It is off unless the environment names an endpoint (AFFIDAVIT_MODEL_URL), and never decides alone. What was asked and
what was said is bound to the bundle by digest.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from affidavit.grading.grader import Component, Evidence, Grade, Material
from affidavit.grading.model.endpoint import URL_VARIABLE, Endpoint, NoReply, configured
from affidavit.grading.model.prompt import Unclear, messages, parse_opinion
from affidavit.grading.model.screening import suspicious
from affidavit.grading.model.settings import Settings
from affidavit.grading.settings import read_settings
from affidavit.tasks import GraderSpec

_SHOWN_BYTES = 4096


@dataclass(frozen=True)
class ModelGrader:
    """Grades by asking each judge once."""

    settings: Settings
    deterministic: bool = False

    def grade(self, material: Material) -> Grade:
        settings = self.settings
        files = tuple(path for path in settings.answers if path != "stdout")
        texts = [(path, material.text(path, settings.max_bytes)) for path in settings.answers]
        answers = [(path, text) for path, text in texts if text is not None and text.strip()]
        if not answers:
            return Grade(0.0, "there is no answer of a size that can be judged", evidence=Evidence(files=files))
        if sum(len(text.encode()) for _, text in answers) > settings.max_bytes:
            return Grade(0.0, f"the answers are longer than {settings.max_bytes} bytes", evidence=Evidence(files=files))
        for path, text in answers:
            # Where this only made the judge abstain, an agent could choose not to be judged.
            if hidden := suspicious(text):
                message = f"{path} holds what reads as if it were meant for the judge: {hidden}"
                return Grade(0.0, message, evidence=Evidence(files=files))
        endpoint = configured()
        if endpoint is None:
            return Grade(None, abstained=f"it is off; {URL_VARIABLE} names no endpoint")
        nonce = secrets.token_hex(16)
        chat = messages(settings, material.instruction, answers, nonce)
        judged = [_judged(endpoint, settings, model, chat) for model in settings.judges]
        return _together(settings, judged, Evidence(files=files, details=_details(settings, chat, nonce, judged)))


def grader(spec: GraderSpec) -> ModelGrader:
    """Raises TaskError for wrong settings."""
    return ModelGrader(read_settings(spec, Settings))


@dataclass(frozen=True)
class _Judged:
    """What became of asking a judge: `score` and `reason`, or `unknown`, or `failure`."""

    model: str
    served: str = ""
    raw: bytes = b""
    score: float | None = None
    reason: str = ""
    failure: str | None = None

    @property
    def told(self) -> str:
        if self.failure is not None:
            return self.failure
        return f"{'unknown' if self.score is None else f'{self.score:g}'}: {self.reason}"


def _judged(endpoint: Endpoint, settings: Settings, model: str, chat: Sequence[Mapping[str, str]]) -> _Judged:
    body: dict[str, Any] = {
        "model": model,
        "messages": list(chat),
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }
    if settings.seed is not None:
        body["seed"] = settings.seed
    try:
        reply = endpoint.ask(body, settings.timeout_s)
    except NoReply as failure:
        return _Judged(model, failure=f"the endpoint {failure}")
    try:
        opinion = parse_opinion(reply.content)
    except Unclear as unclear:
        return _Judged(model, reply.model, reply.raw, failure=f"its reply {unclear}")
    return _Judged(model, reply.model, reply.raw, opinion.score, opinion.reason)


def _together(settings: Settings, judged: Sequence[_Judged], evidence: Evidence) -> Grade:
    """One grade of several opinions: their mean, where enough judges have one and they are not too far apart."""
    components = tuple(
        Component(f"judge {number}", one.score or 0.0, f"{one.model}: {one.told}", float(one.score is not None))
        for number, one in enumerate(judged, 1)
    )
    scores = [one.score for one in judged if one.score is not None]
    if len(scores) < settings.needed:
        reasons = "; ".join(sorted({one.failure or "unknown" for one in judged if one.score is None}))
        abstained = f"{len(scores)} of {len(judged)} judges had an opinion, {settings.needed} are needed ({reasons})"
        return Grade(None, "", components, evidence, abstained=abstained)
    spread = max(scores) - min(scores)
    if spread > settings.max_spread + 1e-9:
        return Grade(None, "", components, evidence, abstained=f"its judges are {spread:g} apart")
    message = f"{len(scores)} judges, who agree by {agreement(scores):.2f}"
    return Grade(round(sum(scores) / len(scores), 6), message, components, evidence)


def agreement(scores: Sequence[float]) -> float:
    """How near judges are to one another: 1 less the mean distance of any two; 1 for one alone."""
    pairs = list(combinations(scores, 2))
    return 1 - sum(abs(a - b) for a, b in pairs) / len(pairs) if pairs else 1.0


def _details(
    settings: Settings, chat: Sequence[Mapping[str, str]], nonce: str, judged: Sequence[_Judged]
) -> dict[str, Any]:
    scores = [one.score for one in judged if one.score is not None]
    return {
        "prompt_sha256": _digest("\0".join(f"{message['role']}\0{message['content']}" for message in chat).encode()),
        "settings_sha256": _digest(settings.model_dump_json(by_alias=True).encode()),
        "nonce": nonce,
        "agreement": agreement(scores) if scores else None,
        "judges": [
            {
                "model": one.model,
                "served": one.served,
                "reply_sha256": _digest(one.raw) if one.raw else None,
                "reply": one.raw[:_SHOWN_BYTES].decode("utf-8", "replace"),
                "score": one.score,
                "failure": one.failure,
            }
            for one in judged
        ],
    }


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
