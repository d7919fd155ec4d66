"""What every record of a run folder is: one schema, for writing and for reading."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nearfar.core.errors import RunError


class Record(BaseModel):
    """Read-only. Keys that it does not know, of a newer version, are kept and not looked at."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=True, validate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """What stands in the file: plain lists and mappings, keys in the order of the fields."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def read(cls, value: object, where: str, remedy: str) -> Self:
        """Checked. RunError: a key is missing or wrong; `where` names the file, `remedy` says what
        to do.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the whole file"
            message = first["msg"].removeprefix("Value error, ")
            raise RunError(f"{where}: {key}: {message}; {remedy}") from error


def without(content: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The content, less those of the named keys that are None: absent from the file."""
    return {key: value for key, value in content.items() if key not in names or value is not None}
