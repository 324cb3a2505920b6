"""The field mapping document: how each field of a target comes from fields of a source.

One document per entity, shared by the batch job, later the CDC job and the record comparison. It knows types:
a pair of types that could lose something is refused until a step says how. What a mapping *does* is compiled in
compile.py; which tables it connects is the manifest's matter.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Literal, Self, get_args

from psycopg import sql
from psycopg.sql import Composable
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.findings import nearest
from syncline.core.sensitive import looks_personal
from syncline.core.transforms import AnyCheck, Frozen, NotApplicable, Scalar, Step, template
from syncline.core.transforms.literals import check_literal, untyped
from syncline.core.types import TEXT, PgType, TypeName

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")  # what PostgreSQL keeps without quoting; ASCII: no homoglyphs
# Target columns that PostgreSQL or the compiled statement has already.
RESERVED = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax", "_deleted", "_reject"})
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise PydanticCustomError("M13", "'{value}' is not a name; a-z, 0-9 and _, at most 63", {"value": value[:80]})
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


Name = Annotated[str, AfterValidator(_name)]
Table = Annotated[str, AfterValidator(_table)]
Version = Annotated[str, AfterValidator(_version)]


def table_identifier(table: str) -> sql.Identifier:
    """`schema.table` as a quoted identifier."""
    return sql.Identifier(*table.split("."))


PiiClass = Literal["none", "name", "contact", "financial", "government_id", "birth"]
PII: tuple[str, ...] = get_args(PiiClass)


class Concat(Frozen):
    """Columns joined by a separator; NULL ones are left out, all NULL gives NULL."""

    columns: tuple[Name, ...] = Field(min_length=2, max_length=50)  # PostgreSQL calls with 100 arguments at most
    separator: str = " "


class Lookup(Frozen):
    """A value of another table of the source: `take` from the one row whose columns equal ours.

    match: column of the looked-up table -> column of this row.
    on_missing: `reject` makes no match an error of the row; `null` accepts it.
    Several matches are always an error of the row.
    """

    table: Table
    match: dict[Name, Name] = Field(min_length=1)
    take: Name
    take_type: TypeName = TEXT
    on_missing: Literal["reject", "null"] = "reject"


class FieldMap(Frozen):
    """One target field: a value, then steps in order, then checks.

    severity: critical (financial, personal: wages or filings follow it), medium (operational), low (descriptive).
    pii: class of personal data; what has one is never shown in previews or reports.
    """

    from_: Name | None = Field(None, alias="from")
    constant: Scalar | None = None
    concat: Concat | None = None
    lookup: Lookup | None = None
    type: TypeName
    steps: tuple[Step, ...] = Field((), max_length=20)  # what needs more is a program, not a mapping
    checks: tuple[AnyCheck, ...] = Field((), max_length=20)
    severity: Literal["critical", "medium", "low"] = "medium"
    pii: PiiClass = "none"
    description: str = ""

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        given = [w for w in ("from_", "constant", "concat", "lookup") if getattr(self, w) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "M20", "a field has exactly one of from, constant, concat, lookup; found {found}",
                {"found": " and ".join(word.rstrip("_") for word in given) or "none"},
            )  # fmt: skip
        return self

    @property
    def reads(self) -> dict[str, tuple[str | int, ...]]:
        """Source columns that the field reads, each with its place inside the field."""
        if self.from_ is not None:
            return {self.from_: ("from",)}
        if self.concat is not None:
            return {column: ("concat", "columns", n) for n, column in enumerate(self.concat.columns)}
        if self.lookup is not None:
            return {column: ("lookup", "match", key) for key, column in self.lookup.match.items()}
        return {}

    def start_type(self, source: dict[str, PgType]) -> PgType:
        """The type that the first step gets."""
        if self.from_ is not None:
            return source[self.from_]
        if self.lookup is not None:
            return self.lookup.take_type
        return TEXT if self.concat is not None else self.type


Fault = tuple[tuple[str | int, ...], str, str, str]  # place, code, found, allowed or nearest


class Mapping(Frozen):
    """A whole mapping document. `source` declares the columns it reads, `fields` the target's columns."""

    version: Version
    description: str = ""
    source: dict[Name, TypeName] = Field(min_length=1)
    fields: Annotated[dict[Name, FieldMap], Field(min_length=1), BeforeValidator(lambda v: v if v is not None else {})]

    @cached_property
    def lookups(self) -> dict[str, Lookup]:
        """Target field -> lookup."""
        return {name: field.lookup for name, field in self.fields.items() if field.lookup is not None}

    def faults(self) -> list[Fault]:
        """Mistakes that need more than one line to see: unknown columns, steps and types that do not fit."""
        found: list[Fault] = []
        read: set[str] = set()
        for name, field in self.fields.items():
            unknown = self._unknown_columns(name, field)
            found += [*unknown, *_name_faults(name, field)]
            read |= field.reads.keys()
            if not unknown:
                found += _type_faults(("fields", name), field, dict(self.source))
        for column in self.source.keys() - read:
            found.append((("source", column), "M20", f"source column '{column}' is read by no field", ""))
        return found

    def _unknown_columns(self, name: str, field: FieldMap) -> list[Fault]:
        return [
            (
                ("fields", name, *place), "M20", f"'{column}' is not declared under `source`",
                nearest(column, self.source),
            )
            for column, place in field.reads.items()
            if column not in self.source
        ]  # fmt: skip


def _name_faults(name: str, field: FieldMap) -> list[Fault]:
    """What a target column's name alone says: it is taken, or it is about a person and has no class."""
    found: list[Fault] = []
    if name in RESERVED:
        found.append((("fields", name), "M22", f"'{name}' is a reserved name", "give the target column another one"))
    if "pii" not in field.model_fields_set:
        taken = [field.lookup.take] if field.lookup is not None else []
        personal = next((column for column in (name, *field.reads, *taken) if looks_personal(column)), None)
        if personal is not None:
            said = f"'{personal}' looks like personal data, and field '{name}' has no class"
            found.append((("fields", name), "M21", said, f"say pii: {', '.join(PII)}; none means somebody looked"))
    return found


def _type_faults(where: tuple[str | int, ...], field: FieldMap, source: dict[str, PgType]) -> list[Fault]:
    """Walk one field's types from its start to its declared type; the first word that does not fit is told."""
    at: tuple[str | int, ...] = ()
    try:
        if field.constant is not None:
            at = ("constant",)
            check_literal(field.constant, field.type)
        current = field.start_type(source)
        for n, step in enumerate(field.steps):
            at = ("steps", n)
            current = step.gives(current)
        at = ("type",)
        if current.becomes(field.type) == "refused":
            said = f"{current} does not become {field.type} without loss"
            return [(where + at, "M20", said, _remedy(current, field.type))]
        for n, check in enumerate(field.checks):
            at = ("checks", n)
            check.require(field.type)
    except NotApplicable as error:
        return [(where + at, "M20", str(error), "")]
    return []


def _remedy(current: PgType, target: PgType) -> str:
    if target.family == "date" and current.family == "text":
        return "say how in steps: [{parse_date: iso}]"
    if target.name == "numeric":
        read = "parse_number, " if current.family == "text" else ""
        return f"say how in steps: [{read}{{round: {{scale: {target.scale or 0}, mode: half_even}}}}]"
    return f"say how in steps: [{{cast: {target}}}]"


def source_value(field: FieldMap, column: dict[str, Composable], looked_up: Composable) -> Composable:
    """The SQL that a field's steps start from. `column` holds the SQL of each source column."""
    if field.from_ is not None:
        return column[field.from_]
    if field.constant is not None:
        return template("({v})::{t}", v=untyped(field.constant), t=field.type.sql)
    if field.concat is not None:
        joined = _joined([column[name] for name in field.concat.columns], sql.Literal(field.concat.separator))
        return template("nullif({joined}, '')", joined=joined)
    return looked_up


def _joined(parts: list[Composable], separator: Composable) -> Composable:
    if len(parts) == 2:  # a third of the price of concat_ws, and names are pairs
        return template("coalesce({a} || {s} || {b}, {a}, {b})", a=parts[0], b=parts[1], s=separator)
    return template("concat_ws({s}, {parts})", s=separator, parts=sql.SQL(", ").join(parts))
