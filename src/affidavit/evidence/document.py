"""What the typed documents of a bundle have in common: how they are read, checked and written."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from affidavit.errors import first_problem
from affidavit.signing import EvidenceError

# JSON has lists; what is frozen has tuples.
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class Document(BaseModel):
    """A JSON document as a typed class. Fields that a version does not know are ignored when it is read."""

    # A number that JSON lacks stays one, so that writing the document fails, and does not become null.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", ser_json_inf_nan="constants")

    @classmethod
    def read(cls, name: str, value: object) -> Self:
        """The document that `to_json` wrote.

        Args:
            name: the file's, for errors.
            value: its JSON value.

        Raises:
            EvidenceError: it is none.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise EvidenceError(f"{name}: {first_problem(error)}") from None

    def to_json(self) -> dict[str, Any]:
        """The document as JSON."""
        return self.model_dump(mode="json")


class SparseDocument(Document):
    """A document of which only those fields are written that were set: it tells None from nothing."""

    @model_serializer(mode="wrap")
    def _as_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = serialize(self)
        return {name: one for name, one in value.items() if name in self.model_fields_set}
