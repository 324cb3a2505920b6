"""What a transform and a check are. To add one: write one class in a module of this folder, nothing else.

A transform turns the SQL of a value into the SQL of another value. It is *partial*: where it gives NULL for a
value that was not NULL, the row is rejected with the transform's name as its error code; so a bad value never
fails a batch. A check leaves the value as it is and says, as SQL, when it holds; NULL passes every check but
`required`.

SQL must be safe on every input (no cast before its guard, inside CASE), deterministic, valid on PostgreSQL 15
and later, and free of side effects. Parameters reach it as literals, never as pasted text. The first sentence of
its docstring is its line in the catalogue (docs/transforms.md), the rest its page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_origin

from psycopg import sql
from psycopg.sql import Composable
from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from syncline.core.models import Frozen
from syncline.core.types import EVERY_FAMILY, TEXT, PgType


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("M02", "one value is wanted here", {"allowed": "text, a number, true or false"})
    return value


Scalar = Annotated[str | int | float | bool, PlainValidator(_scalar)]


class NotApplicable(ValueError):
    """A transform or check does not take a value of this type; the text says what it takes."""


# What a word costs per million rows beside a plain column, as benchmarks/transforms.py measures it:
# free (no more than half a plain column's price again), light (up to 3 times it), heavy (above).
Cost = Literal["free", "light", "heavy"]


@dataclass(frozen=True)
class Row:
    """The row in which a word stands: SQL and type of its columns by name.

    For a step they are the columns of the source, for a check the finished fields of the target.
    """

    values: Mapping[str, Composable]
    types: Mapping[str, PgType]


class Worded(Frozen):
    """A word of the mapping language: `trim`, or `{round: {scale: 2}}`, or `{max_length: 40}` by its shorthand."""

    word: str
    shorthand: ClassVar[str | None] = None  # the parameter that a bare value stands for
    takes: ClassVar[tuple[str, ...]] = ("text",)  # type families
    cost: ClassVar[Cost] = "light"
    examples: ClassVar[tuple[str, ...]] = ()  # as written in a mapping; the schema and the catalogue show them
    server_min: ClassVar[int] = 15  # PostgreSQL's major version from which its SQL runs

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns of the row that the word reads beside its value; they are in the `Row` it is given."""
        return ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the secret keys that the word needs (`SYNCLINE_HASH_KEY_<NAME>`)."""
        return ()

    def require_row(self, types: Mapping[str, PgType]) -> None:
        """Refuse columns in `reads` whose types do not fit; raises NotApplicable."""

    def require(self, given: PgType) -> None:
        if given.family not in self.takes:
            raise NotApplicable(f"`{self.word}` takes {' or '.join(self.takes)}, not {given}")


class Transform(Worded):
    """One step of a field: SQL of a value in, SQL of a value out."""

    may_reject: ClassVar[bool] = False  # whether there are values that it cannot take
    known: ClassVar[dict[str, type[Transform]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        Transform.known[cls.model_fields["word"].default] = cls

    @property
    def is_partial(self) -> bool:
        """Whether it gives NULL for a value that it cannot take, so that the row must be rejected."""
        return self.may_reject

    def gives(self, given: PgType) -> PgType:
        """The type of the result; raises NotApplicable."""
        self.require(given)
        return TEXT if given.family == "text" else given  # a step may make a text longer

    def sql(self, value: Composable, given: PgType) -> Composable:
        """SQL of the result. `given` is the type of the value."""
        raise NotImplementedError

    def sql_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        """The same for a word that reads other columns of the row."""
        return self.sql(value, given)


class Check(Worded):
    """A condition on the finished value of a field."""

    takes: ClassVar[tuple[str, ...]] = EVERY_FAMILY
    known: ClassVar[dict[str, type[Check]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        Check.known[cls.model_fields["word"].default] = cls

    def fails(self, value: Composable, given: PgType) -> Composable:
        """Boolean SQL, true when the value is refused; must be false or NULL for NULL. `given` is its type."""
        raise NotImplementedError

    def fails_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        """The same for a check that reads other fields of the row."""
        return self.fails(value, given)


def normalise(item: Any, known: dict[str, type[Any]]) -> Any:
    """Bring `trim`, `{trim: null}`, `{max_length: 40}` and `{round: {scale: 2}}` to one form: {"word": ..., ...}."""
    if isinstance(item, Worded):
        return item
    if isinstance(item, str):
        return {"word": item}
    if not isinstance(item, dict):
        return item
    if len(item) != 1:  # `word` is how we note it, not how it is written
        return {key: given for key, given in item.items() if key != "word"}
    ((word, given),) = item.items()
    if given is None:
        return {"word": word}
    if isinstance(given, dict) and "word" not in given and not _means_shorthand(word, given, known):
        return {"word": word, **given}
    shorthand = getattr(known.get(word), "shorthand", None)
    if shorthand is None and word in known:
        raise PydanticCustomError("M02", "`{word}` {takes}; write `{form}`", _form(word, known[word]))
    return {"word": word, shorthand or "": given}


def _means_shorthand(word: str, given: dict[str, Any], known: dict[str, type[Any]]) -> bool:
    """Whether a mapping is itself the value of a shorthand that takes one, and none of its keys is a parameter."""
    kind = known.get(word)
    if kind is None or kind.shorthand is None or get_origin(kind.model_fields[kind.shorthand].annotation) is not dict:
        return False
    return not set(given) & set(kind.model_fields)


def _form(word: str, kind: type[Worded]) -> dict[str, Any]:
    """How a word is written that takes no bare value: alone, or as its first example with parameters has it."""
    if set(kind.model_fields) == {"word"}:
        return {"word": word, "takes": "takes no value", "form": word}
    form = next(example for example in kind.examples if example.startswith("{"))
    return {"word": word, "takes": "takes what it needs by name", "form": form}


def lit(value: object) -> Composable:
    """A literal; text is typed so that the server never guesses."""
    return sql.SQL("{}::text").format(sql.Literal(value)) if isinstance(value, str) else sql.Literal(value)


def template(text: str, **parts: Composable) -> Composable:
    """`sql.SQL(text).format(**parts)` for the fixed texts of this package."""
    return sql.SQL(text).format(**parts)
