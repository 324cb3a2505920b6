"""Run mappings over sample rows on a real server."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from syncline.adapters import connections
from syncline.core.compile import DELETED, REJECT, compile_mapping, sample_relation
from syncline.core.mapping import Mapping
from syncline.core.reference_files import ProjectReferences
from tests.conftest import ROOT


class Row(NamedTuple):
    """One mapped row: its target columns, `column:code` of what was refused, and what it was made of."""

    values: dict[str, Any]
    errors: list[str]
    payload: dict[str, Any] | None
    is_deleted: bool


class Engine:
    """Runs mappings over sample rows on one server."""

    def __init__(self, session: psycopg.Connection) -> None:
        self.session = session
        self.root = ROOT  # where code lists and calendars are
        session.execute(connections.SPELLING)

    def rows(
        self, source: dict[str, str], fields: dict[str, Any], given: list[dict[str, Any]], **how: Any
    ) -> list[Row]:
        """Map rows; a number `0no` keeps their order."""
        mapping = Mapping.model_validate({
            "version": "1.0.0", "source": {**source, "row_no": "integer"},
            "fields": {**fields, "row_no": {"from": "row_no", "type": "integer"}},
        }, context=ProjectReferences(self.root))  # fmt: skip
        assert mapping.faults() == [], "the test's own mapping has mistakes"
        numbered = [{**row, "row_no": n} for n, row in enumerate(given)]
        compiled = compile_mapping(mapping, sample_relation(mapping, json.dumps(numbered)), **how)
        told = self.session.execute(
            sql.SQL('select to_jsonb("0row")::text from ({}) as "0row"').format(compiled.select)
        )
        mapped = [_row(json.loads(row[0], parse_float=Decimal, parse_int=Decimal)) for row in told]
        assert len(mapped) == len(given), "rows are conserved"
        return sorted(mapped, key=lambda row: row.values["row_no"])

    def values(self, kind: str, field: dict[str, Any], given: list[Any], **how: Any) -> list[tuple[Any, list[str]]]:
        """Map a single column: value and codes per row."""
        rows = self.rows({"a": kind}, {"x": {"from": "a", **field}}, [{"a": value} for value in given], **how)
        return [(row.values["x"], [error.removeprefix("x:") for error in row.errors]) for row in rows]

    def set_hash_keys(self, name: str = "people") -> None:
        """A key as the line sets it, for words that need one."""
        for half in ("inner", "outer"):
            self.session.execute("select set_config(%s, %s, false)", [f"syncline.hash_{name}_{half}", "36" * 64])

    def knows_letters_beyond_ascii(self) -> bool:
        row = self.session.execute("select upper('é') = 'É'").fetchone()
        return bool(row and row[0])


def _row(mapped: dict[str, Any]) -> Row:
    reject = mapped.pop(REJECT)
    is_deleted = mapped.pop(DELETED)
    return Row(mapped, reject["errors"] if reject else [], reject["payload"] if reject else None, is_deleted)
