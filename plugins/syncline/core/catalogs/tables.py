"""What a server says about one of its tables, as far as a mapping has to fit it. Never a row.

adapters/catalog.py reads it; fitting.py compares it with a job, drafting.py makes a first draft of one. Types are
those that mappings may name; of any other the server's spelling is kept, and nothing is guessed about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from syncline.core.files.findings import nearest
from syncline.core.types import TEXT, PgType

Kind = Literal["table", "partitioned table", "view", "materialized view", "foreign table"]
Identity = Literal["", "always", "by default"]
SCANNED_BY_ORDER = frozenset({"btree", "brin"})  # index methods that find a range
SPELT = {"timestamp": "timestamp", "time": "time"}
ZONED = re.compile(r"(timestamp|time)(\([0-9]\))? (with|without) time zone(\[\])?")
ALIASES = {"character varying": "varchar", "character": "char", "bpchar": "text", "citext": "text"}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        spelling: Its type in the server's words, with the schema where it is not on the search path.
        type: As a mapping names it: a domain by its base, citext and an enumeration as text. None: no mapping can.
        labels: Of an enumeration, in its order; empty for all others.
        allowed: The only values that a check constraint of the form `c in (...)` admits; None without one.
        domain: Its domain, '' without one; `domain_checks` are the domain's conditions.
        ignores_case: 'A' and 'a' are one value to an index (citext).
    """

    name: str
    spelling: str
    type: PgType | None
    is_nullable: bool = True
    has_default: bool = False
    is_generated: bool = False
    identity: Identity = ""
    labels: tuple[str, ...] = ()
    allowed: tuple[str, ...] | None = None
    domain: str = ""
    domain_checks: tuple[str, ...] = ()
    ignores_case: bool = False
    is_readable: bool = True
    enum: tuple[str, str] | None = None  # schema and name of an enumeration

    @property
    def values(self) -> frozenset[str] | None:
        """The only values that it takes, as text; None where it takes any of its type."""
        if self.labels:
            return frozenset(self.labels)
        return None if self.allowed is None else frozenset(self.allowed)

    @property
    def shown(self) -> str:
        """Its type for a sentence: what a mapping calls it, and what it really is where that is another thing."""
        if self.labels:
            return f"the enumeration {self.spelling}"
        if self.domain and self.type is not None:
            return f"{self.type} (domain {self.domain})"
        return self.spelling if self.type is None or self.ignores_case else str(self.type)


@dataclass(frozen=True)
class Index:
    """One index. `columns` are those of its key in order; an expression among them is ''."""

    name: str
    columns: tuple[str, ...]
    method: str = "btree"
    is_unique: bool = False
    is_primary: bool = False
    is_valid: bool = True
    is_partial: bool = False

    @property
    def proves_unique(self) -> bool:
        return self.is_unique and self.is_valid and not self.is_partial and "" not in self.columns


@dataclass(frozen=True)
class Constraint:
    """A check, exclusion or foreign key that a row may break."""

    name: str
    kind: Literal["check", "exclusion", "foreign key"]
    columns: tuple[str, ...]
    definition: str


@dataclass(frozen=True)
class Table:
    """One table of a server's catalog.

    Attributes:
        name: `schema.table`.
        estimated_rows: The server's own estimate; None where it has never counted.
        rights: What the asked role may do: usage (of the schema), select, insert, update, delete.
        has_foreign_rows: Some of its rows are another server's: a partition or child that is a foreign table.
        has_children: Other tables inherit from it: no index of its own binds their rows.
        may_read_xmin: Whether the role may read the row versions' numbers; a grant on single columns leaves them out.
        has_row_security, forces_row_security: ENABLE and FORCE ROW LEVEL SECURITY.
    """

    name: str
    columns: Mapping[str, Column]
    kind: Kind = "table"
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    owner: str = ""
    estimated_rows: int | None = None
    has_row_security: bool = False
    forces_row_security: bool = False
    rights: frozenset[str] = frozenset({"usage", "select", "insert", "update", "delete"})
    has_foreign_rows: bool = False
    has_children: bool = False
    may_read_xmin: bool = True

    @property
    def shows_row_versions(self) -> bool:
        """Whether its own row versions say what has changed, to the role that was asked about."""
        return self.kind in ("table", "partitioned table") and self.may_read_xmin and not self.has_foreign_rows

    @property
    def shape(self) -> dict[str, str]:
        """Column -> type."""
        return {name: column.shown for name, column in self.columns.items()}

    @property
    def primary_key(self) -> tuple[str, ...]:
        return next((index.columns for index in self.indexes if index.is_primary), ())

    @property
    def keys(self) -> list[tuple[str, ...]]:
        """Columns that the server keeps unique, the primary key first."""
        proven = [index for index in self.indexes if index.proves_unique]
        return [index.columns for index in sorted(proven, key=lambda index: (not index.is_primary, index.name))]

    def is_unique(self, columns: Iterable[str]) -> bool:
        """Whether no two rows can agree in all these columns, NULL aside."""
        named = set(columns)
        return any(set(key) <= named for key in self.keys)

    def binds(self, columns: Iterable[str]) -> bool:
        """The same of all rows that it shows: those of tables that inherit from it no index of its own binds."""
        return not self.has_children and self.is_unique(columns)

    def is_indexed(self, column: str) -> bool:
        """Whether a range of the column is found by an index."""
        return any(
            index.columns[:1] == (column,)
            and index.is_valid
            and not index.is_partial
            and index.method in SCANNED_BY_ORDER
            for index in self.indexes
        )

    def near(self, name: str) -> str:
        """The column whose name is closest to one that does not exist."""
        return nearest(name, self.columns)


@dataclass(frozen=True)
class Catalog:
    """What one server says: its major version, and those of the asked tables that it has.

    Attributes:
        role: On whose behalf rights were asked.
        encoding: Of the database; SQL_ASCII promises nothing about its texts.
        table_names: All tables of the database, where one that was asked for is missing.
    """

    server: int
    tables: Mapping[str, Table]
    role: str = ""
    encoding: str = "UTF8"
    table_names: tuple[str, ...] = field(default=())


def type_named(spelling: str) -> PgType | None:
    """The type that mappings call what a server spells `character varying(40)`; None for one they cannot name."""
    if zoned := ZONED.fullmatch(spelling):
        name = zoned[1] + ("tz" if zoned[3] == "with" else "")
        spelling = name + (zoned[2] or "") + (zoned[4] or "")
    base, bracket, rest = spelling.partition("(")
    if not bracket:
        base, bracket, rest = spelling.partition("[")
    spelling = ALIASES.get(base, base) + bracket + rest
    try:
        return PgType.parse(spelling)
    except ValueError:
        return None


def type_of_labels(labels: Iterable[str]) -> PgType:
    """An enumeration is read and written as the text of its labels."""
    return TEXT if not (lengths := [len(label) for label in labels]) else PgType("varchar", length=max(lengths))


MEMBER = r"'(?:[^']|'')*'(?:::[a-z ]+(?:\([0-9]+\))?)?"
ONE_OF = re.compile(
    r"CHECK \(+\(?(?P<column>\"?[^\s\"()]+\"?)\)?(?:::text)? = ANY \(+(?:ARRAY\[(?P<members>"
    + MEMBER + r"(?:, " + MEMBER + r")*)\])\)?(?:::text\[\])?\)+"
)  # fmt: skip


def allowed_values(definition: str) -> tuple[str, ...] | None:
    """The values of a constraint `check (c in ('a', 'b'))`, as PostgreSQL spells it back; None for any other."""
    found = ONE_OF.fullmatch(definition)
    if found is None:
        return None
    return tuple(member.replace("''", "'") for member in re.findall(r"'((?:[^']|'')*)'", found["members"]))
