"""Groups: read at one moment, published together or not at all; on two real databases."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from syncline import steps
from syncline.adapters.failpoints import failpoint  # noqa: F401 the module that `at` arms
from syncline.core.checking import check_project
from syncline.core.errors import BatchHeld, GroupMember, TransientError
from syncline.core.groups import Group, group_names, load_group
from syncline.core.values import Mode, RunRequest, Verdict
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import at

PAY = "mdm__payroll__pay"
SOURCE = """
create table lab.pay (tenant_id text, person_id text, amount numeric(12,2) not null,
    updated_at timestamptz not null default now(), primary key (tenant_id, person_id));
grant select on lab.pay to syncline_reader;
"""
TARGET = """
create table lab.pay (tenant_id text, person_no text, amount numeric(12,2) not null check (amount < 1000),
    source_event_at timestamptz, primary key (tenant_id, person_no));
alter table lab.pay enable row level security, force row level security;
create policy tenant on lab.pay for all to syncline_tenant
    using (tenant_id in (select syncline.scoped_tenants()))
    with check (tenant_id in (select syncline.scoped_tenants()));
grant select, insert, update, delete on lab.pay to syncline_tenant;
alter table lab.pay owner to syncline_owner;
delete from syncline.job_tenant where job_id = 'mdm__payroll__pay';
insert into syncline.job_tenant values ('mdm__payroll__pay', '*');
"""
MAPPING: dict[str, Any] = {
    "version": "1.0.0",
    "source": {"tenant_id": "text", "person_id": "text", "amount": "numeric(12,2)", "updated_at": "timestamptz"},
    "fields": {
        "tenant_id": {"from": "tenant_id", "type": "text", "checks": ["required"]},
        "person_no": {"from": "person_id", "type": "text", "checks": ["required"]},
        "amount": {"from": "amount", "type": "numeric(12,2)", "checks": ["required"]},
        "source_event_at": {"from": "updated_at", "type": "timestamptz"},
    },
}


def write(folder: Path, kind: str, content: dict[str, Any]) -> None:
    (folder / "include" / kind / f"{PAY}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def pair(lab: Lab) -> Lab:
    """People and what they are paid: two jobs of the group `cut_off`."""
    lab.sql("mdm", SOURCE)
    lab.sql("payroll", TARGET)
    lab.manifest["group"] = "cut_off"
    pay = deepcopy(lab.manifest)
    pay |= {"mapping": PAY}
    pay["source"] |= {"table": "lab.pay"}
    del pay["source"]["deleted"]
    pay["target"] |= {"table": "lab.pay", "on_delete": "ignore"}
    del pay["target"]["stamps"]
    write(lab.folder, "manifests", pay)
    write(lab.folder, "mappings", MAPPING)
    return lab


def the_group(lab: Lab) -> Group:
    _ = lab.job
    return load_group(lab.folder, "cut_off")


def hire(lab: Lab, person_id: str, amount: int = 100) -> None:
    """One transaction of the hub: a person and what the person is paid."""
    with psycopg.connect(lab.conninfo("mdm")) as hub:
        hub.execute("insert into lab.person (tenant_id, person_id, name) values ('t1', %s, 'Ann')", [person_id])
        hub.execute("insert into lab.pay (tenant_id, person_id, amount) values ('t1', %s, %s)", [person_id, amount])


def run(lab: Lab, run_key: str = "night", **asked: Any) -> list[Verdict]:
    return [one.verdict for one in steps.run_group(the_group(lab), RunRequest(run_key=run_key, **asked))]


def paid(lab: Lab) -> set[str]:
    return {row["person_no"] for row in lab.sql("payroll", "select person_no from lab.pay")}


def published(lab: Lab) -> list[tuple[str, str]]:
    rows = lab.ledger("select job_id, state from ledger.batch order by batch_id")
    return [(row["job_id"].rpartition("__")[2], row["state"]) for row in rows]


def test_members_are_found_by_their_manifests(pair: Lab) -> None:
    assert [job.id for job in the_group(pair).jobs] == [PAY, JOB]
    assert group_names(pair.folder) == {"cut_off": [PAY, JOB]}


def test_all_members_are_published_together(pair: Lab) -> None:
    hire(pair, "p1")

    assert run(pair) == [Verdict.MATCHED, Verdict.MATCHED]
    assert (paid(pair), {*pair.people()}) == ({"p1"}, {"t1/p1"})
    assert published(pair) == [("pay", "published"), ("person", "published")]
    moments = pair.ledger("select distinct published_at from ledger.batch")
    assert len(pair.ledger("select distinct snapshot::text from ledger.watermark")) == 1
    assert len(moments) <= 2


def test_what_is_written_while_members_are_read_is_in_all_of_them_or_in_none(
    pair: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire(pair, "p1")
    at(monkeypatch, "extract.recorded", lambda: hire(pair, "late"))  # one member is read already

    run(pair)

    assert (paid(pair), {*pair.people()}) == ({"p1"}, {"t1/p1"})
    monkeypatch.undo()


def test_the_next_run_of_the_group_reads_what_was_late(pair: Lab) -> None:
    hire(pair, "p1")
    run(pair)
    hire(pair, "p2")

    assert run(pair, "next") == [Verdict.MATCHED, Verdict.MATCHED]
    assert paid(pair) == {"p1", "p2"}


def test_where_one_member_is_held_none_is_published_and_one_alert_is_raised(pair: Lab) -> None:
    hire(pair, "p1")
    run(pair)
    hire(pair, "p2")
    pair.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t2', 'stray', 'Eve')")
    pair.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', 'stray', 'Eve')")
    before = pair.ledger("select job_id, batch_id from ledger.watermark order by 1")

    with pytest.raises(BatchHeld, match="SYNC-005"):
        run(pair, "next")

    assert published(pair)[2:] == [("pay", "held"), ("person", "held")]
    assert pair.ledger("select job_id, batch_id from ledger.watermark order by 1") == before
    assert len(pair.ledger("select * from ledger.alert")) == 1
    why = pair.ledger("select held_because from ledger.batch where job_id = %s order by batch_id desc", PAY)[0]
    assert "group 'cut_off' is mismatched" in why["held_because"]


def test_a_held_group_is_published_once_it_is_mended(pair: Lab) -> None:
    hire(pair, "p1")
    pair.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', 'stray', 'Eve')")
    with pytest.raises(BatchHeld):
        run(pair)
    pair.sql("payroll", "delete from lab.person where person_no = 'stray'")

    assert run(pair, "next") == [Verdict.MATCHED, Verdict.MATCHED]
    assert {row["published_by"] is not None for row in pair.ledger("select published_by from ledger.batch")} == {True}


def test_a_crash_between_the_members_publishes_none(pair: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    hire(pair, "p1")
    at(monkeypatch, "group.before", lambda: (_ for _ in ()).throw(TransientError("cut")))

    with pytest.raises(TransientError):
        run(pair)
    assert pair.ledger("select * from ledger.watermark") == []
    monkeypatch.undo()


def test_members_that_were_read_at_two_moments_are_not_published(pair: Lab) -> None:
    hire(pair, "p1")
    group = the_group(pair)
    ids = steps.open_group(group, RunRequest(run_key="night"))
    for job in group.jobs:
        steps.extract_and_map(job, ids[job.id])  # each under a snapshot of its own
        pair.sql("mdm", "select pg_current_xact_id()")
        steps.reconcile(job, steps.load(job, ids[job.id]))

    with pytest.raises(BatchHeld, match="not read at one moment"):
        steps.publish_group(group, ids)


def test_a_member_alone_may_only_be_counted(pair: Lab) -> None:
    hire(pair, "p1")

    with pytest.raises(GroupMember, match="run-group cut_off"):
        pair.run()
    assert pair.run(dry_run=True).counts.inserted_rows == 1
    assert pair.run(dry_run=True, mode=Mode.FULL).counts.inserted_rows == 1


def test_a_member_that_cannot_be_read_at_the_same_moment_is_a_mistake(pair: Lab) -> None:
    pair.manifest["schedule"] = {"cron": "30 5 * * *"}
    _ = pair.job

    _, findings = check_project(pair.folder)

    assert ["schedule.cron is '30 5 * * *' here" in str(finding) for finding in findings] == [True]


def test_deletions_of_a_member_are_approved_in_a_run_of_the_group(pair: Lab) -> None:
    for n in range(20):
        hire(pair, f"p{n}")
    run(pair)
    pair.sql("mdm", "update lab.person set is_deleted = true, updated_at = now() where person_id > 'p12'")
    with pytest.raises(BatchHeld, match="run-group cut_off --approve-deletes"):
        run(pair, "next")
    (held,) = pair.ledger("select batch_id from ledger.batch where wanted_deletes is not null")

    assert run(pair, "approved", approve_deletes=held["batch_id"], reason="TICKET-1") == [Verdict.MATCHED] * 2


def test_a_run_that_is_taken_up_between_the_loads_reads_no_member_anew(pair: Lab) -> None:
    hire(pair, "p1")
    group = the_group(pair)
    asked = RunRequest(run_key="night")
    ids = steps.open_group(group, asked)
    steps.extract_group(group, ids)
    steps.load(group.jobs[0], ids[group.jobs[0].id])  # and then the worker died

    assert run(pair, "night") == [Verdict.MATCHED, Verdict.MATCHED]


def test_a_full_run_of_a_group_keeps_to_the_sessions_of_its_source(pair: Lab) -> None:
    hire(pair, "x")
    pair.sql("mdm", "insert into lab.person (tenant_id, person_id, name) select 't1', 'p' || n, 'Ann'"
             " from generate_series(1, 3000) as n")  # fmt: skip
    run(pair)
    pair.sql("postgres", "alter role syncline_reader connection limit 2")
    try:
        assert run(pair, "night", mode=Mode.FULL) == [Verdict.MATCHED, Verdict.MATCHED]
    finally:
        pair.sql("postgres", "alter role syncline_reader connection limit -1")
