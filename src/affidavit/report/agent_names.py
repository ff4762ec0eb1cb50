"""The names of agents in reports: as short as they can be and still differ."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from affidavit.report.runs import RunView, TrialView

_LONGEST_NAME = 100
# Of a digest: enough for people to tell two agents apart; where they agree in so many, runs are named.
_DIGITS = 12

Key = tuple[str, str]
"""A run and the name of one of its agents."""


@dataclass(frozen=True)
class AgentFacts:
    """What the trials of an agent say of it.

    Attributes:
        digest: of what it is; see `affidavit.evidence.Identity`. None where a trial does not say, or they differ.
        model: that it was given; empty where it had none, or trials differ.
    """

    name: str
    digest: str | None
    model: str

    @classmethod
    def of(cls, trials: Sequence[TrialView]) -> "AgentFacts":
        """Of the trials of one agent in one run."""
        digests, models = {trial.agent.digest for trial in trials}, {trial.agent.model for trial in trials}
        digest = next(iter(digests)) if len(digests) == 1 else None
        return cls(trials[0].agent.name, digest, next(iter(models)) if len(models) == 1 else "")


def trials_by_agent(runs: Iterable[RunView]) -> dict[Key, list[TrialView]]:
    """The trials of each agent in each run, in order."""
    found: dict[Key, list[TrialView]] = {}
    for run in runs:
        for trial in run.trials:
            found.setdefault((run.run_id, trial.agent.name), []).append(trial)
    return found


def agent_labels(runs: Iterable[RunView]) -> dict[Key, str]:
    """What tells the agents of runs apart: the same for one agent in several runs.

    An agent's own name suffices where no other agent bears it; else its model is named beside it, or the start of its
    digest, whichever tells them apart.
    """
    agents = {key: AgentFacts.of(trials) for key, trials in trials_by_agent(runs).items()}
    labels = _labels(set(agents.values()))
    return {key: labels[agent] for key, agent in agents.items()}


def agent_names(runs: Iterable[RunView]) -> dict[Key, str]:
    """What tells the agent of one run from all others: its label, and the run where several runs have that agent."""
    names = labels = agent_labels(runs)
    ways: list[Callable[[Key], str]] = [
        lambda key: f"{labels[key]}, run {key[0].rsplit('-', 1)[-1]}",
        lambda key: f"{labels[key]}, run {key[0]}",
    ]
    for way in ways:
        often = Counter(names.values())
        names = {key: way(key) if often[name] > 1 else name for key, name in names.items()}
    return names


def shorten(text: str) -> str:
    """A name that sentences can hold, however long it is."""
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def short_digest(digest: str) -> str:
    """The start of a digest, for people."""
    return digest[: len("sha256:") + _DIGITS]


def _labels(agents: set[AgentFacts]) -> dict[AgentFacts, str]:
    """By agent, what tells it from the others of its name; that alone where nothing does."""
    by_name: dict[str, list[AgentFacts]] = defaultdict(list)
    for agent in agents:
        by_name[agent.name].append(agent)
    labels: dict[AgentFacts, str] = {}
    for name, of in by_name.items():
        plain = shorten(name)
        ways = [
            dict.fromkeys(of, plain),
            {agent: f"{plain}, {shorten(agent.model)}" if agent.model else plain for agent in of},
            {agent: f"{plain}, {short_digest(agent.digest)}" if agent.digest else plain for agent in of},
        ]
        labels |= next((way for way in ways if len(set(way.values())) == len(of)), ways[-1])
    return labels
