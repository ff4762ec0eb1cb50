"""The grader ``performance``: how fast the solution is, timed from outside of its process, against a baseline.

``affidavit.evaluation`` measures: each repetition has an input of its own, and runs solution and baseline one after the
other, each in a new sandbox; it ends with the first result that is wrong, and where the speed-up can't be shown any
more. Where the repetitions that were asked for don't show it, it goes on to `MOST_ROUNDS` times as many: on a busy
machine a few of them are late by chance. What it found is in :attr:`Material.timings`, by the grader's name, as
:class:`affidavit.grading.Timings`.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from affidavit.grading.grader import Component, Evidence, Grade, Material
from affidavit.grading.performance.median import Median, end_of_interval, median_of
from affidavit.grading.performance.settings import Settings
from affidavit.grading.settings import read_settings
from affidavit.grading.timings import TimedPair, speed_up
from affidavit.tasks import GraderSpec

LEAST_BASELINE_S = 0.1
"""A baseline that is faster is nothing but the start of its process."""
MOST_ROUNDS = 3
"""How many times the repetitions are done that were asked for, where they don't show the speed-up."""


@dataclass(frozen=True)
class PerformanceGrader:
    """Grades by times.

    Attributes:
        name: the grader's, by which its times are found.
        settings: what the task asks for.
    """

    name: str
    settings: Settings
    deterministic: bool = True

    def can_be_shown(self, ratios: Sequence[float]) -> bool:
        """Whether the speed-up is shown, or may be by more repetitions.

        Args:
            ratios: of the baseline's time to the solution's, of the repetitions so far.
        """
        return self._slow(ratios) < end_of_interval(MOST_ROUNDS * self.settings.repetitions)

    def is_shown(self, ratios: Sequence[float]) -> bool:
        """Whether the speed-up is shown, by the repetitions that were asked for or by all that may be done.

        Args:
            ratios: of the baseline's time to the solution's, of the repetitions so far.
        """
        asked = self.settings.repetitions
        return len(ratios) in (asked, MOST_ROUNDS * asked) and self._slow(ratios) < end_of_interval(len(ratios))

    def _slow(self, ratios: Sequence[float]) -> int:
        return sum(ratio < self.settings.speedup for ratio in ratios)

    def grade(self, material: Material) -> Grade:
        timings = (material.timings or {}).get(self.name)
        if timings is None:
            return Grade(None, error="nothing was timed")
        if timings.error:
            return Grade(None, error=timings.error)
        runs = timings.runs
        components = tuple(
            Component(f"repetition {number}", float(not run.solution.fault), _sentence(run))
            for number, run in enumerate(runs, 1)
        )
        wrong = next((run.solution.fault for run in runs if run.solution.fault), None)
        if wrong:
            return Grade(0.0, f"a result is wrong, and so no time counts: {wrong}", components)
        return self._compared(runs, components)

    def _compared(self, runs: Sequence[TimedPair], components: tuple[Component, ...]) -> Grade:
        usual = statistics.median(run.baseline.ns for run in runs) / 1e9
        if usual < LEAST_BASELINE_S:
            return Grade(
                None,
                error=f"the baseline takes {usual:.3f} s, which is too little to be timed: let "
                f"tests/{self.settings.inputs} make inputs that take it {LEAST_BASELINE_S:g} s and more",
            )
        ratios = [speed_up(run.solution.ns, run.baseline.ns) for run in runs]
        if not self.is_shown(ratios):
            message = (
                f"less than {self.settings.speedup:g} times as fast as the baseline in {self._slow(ratios)} of "
                f"{len(runs)} repetitions ({min(ratios):.3g} to {max(ratios):.3g} times); asked for: "
                f"{self.settings.source}"
            )
            return Grade(0.0, message, (*components, Component("speed", 0.0, message, len(runs))))
        ratio = median_of(ratios)
        solution = median_of([run.solution.ns / 1e9 for run in runs])
        baseline = median_of([run.baseline.ns / 1e9 for run in runs])
        message = (
            f"{ratio.value:.3g} times as fast as the baseline ({ratio.low:.3g} to {ratio.high:.3g}, {len(runs)} "
            f"repetitions; medians {_seconds(solution)} and {_seconds(baseline)}); {self.settings.speedup:g} is asked "
            f"for: {self.settings.source}"
        )
        details = {"speedup": asdict(ratio), "solution": asdict(solution), "baseline": asdict(baseline)}
        speed = Component("speed", 1.0, message, len(runs))
        return Grade(1.0, message, (*components, speed), Evidence(stage="grader", details=details))


def grader(spec: GraderSpec) -> PerformanceGrader:
    """Raises TaskError for wrong settings."""
    return PerformanceGrader(spec.name, read_settings(spec, Settings))


def _sentence(run: TimedPair) -> str:
    return run.solution.fault or f"{run.solution.ns / 1e9:.3f} s, the baseline {run.baseline.ns / 1e9:.3f} s"


def _seconds(median: Median) -> str:
    return f"{median.value:.3f} s ({median.low:.3f} to {median.high:.3f})"


__all__ = ["LEAST_BASELINE_S", "MOST_ROUNDS", "Median", "PerformanceGrader", "end_of_interval", "grader", "median_of"]
