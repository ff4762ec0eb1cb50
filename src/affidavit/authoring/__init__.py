"""Writing contracts: a first one, one learned from recorded runs, and what is wrong with one."""

from affidavit.authoring.editors import SCHEMA_FILE, editor_line, write_schema
from affidavit.authoring.errors import LearningError
from affidavit.authoring.first import first_contract
from affidavit.authoring.generalising import Grant, generalised
from affidavit.authoring.learning import Learned, Lesson, Line, learn_contract
from affidavit.authoring.lessons import read_lessons
from affidavit.authoring.linting import ContractFinding, lint
from affidavit.authoring.writing import as_yaml

__all__ = [
    "SCHEMA_FILE",
    "ContractFinding",
    "Grant",
    "Learned",
    "LearningError",
    "Lesson",
    "Line",
    "as_yaml",
    "editor_line",
    "first_contract",
    "generalised",
    "learn_contract",
    "lint",
    "read_lessons",
    "write_schema",
]
