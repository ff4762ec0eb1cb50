"""Types that the settings of several kinds of graders share."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from affidavit.contracts import PathMatcher, PatternError
from affidavit.grading.documents import check_place


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return pattern


def _pattern(pattern: str) -> str:
    try:
        PathMatcher((pattern,))
    except PatternError as error:
        raise ValueError(f"{pattern[:60]!r} {error}") from None
    return pattern


Regex = Annotated[str, AfterValidator(_regex)]
"""A regular expression, Python's."""

PathPattern = Annotated[str, AfterValidator(_pattern)]
"""A path pattern as contracts have it."""

Place = Annotated[str, AfterValidator(check_place)]
"""A place in a JSON document: a JSON Pointer or JSONPath."""

Part = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
"""A part of something, below all of it."""
