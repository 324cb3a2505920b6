"""Which differences make a source another one; the real servers stand in tests/integration/test_source_identity.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from syncline.core.catalogs.drift import changed_columns
from syncline.core.identity import SourceIdentity, lsn

STORED = SourceIdentity(
    connection="mdm", table="mdm.worker", database=5, next_xid=900, oldest_xid=800, system="7", timeline=1, relation=16,
    leaves=(16,), columns={"name": 2}, position=1000,
)  # fmt: skip


def found(**differs: Any) -> SourceIdentity:
    return SourceIdentity(**{**STORED.as_dict(), "leaves": STORED.leaves, **differs})


@pytest.mark.parametrize(
    "differs",
    [{"system": "8"}, {"timeline": 2}, {"timeline": 0}, {"database": 6}, {"next_xid": 799}, {"position": 999}],
)
def test_another_server_or_one_that_went_back_is_another(differs: dict[str, Any]) -> None:
    assert len(found(**differs).server_differences(STORED)) == 1


@pytest.mark.parametrize(
    "differs",
    [{}, {"next_xid": 800}, {"position": 1000}, {"system": None}, {"timeline": None}, {"position": None},
     {"is_replica": True, "position": 1, "next_xid": 3}],
)  # fmt: skip
def test_what_is_not_told_or_moves_on_is_the_same(differs: dict[str, Any]) -> None:
    assert found(**differs).server_differences(STORED) == []


def test_a_table_that_is_gone_is_no_other_table() -> None:
    assert found(relation=17).table_differences(STORED) == ["oid of mdm.worker 17, it was 16"]
    assert found(relation=None).table_differences(STORED) == []


def test_what_joined_and_what_was_made_anew_is_found() -> None:
    assert found(leaves=(16, 18)).new_leaves(STORED) == (18,)
    assert found(leaves=()).new_leaves(STORED) == ()
    assert found(columns={"name": 5, "new": 6}).remade_columns(STORED) == ["name"]


def test_it_comes_back_from_the_ledger_as_it_went() -> None:
    assert SourceIdentity.from_dict(json.loads(json.dumps(STORED.as_dict()))) == STORED


def test_a_position_is_spelt_as_postgresql_does() -> None:
    assert (lsn(0x16B374D848), lsn(0)) == ("16/B374D848", "0/0")


def test_only_columns_that_nobody_uses_are_told_of() -> None:
    before, now = {"a": "text", "b": "text", "used": "text"}, {"a": "date", "c": "text", "used": "date"}

    assert [*changed_columns("s.t", before, now, {"used"})] == [
        "s.t has a new column c (text), which no field uses",
        "s.t no longer has column b (text), which no field used",
        "s.t has column a as date, it was text; no field uses it",
    ]
    assert [*changed_columns("s.t", {}, now, set())] == []
