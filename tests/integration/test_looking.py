"""What `syncline preview` and `syncline explain` show of a real source, and what they keep to themselves."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.core.errors import TerminalError
from syncline.core.values import Verdict
from syncline.steps import looking
from syncline.steps.looking import PreviewRow
from syncline.steps.sampling import MASK
from tests.integration.conftest import JOB, Lab


def test_a_preview_shows_each_row_on_both_sides_of_its_mapping(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": " Ann ", "born": "1990-02-30", "at": "2026-01-01 00:00:00+00"})

    assert looking.preview(lab.job, limit=20) == [
        PreviewRow(
            source={"tenant_id": "t1", "person_id": "p1", "name": " Ann ", "born": "1990-02-30",
                    "updated_at": "2026-01-01T00:00:00+00:00"},
            target={"tenant_id": "t1", "person_no": "p1", "name": "Ann", "born": None,
                    "source_event_at": "2026-01-01T00:00:00+00:00"},
            errors=["born:parse_date"],
        )
    ]  # fmt: skip


def test_personal_data_is_masked_on_both_sides_unless_asked_for(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": "Ann"}, {"person_id": "p2", "name": None})
    lab.mapping["fields"]["name"]["pii"] = "name"

    masked = {row.source["person_id"]: row for row in looking.preview(lab.job, limit=20)}
    shown = {row.source["person_id"]: row for row in looking.preview(lab.job, limit=20, unmask=True)}

    assert (masked["p1"].source["name"], masked["p1"].target["name"]) == (MASK, MASK)
    assert (shown["p1"].source["name"], shown["p1"].target["name"]) == ("Ann", "Ann")
    assert masked["p2"].source["name"] is None  # that nothing is there is no secret
    assert masked["p2"].errors == ["name:required"]


def test_a_preview_has_the_rows_of_the_job_and_no_deleted_ones(lab: Lab) -> None:
    lab.hub({"person_id": "p1"}, {"person_id": "p2", "is_deleted": True}, {"person_id": "p3", "tenant_id": "t2"})
    lab.manifest["source"]["filter"] = {"tenant_id": ["t1"]}

    assert [row.source["person_id"] for row in looking.preview(lab.job, limit=20)] == ["p1"]


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_a_preview_is_small(lab: Lab, limit: int) -> None:
    with pytest.raises(TerminalError, match="--limit is 1 to 1000"):
        looking.preview(lab.job, limit=limit)


def test_a_preview_takes_as_many_rows_as_asked(lab: Lab) -> None:
    lab.hub(*({"person_id": f"p{n}"} for n in range(5)))

    assert len(looking.preview(lab.job, limit=3)) == 3


def test_a_preview_rounds_no_number_and_knows_columns_from_rows(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person add x numeric, add r text")
    lab.hub({"person_id": "p1", "x": "12345678901234567890.120", "r": "[]"})
    lab.mapping["source"] |= {"x": "numeric", "r": "text"}
    lab.mapping["fields"] |= {"x": {"from": "x", "type": "numeric"}, "r": {"from": "r", "type": "text"}}

    (row,) = looking.preview(lab.job, limit=1)

    assert (row.source["x"], row.source["r"]) == ("12345678901234567890.120", "[]")
    assert (row.target["x"], row.target["r"]) == ("12345678901234567890.120", "[]")


def test_the_statement_that_explain_prints_is_the_one_that_runs(lab: Lab) -> None:
    lab.hub({"person_id": "p1"}, {"person_id": "p2", "is_deleted": True})

    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as session:
        cursor = session.execute(looking.explain_sql(lab.job).encode())
        names = [column.name for column in cursor.description or []]
        rows = cursor.fetchall()

    assert names == [*lab.mapping["fields"], "_deleted", "_reject"]
    assert sorted((row[1], row[-2]) for row in rows) == [("p1", False), ("p2", True)]


def test_the_command_prints_what_the_preview_has(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": "=1+1 [/red]", "born": "?"})

    as_json = lab.shell("preview", JOB, "--json")
    as_table = lab.shell("preview", JOB)

    (row,) = json.loads(as_json.stdout)
    assert row["errors"] == ["born:parse_date"]
    assert as_table.returncode == 0
    assert "=1+1 [/red]" in as_table.stdout


NUL_IN_JSON = r'{"a": "\u0000", "a": 1.10}'


def test_V16_json_that_jsonb_cannot_hold_is_shown_synced_and_kept_as_it_is(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person add notes json")
    lab.sql("payroll", "alter table lab.person add notes text")
    lab.mapping["source"]["notes"] = "json"
    lab.mapping["fields"]["notes"] = {"from": "notes", "type": "text"}
    lab.hub(*({"person_id": f"p{n}", "notes": NUL_IN_JSON} for n in range(2)))
    lab.hub({"person_id": "p2", "name": None, "notes": NUL_IN_JSON})  # is rejected
    lab.hub({"person_id": "p3", "tenant_id": "t9", "notes": NUL_IN_JSON})  # is refused by the target

    shown = looking.preview(lab.job, limit=20)
    done = lab.run()

    assert [row.errors for row in shown] == [[], [], ["name:required"], []]
    assert (done.verdict, done.counts.inserted_rows, done.counts.rejected_rows) == (Verdict.MATCHED, 2, 2)
    assert lab.sql("payroll", "select notes from lab.person") == [{"notes": NUL_IN_JSON}] * 2


def test_explain_warns_of_more_patterns_than_a_server_keeps_compiled(lab: Lab) -> None:
    def explained(number: int) -> str:
        lab.mapping["fields"] |= {
            f"f{n}": {"from": "name", "type": "text", "checks": [{"pattern": f"[a-z]{{1,{n + 1}}}"}]}
            for n in range(number)
        }
        return looking.explain_sql(lab.job)

    assert explained(20).startswith("select")
    assert explained(40).startswith("-- 42 different patterns; PostgreSQL keeps 32 compiled")
