"""Settings of the ``ast`` grader."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from affidavit.grading.fields import PathPattern
from affidavit.grading.settings import AbsolutePath, GraderSettings, ReferencePath, distinct_names
from affidavit.grading.syntax.languages import GRAMMARS, language_of, load

LanguageName = Literal["python", "javascript", "go", "c", "rust"]
Some = Annotated[str, Field(min_length=1, max_length=2000)]


class Feature(GraderSettings):
    """Something in code: one of these.

    Attributes:
        call: a call of it, as in ``os.system`` or ``println``; ``*`` and ``?`` stand for any letters. Names that
            Python imports are known by where they come from.
        imports: a module, file or crate that is imported.
        name: a name that occurs anywhere, as code and not in text.
        definition: a function, class or type of that name.
        node: a kind of node of the tree-sitter grammar, as in ``while_statement``.
        query: a tree-sitter query.
    """

    call: Some | None = None
    imports: Some | None = None
    name: Some | None = None
    definition: Some | None = None
    node: Some | None = None
    query: Some | None = None

    @model_validator(mode="after")
    def _one(self) -> "Feature":
        if sum(getattr(self, key) is not None for key in _FEATURES) != 1:
            raise ValueError(f"give one of {', '.join(_FEATURES)}")
        return self

    @property
    def told(self) -> str:
        key = next(key for key in _FEATURES if getattr(self, key) is not None)
        return f"{key} {getattr(self, key)[:80]}"


_FEATURES = ("call", "imports", "name", "definition", "node", "query")


class CodeCheck(GraderSettings):
    """What every check of one file has.

    Attributes:
        name: unique in the grader; the number of the check where it is left out.
        weight: against the other checks.
        path: of the file.
        language: by the file's suffix where it is left out.
        may_be_unchanged: the check scores also where the agent did not change the file.
    """

    name: str | None = None
    weight: PositiveFloat = 1.0
    path: AbsolutePath
    language: LanguageName | None = None
    may_be_unchanged: bool = False

    @model_validator(mode="after")
    def _known(self) -> "CodeCheck":
        if self.language is None and language_of(self.path) is None:
            raise ValueError(f"language is needed for a file of that name: {', '.join(GRAMMARS)}")
        return self

    @property
    def grammar(self) -> str:
        return self.language or language_of(self.path) or ""


class SameCheck(CodeCheck):
    """The code is that of a reference but for names of variables, order of definitions, formatting and comments.

    Attributes:
        reference: below tests/.
        partial: code that is nearer to the reference than what was there before scores in part.
    """

    type: Literal["same"]
    reference: ReferencePath
    partial: bool = False


class RequireCheck(CodeCheck):
    """The code has a feature.

    Attributes:
        feature: which.
        min, max: how many times.
    """

    type: Literal["require"]
    feature: Feature
    min: PositiveInt = 1
    max: PositiveInt | None = None

    @model_validator(mode="after")
    def _query(self) -> "RequireCheck":
        _check_query(self.feature, self.grammar)
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max}, below min")
        return self


class BanCheck(GraderSettings):
    """No code that the agent wrote has a feature. It gives no score; where it is broken, the grader's score is 0.

    Attributes:
        name: unique in the grader; the number of the check where it is left out.
        paths: files that it is about, of those that the agent changed: every one whose suffix tells `language`.
        language: of the files.
        feature: which.
    """

    type: Literal["ban"]
    name: str | None = None
    paths: tuple[PathPattern, ...] = ("/**",)
    language: LanguageName
    feature: Feature

    @model_validator(mode="after")
    def _query(self) -> "BanCheck":
        _check_query(self.feature, self.language)
        return self


AnyCheck = Annotated[SameCheck | RequireCheck | BanCheck, Field(discriminator="type")]


class Settings(GraderSettings):
    """An ``ast`` grader: the mean of its checks by weight, 0 where a ban is broken."""

    checks: Annotated[tuple[AnyCheck, ...], Field(min_length=1, max_length=100), AfterValidator(distinct_names)]

    @model_validator(mode="after")
    def _pays_for_something(self) -> "Settings":
        if all(isinstance(check, BanCheck) for check in self.checks):
            raise ValueError("only bans, which doing nothing keeps; add a check of what the code is to have")
        return self


def _check_query(feature: Feature, language: str) -> None:
    import tree_sitter

    if feature.query is not None:
        try:
            tree_sitter.Query(load(language), feature.query)
        except (tree_sitter.QueryError, ValueError) as error:
            raise ValueError(f"query is none for {language}: {' '.join(str(error).split())[:200]}") from None
    if feature.node is not None and load(language).id_for_node_kind(feature.node, True) is None:
        raise ValueError(f"node {feature.node!r} is unknown to the grammar of {language}")
