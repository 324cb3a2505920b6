"""What the models of all YAML files share: they are frozen and closed, and names look alike everywhere.

Names are ASCII: no two look the same and differ.
"""

from __future__ import annotations

import re
from typing import Annotated

from psycopg import sql
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")  # what PostgreSQL keeps without quoting
NAME_LENGTH_MAX = 63
SENTENCE_MIN = 10
VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


class Frozen(BaseModel):
    """Base of every model of a YAML file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def _name(value: str) -> str:
    if len(value) > NAME_LENGTH_MAX:
        said = "a name of {n} characters; PostgreSQL keeps {max}"
        raise PydanticCustomError("M13", said, {"n": len(value), "max": NAME_LENGTH_MAX})
    if not NAME.fullmatch(value):
        raise PydanticCustomError("M13", "'{value}' is not a name; a-z, 0-9 and _, at most 63", {"value": value[:80]})
    return value


def _sentence(value: str) -> str:
    if len(value.strip()) < SENTENCE_MIN:
        said = "'{value}' tells a reader too little; a sentence of at least {n} characters"
        raise PydanticCustomError("M02", said, {"value": value.strip()[:60], "n": SENTENCE_MIN})
    return value


def _table(value: str) -> str:
    if value.count(".") != 1 or not all(NAME.fullmatch(part) for part in value.split(".")):
        raise PydanticCustomError(
            "M13", "'{value}' is not a table; write schema.table in a-z, 0-9 and _", {"value": value[:140]}
        )
    return value


def _version(value: str) -> str:
    if not VERSION.fullmatch(value):
        raise PydanticCustomError("M02", "'{value}' is not a version; write 1.2.0", {"value": value[:40]})
    return value


def null_word(value: object) -> object:
    """A bare `null` where the word null is one of the choices."""
    return "null" if value is None else value


Name = Annotated[str, AfterValidator(_name)]
Sentence = Annotated[str, AfterValidator(_sentence)]  # for people who review the file
Table = Annotated[str, AfterValidator(_table)]
Version = Annotated[str, AfterValidator(_version)]


def table_identifier(table: str) -> sql.Identifier:
    """`schema.table` as a quoted identifier."""
    return sql.Identifier(*table.split("."))
