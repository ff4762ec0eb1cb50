"""What everybody may know of the grades: scores and findings, not what was expected, printed or found instead."""

import re
from dataclasses import replace

from affidavit.grading.combination import Graded
from affidavit.grading.grader import Evidence

NOT_PUBLISHED = "why stands in the private part of the bundle"
"""What stands in place of a sentence that not everybody may know."""

# Parameters in a test's name are inputs of the test.
_PARAMETERS = re.compile(r"\[[^\]]*\]?")


def published(graded: Graded) -> Graded:
    """What everybody may know of a grader's result."""
    grade = graded.grade
    full = sum(part.score == 1 for part in grade.components)
    return replace(
        graded,
        grade=replace(
            grade,
            message=f"{full} of {len(grade.components)} parts have full marks" if grade.components else "",
            components=tuple(
                replace(part, name=str(number), message="") for number, part in enumerate(grade.components, 1)
            ),
            evidence=Evidence(grade.evidence.events, stage=grade.evidence.stage),
            error=NOT_PUBLISHED if grade.error else None,
            abstained=NOT_PUBLISHED if grade.abstained else None,
            unproven=NOT_PUBLISHED if grade.unproven else None,
            findings=tuple(
                replace(finding, message=_PARAMETERS.sub("[…]", finding.message)) for finding in grade.findings
            ),
        ),
    )
