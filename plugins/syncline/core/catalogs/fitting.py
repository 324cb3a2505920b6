"""Whether a valid job fits the two databases that it connects: what their catalogs say against what its files say.

A misfit stands at the line of the manifest or mapping that a person would change, with the exact remedy: a line of
YAML, or a statement for the table's owner. What the target or source has beyond the job's need is no misfit.

Three weights. What would fail or change values whatever the rows are is `certain`, and stops a run before its first
row; what depends on the rows, or makes a batch slow, is told by `syncline check --connect`; what a person should know
but may be meant so is only noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from syncline.core.catalogs.tables import Catalog, Column, Table
from syncline.core.errors import SchemaDrift
from syncline.core.files.documents import Where
from syncline.core.files.findings import nearest
from syncline.core.job import SyncJob
from syncline.core.types import PgType

Weight = Literal["certain", "likely", "noted"]
PLACE = "D01"  # the code of what no file is to blame for: a server, a right, a connection
SERVER_MIN = 15
STORED = ("table", "partitioned table")
NUMBERS = frozenset({"number", "float"})


@dataclass(frozen=True)
class Renamed:
    """A column of one side that is gone, where another of its type has come that is called much like it."""

    side: Literal["source", "target"]
    old: str
    new: str


@dataclass(frozen=True)
class Retyped:
    """A column that has another type now, as a mapping calls it."""

    side: Literal["source", "target"]
    name: str
    type: PgType


@dataclass(frozen=True)
class Gone:
    """A column that is gone, and nothing like it has come."""

    side: Literal["source", "target"]
    name: str


@dataclass(frozen=True)
class Owed:
    """A column of the target that must have a value, and that no field fills."""

    name: str
    type: str


Drift = Renamed | Retyped | Gone | Owed


@dataclass(frozen=True)
class Misfit:
    """One thing that does not fit, at a place of one of the job's two files."""

    file: Literal["manifest", "mapping"]
    where: Where
    code: str
    found: str
    allowed: str = ""
    nearest: str = ""
    weight: Weight = "likely"
    drift: Drift | None = None  # what happened to the table, where a change of the mapping follows from it

    @property
    def said(self) -> str:
        """For one line of an error: what was found, and the right name."""
        return self.found + (f" (is it {self.nearest} now?)" if self.nearest else "")


def drifted(job: SyncJob, where: str, misfits: Sequence[Misfit], left: str) -> SchemaDrift:
    """The error of tables that do not fit, with its misfits: who has the files at hand proposes a change of them."""
    said = "; ".join(misfit.said for misfit in misfits)
    error = SchemaDrift(
        f"{job.id}: schema drift: {where} differs from the mapping: {said}. {left}. Mend "
        f"include/mappings/{job.manifest.mapping}.yaml or the table; `syncline check --connect {job.id}` says how."
    )
    error.misfits = tuple(misfits)
    return error


def server_misfits(catalog: Catalog, where: Where) -> Iterator[Misfit]:
    if catalog.server < SERVER_MIN:
        said = f"the server is PostgreSQL {catalog.server}"
        yield Misfit("manifest", where, PLACE, said, f"{SERVER_MIN} or newer is supported", weight="certain")


def comparable(one: PgType, other: PgType) -> bool:
    """Whether PostgreSQL assigns the one to the other and compares them without a cast of ours."""
    if one.is_array or other.is_array:
        return one.is_array and other.is_array and one.name == other.name
    if one.family == other.family or {one.family, other.family} <= NUMBERS:
        return True
    return {one.family, other.family} in ({"date", "timestamp"}, {"time", "interval"})


def as_declared(column: Column) -> str:
    return "text" if column.labels or column.ignores_case or column.type is None else str(column.type)


def no_table(file: Literal["manifest", "mapping"], where: Where, name: str, catalog: Catalog) -> Misfit:
    near = _near_table(name, catalog.table_names)
    return Misfit(file, where, "M20", f"table {name} does not exist", "", near, "certain")


def _near_table(name: str, names: Iterable[str]) -> str:
    """The same table in another schema, or the name most like it."""
    names = list(names)
    own = name.split(".")[1]
    return next((other for other in names if other.split(".")[1] == own), "") or nearest(name, names)


def no_column(
    file: Literal["manifest", "mapping"], where: Where, name: str, table: Table, drift: Drift | None = None
) -> Misfit:
    said = f"{table.name} does not have it"
    near = drift.new if isinstance(drift, Renamed) else table.near(name)
    return Misfit(file, where, "M20", f"column {name} is missing", said, near, "certain", drift)


def what_became(side: Literal["source", "target"], name: str, like: Iterable[str]) -> Renamed | Gone:
    """A column that is gone: renamed, if among those like it one is called much like it.

    Args:
        like: Columns of its type that no file names yet.
    """
    near = nearest(name, like)
    return Renamed(side, name, near) if near else Gone(side, name)
