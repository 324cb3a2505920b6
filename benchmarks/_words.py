"""What benchmarks/transforms.py measures: every word by its own example, on a column whose values are typical of it.

Nothing here lists the words: they come from the registries, so a new word is measured as soon as it has an example.
Which column is typical is found by trying: the one of a fitting type of which the word refuses least, the first of
equals. A word for which none can be found is told with the reason, never left out.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql
from psycopg.sql import Composable
from pydantic import ValidationError

from syncline.core.compile import REJECT, compile_mapping
from syncline.core.mapping import BEGINNINGS, Mapping
from syncline.core.reference_files import ProjectReferences
from syncline.core.transforms import Check, NotApplicable, Transform
from syncline.core.transforms.base import Worded
from syncline.core.transforms.protect import setting_of
from syncline.core.types import PgType

POOL_ROWS = 1_000  # different rows; the measured table repeats them
TRIES_MAX = 300  # of columns for one example
TRIED_ROWS = 200
TABLE = sql.Identifier("words", "row")
POOL = sql.Identifier("words", "pool")
LOOKED_UP = "words.looked_up"
# In each mapping, plain or not: so that what the first computed value of a mapping costs, an inner query and the
# reject column, is no word's price.
ALWAYS: dict[str, Any] = {"key": {"coalesce": ["n", "n"], "type": "integer", "checks": ["required"]}}


@dataclass(frozen=True)
class Case:
    """One example of a word, ready to be measured.

    Attributes:
        columns: The columns it reads; cases that read the same ones are measured together.
        plain: The same columns, mapped as they are.
        rejected_ratio: Share of the sample rows that it refuses.
    """

    word: str
    written: str
    cost: str | None
    columns: tuple[str, ...]
    mapping: Mapping
    plain: Mapping
    rejected_ratio: float


@dataclass
class Cases:
    """All that can be measured, and why the rest can not."""

    ready: list[Case] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)


# Where many columns are taken whole and one of them is what the word is for.
BEST_ON = {
    "transliterate": "russian", "split": "list_text", "split_to_array": "list_text", "mask": "iban",
    "parse_json": "json_text", "tokenise": "iban", "keyed_hash": "iban", "parse_boolean": "bool_text",
    "compare": "booked_on", "to_text": "booked_on", "strip_leading": "account_text", "pad": "whole_text",
    "json_path": "document", "to_json": "tags", "from_epoch": "epoch",
}  # fmt: skip

# -- the columns ----------------------------------------------------------------------------------------------

VALUES: dict[str, list[str]] = {
    name: said.split()
    for name, said in yaml.safe_load((Path(__file__).parent / "typical_values.yaml").read_text()).items()
}


def _name(rand: random.Random) -> str:
    return f"{rand.choice(VALUES['given_name'])} {rand.choice(VALUES['family_name'])}"


def _one_of(name: str, rand: random.Random) -> str:
    return rand.choice(VALUES[name])


def _day(rand: random.Random, first: int, last: int) -> str:
    return f"{rand.randint(first, last)}-{rand.randint(1, 12):02}-{rand.randint(1, 28):02}"


def _moment(rand: random.Random) -> str:
    return f"{_day(rand, 2020, 2026)} {rand.randint(4, 22):02}:{rand.randint(0, 59):02}:{rand.randint(0, 59):02}"


Made = Callable[[random.Random], Any]
# column -> type, one value. The first ones are what most words are tried on.
COLUMNS: dict[str, tuple[str, Made]] = {
    "name": ("text", _name),
    "other_name": ("text", _name),
    "amount": ("numeric(14,4)", lambda rand: f"{rand.randint(1, 90_000_000) / 10_000:.4f}"),
    "number": ("integer", lambda rand: rand.randint(1, 90_000)),
    "flag_number": ("integer", lambda rand: rand.randint(0, 1)),
    "payment_terms_days": ("integer", lambda rand: rand.choice([15, 30, 60])),
    "notice_months": ("integer", lambda rand: rand.randint(1, 6)),
    "epoch": ("bigint", lambda rand: rand.randint(1_500_000_000, 1_790_000_000)),
    "whole_amount": ("numeric(12,0)", lambda rand: rand.randint(1, 9_000_000)),
    "booked_on": ("date", lambda rand: _day(rand, 2024, 2026)),
    "starts_on": ("date", lambda rand: _day(rand, 2010, 2023)),
    "at": ("timestamptz", lambda rand: _moment(rand) + "+00"),
    "local_at": ("timestamp", _moment),
    "is_active": ("boolean", lambda rand: rand.random() < 0.5),
    "measure": ("double precision", lambda rand: rand.random() * 1_000),
    "id": ("uuid", lambda rand: f"{rand.getrandbits(128):032x}"),
    "document": ("jsonb", lambda rand: {"a": {"b": [rand.randint(1, 99), "x"]}, "a b": {"c": 1}, "name": _name(rand)}),
    "raw_document": ("json", lambda rand: {"a": {"b": [rand.randint(1, 99)]}}),
    "tags": ("text[]", lambda rand: [_name(rand) for _ in range(3)]),
    "bytes": ("bytea", lambda rand: f"\\x{rand.getrandbits(64):016x}"),
    "address": ("inet", lambda rand: f"10.0.{rand.randint(0, 255)}.{rand.randint(0, 255)}"),
    "span": ("interval", lambda rand: f"{rand.randint(1, 90)} days"),
    "clock": ("time", lambda rand: f"{rand.randint(0, 23):02}:30:00"),
    **{name: ("text", partial(_one_of, name)) for name in VALUES},
}  # fmt: skip


def make_tables(session: psycopg.Connection) -> None:
    """The pool of different rows, and the table that the beginning `lookup` asks."""
    rand = random.Random(42)
    rows = [{"id_": n, **{name: made(rand) for name, (_, made) in COLUMNS.items()}} for n in range(POOL_ROWS)]
    typed = sql.SQL(", ").join(
        sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, (kind, _) in COLUMNS.items()
    )
    session.execute("drop schema if exists words cascade")
    session.execute("create schema words")
    session.execute(
        sql.SQL("create table {} as select * from jsonb_to_recordset({}::jsonb) as r (id_ integer, {})").format(
            POOL, sql.Literal(json.dumps(rows)), typed
        )
    )
    session.execute(
        "create table words.looked_up as"
        " select distinct currency_code as code, 'Name of ' || currency_code as name from words.pool"
    )
    session.execute("analyze")


def fill(session: psycopg.Connection, columns: Sequence[str], rows: int) -> None:
    """The measured table: `n`, and these columns of the pool over and over."""
    session.execute(sql.SQL("drop table if exists {}").format(TABLE))
    session.execute(
        sql.SQL(
            "create unlogged table {} as select n, {} from generate_series(1, {}) as n join {} as p on p.id_ = n % {}"
        ).format(
            TABLE, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Literal(rows), POOL, sql.Literal(POOL_ROWS)
        )
    )
    session.execute(sql.SQL("select count(*) from {}").format(TABLE))  # the first reader marks the rows as settled


# -- the cases ------------------------------------------------------------------------------------------------

# How a field begins, where that is not a column as it is. Each is compared with the plain column `name`.
BEGINNING_FIELDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "from": (("name",), {"from": "name", "type": "text"}),
    "constant": (("name",), {"constant": "mdm", "type": "text"}),
    "concat": (("name", "other_name"), {"concat": {"columns": ["name", "other_name"]}, "type": "text"}),
    "coalesce": (("name", "other_name"), {"coalesce": ["name", "other_name"], "type": "text"}),
    "lookup": (("currency_code",), {
        "lookup": {"table": LOOKED_UP, "match": {"code": "currency_code"}, "take": "name"}, "type": "text"}),
    "when": (("name", "status_code"), {
        "when": [{"if": {"status_code": "ACT"}, "then": {"from": "name"}}],
        "otherwise": {"constant": "none"}, "type": "text"}),
    "expression": (("name", "other_name"), {"expression": "upper(name) || ' ' || other_name", "type": "text"}),
    "json_object": (("name", "other_name"), {"json_object": {"a": "name", "b": "other_name"}, "type": "jsonb"}),
    "array": (("name", "other_name"), {"array": ["name", "other_name"], "type": "text[]"}),
    "surrogate_key": (("name", "other_name"), {
        "surrogate_key": {"columns": ["name", "other_name"], "namespace": "people"}, "type": "uuid"}),
}  # fmt: skip


class Builder:
    """Makes cases, trying them on the pool."""

    def __init__(self, session: psycopg.Connection, references: ProjectReferences) -> None:
        self.session, self.references = session, references
        self.server_version = session.info.server_version // 10_000

    def all(self, *, every_example: bool) -> Cases:
        """Every beginning and every word; of a word its first example, or all."""
        found = Cases()
        for name in (word.rstrip("_") for word in BEGINNINGS):
            self._add(found, name, lambda name=name: self._beginning(name))
        for kind in (*Transform.known.values(), *Check.known.values()):
            word = kind.model_fields["word"].default
            if not kind.examples:
                found.not_measured[word] = "it has no example"
            for example in kind.examples if every_example else kind.examples[:1]:
                self._add(found, word, lambda kind=kind, example=example: self._word(kind, example))
        return found

    def _add(self, found: Cases, word: str, make: Callable[[], Case]) -> None:
        try:
            found.ready.append(make())
        except Exception as problem:  # whatever it is, the other words are measured
            found.not_measured[word] = f"{type(problem).__name__}: {problem}".splitlines()[0][:160]

    def mapping(self, columns: Sequence[str], fields: dict[str, Any], *, alone: bool = False) -> Mapping:
        source = {"n": "integer", **{name: COLUMNS[name][0] for name in columns}}
        hidden = {name: {"pii": "none", **said} for name, said in fields.items()}
        return Mapping.model_validate(
            {"version": "1.0.0", "source": source, "fields": hidden if alone else {**ALWAYS, **hidden}},
            context=self.references,
        )

    def plain(self, columns: Sequence[str], *, alone: bool = False) -> Mapping:
        """The columns as they are."""
        fields = {f"x_{name}": {"from": name, "type": COLUMNS[name][0]} for name in columns}
        return self.mapping(columns, fields, alone=alone)

    def _beginning(self, name: str) -> Case:
        if name not in BEGINNING_FIELDS:
            raise LookupError("benchmarks/_words.py does not know how to write it")
        columns, said = BEGINNING_FIELDS[name]
        mapping = self.mapping(columns if name != "constant" else (), {"x": said})
        table_columns = columns if "name" in columns else ("name", *columns)
        return Case(name, name, None, table_columns, mapping, self.plain(["name"]), self._rejected(mapping))

    def _word(self, kind: type[Worded], example: str) -> Case:
        if kind.server_min > self.server_version:
            raise LookupError(f"needs PostgreSQL {kind.server_min}")
        best: Case | None = None
        for case in self._candidates(kind, example):
            if best is None or case.rejected_ratio < best.rejected_ratio:
                best = case
            if best.rejected_ratio == 0:
                break
        if best is None:
            raise LookupError(f"no column that `{example}` takes")
        return best

    def _candidates(self, kind: type[Worded], example: str) -> Iterator[Case]:
        said = yaml.safe_load(example)
        own = self._own_columns(kind)
        (word,) = self._read(kind, said, own[0])
        others = [[other, *own, *COLUMNS] if other in COLUMNS else [*own, *COLUMNS] for other in word.reads]
        for column, *read in list(product(own, *(dict.fromkeys(names) for names in others)))[:TRIES_MAX]:
            if column in read:
                continue
            try:
                yield self._case(kind, example, said, column, dict(zip(word.reads, read, strict=True)))
            except (NotApplicable, ValidationError, LookupError, psycopg.Error):
                continue

    def _own_columns(self, kind: type[Worded]) -> list[str]:
        """The columns of a type that it takes: of the first type that it names first, what it is best on before all."""
        families = {name: PgType.parse(spelt).as_read.family for name, (spelt, _) in COLUMNS.items()}
        taken = [name for name, family in families.items() if family in kind.takes]
        is_picky = len(kind.takes) < len(set(families.values()))  # who takes all has no first
        best = BEST_ON.get(kind.model_fields["word"].default)
        return sorted(taken, key=lambda name: (name != best, kind.takes.index(families[name]) if is_picky else 0))

    def _read(self, kind: type[Worded], said: Any, column: str) -> tuple[Worded]:
        """The example as the model reads it, to see which other columns it names."""
        draft = {"from": column, "type": COLUMNS[column][0], "checks" if issubclass(kind, Check) else "steps": [said]}
        field_map = self.mapping([column], {"x": draft}).fields["x"]
        return ((*field_map.steps, *field_map.checks)[0],)

    def _case(self, kind: type[Worded], example: str, said: Any, column: str, others: dict[str, str]) -> Case:
        """`others`: what the example calls a column -> the column of the pool that stands in for it."""
        said = json.loads(_renamed(json.dumps(said), others))
        columns = (column, *others.values())
        if issubclass(kind, Check):
            plain = {f"x_{name}": {"from": name, "type": COLUMNS[name][0]} for name in columns}
            said = json.loads(_renamed(json.dumps(said), {name: f"x_{name}" for name in others.values()}))
            fields = {**plain, f"x_{column}": {**plain[f"x_{column}"], "checks": [said]}}
            mapping, compared = self.mapping(columns, fields), self.plain(columns)
        else:
            (word,) = self._read(kind, said, column)
            gives = word.gives(PgType.parse(COLUMNS[column][0]).as_read)  # type: ignore[attr-defined]
            mapping = self.mapping(columns, {f"x_{column}": {"from": column, "type": str(gives), "steps": [said]}})
            compared = self.plain([column])
        if faults := mapping.faults():
            raise LookupError(faults[0][2])
        return Case(
            kind.model_fields["word"].default, example, kind.cost, columns, mapping, compared, self._rejected(mapping)
        )

    def _rejected(self, mapping: Mapping) -> float:
        set_keys(self.session, mapping)
        counted = self.session.execute(
            sql.SQL("select count({}), count(*) from ({}) as x").format(
                sql.Identifier(REJECT), compile_mapping(mapping, _numbered(POOL)).select
            )
        ).fetchone()
        return counted[0] / counted[1] if counted else 1.0


def _renamed(said: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        said = said.replace(json.dumps(old), json.dumps(new))
    return said


def _numbered(pool: Composable) -> Composable:
    return sql.SQL("(select id_ as n, * from {} where id_ < {})").format(pool, sql.Literal(TRIED_ROWS))


def set_keys(session: psycopg.Connection, mapping: Mapping) -> None:
    """Any key does, to measure."""
    for key in mapping.keys:
        for half in ("inner", "outer"):
            session.execute("select set_config(%s, %s, false)", [setting_of(key, half), "36" * 64])
