"""What must hold after every fault, asked of source, target and ledger by SQL of its own.

Nothing of the product is called here: a fault in its counting must not vouch for itself. The letters are those of
FAULTS.md, section 1: C conservation, V convergence, N replay, W watermark, G gate, F fencing, T tenants, A audit.
"""

from __future__ import annotations

from typing import Any

from tests.integration.conftest import JOB, Lab
from tests.integration.faults import backends, staging_tables, until

QUESTIONS = {  # each lists what should not be there
    "C: the counts of a tenant do not add up": """
        select c.* from ledger.tenant_count as c join ledger.batch as b using (batch_id)
        where (b.extracted_at is not null and c.extracted_rows <> c.staged_rows + c.rejected_rows)
           or (b.loaded_at is not null and c.staged_rows <> c.inserted_rows + c.updated_rows + c.deleted_rows
                + c.unchanged_rows + c.superseded_rows + c.conflicted_rows)""",
    "C: a batch's total is not the sum of its tenants": """
        select b.batch_id from ledger.batch as b join ledger.tenant_count as c using (batch_id)
        where b.extracted_rows is not null group by b.batch_id
        having sum(c.extracted_rows) <> b.extracted_rows or sum(c.rejected_rows) <> b.rejected_rows
            or (b.loaded_at is not null and sum(c.inserted_rows + c.updated_rows + c.deleted_rows + c.unchanged_rows
                + c.superseded_rows + c.conflicted_rows) <> b.staged_rows)""",
    "C: rejected rows and dead letters differ": """
        select b.batch_id, b.rejected_rows, count(d) from ledger.batch as b
        left join ledger.dead_letter as d on d.batch_id = b.batch_id
             and not (d.state = 'superseded' and d.settled_by = b.batch_id)
        where b.extracted_at is not null and not b.is_dry_run
        group by b.batch_id having count(d) <> b.rejected_rows""",
    "W: the watermark is not the cut-off of a published batch": """
        select w.* from ledger.watermark as w join ledger.batch as b using (batch_id)
        where b.state <> 'published' or w.snapshot::text <> b.upper_snapshot::text or b.is_dry_run""",
    "W: the watermark is behind a batch that moved it": """
        select b.batch_id from ledger.watermark as w join ledger.batch as b using (job_id)
        where b.state = 'published' and b.mode not in ('window', 'repair') and b.tenants is null
          and pg_snapshot_xmin(b.upper_snapshot) > pg_snapshot_xmin(w.snapshot)""",
    "G: something was published unproven": """
        select b.batch_id from ledger.batch as b where b.state = 'published' and (b.verdict <> 'matched'
            or b.loaded_at is null or b.reconciled_at is null or b.published_by is distinct from b.batch_id
            or not exists (select from ledger.result as r where r.batch_id = b.batch_id and r.control = 'SYNC-005'
                           and r.verdict = 'matched'))""",
    "G: a batch is covered by one that is not published": """
        select b.batch_id from ledger.batch as b join ledger.batch as by on by.batch_id = b.published_by
        where by.state <> 'published'""",
    "F: more than one attempt runs": """
        select batch_id from ledger.attempt where outcome = 'running' group by batch_id having count(*) > 1""",
    "F: an attempt ended well after a newer one had begun": """
        select a.attempt_id from ledger.attempt as a join ledger.attempt as b using (batch_id)
        where b.epoch > a.epoch and b.started_at < a.ended_at and a.outcome = 'done'""",
    "A: the audit trail was changed": "select * from ledger.audit_broken",
    "A: a change of state is not told exactly once": """
        select b.batch_id, b.state, count(a) from ledger.batch as b
        left join ledger.audit as a on a.batch_id = b.batch_id and a.event = 'batch_' || b.state::text
        where b.state in ('published', 'held', 'abandoned') group by b.batch_id having count(a) <> 1""",
    "L: a held batch has no alert": """
        select batch_id from ledger.batch as b
        where state = 'held' and not exists (select from ledger.alert as a where a.batch_id = b.batch_id
            or exists (select from ledger.audit as t where t.event = 'alert_repeated' and t.batch_id = b.batch_id
                       and t.detail ->> 'alert' = a.alert_id::text))""",
}
AT_THE_TARGET = {
    "F: a marker is newer than the fence": """
        select m.* from syncline.marker as m left join syncline.fence as f using (job_id)
        where m.epoch > coalesce(f.epoch, -1)""",
    "F: an older attempt wrote after a newer one": """
        select m.batch_id from syncline.marker as m join syncline.marker as n using (job_id)
        where m.epoch < n.epoch and m.xmin::text::bigint > n.xmin::text::bigint""",
    "T: rows of a tenant that is not granted": """
        select tenant_id, person_no from lab.person as p where not exists (select from syncline.job_tenant as g
            where g.job_id = 'mdm__payroll__person' and g.tenant_id in (p.tenant_id, '*'))""",
}
ROWS_OF_TARGET = "select xmin::text, ctid::text, * from lab.person order by tenant_id, person_no"


def invariants(lab: Lab) -> None:
    """Assert what holds at every instant, also between a fault and the run that mends it."""
    for said, question in QUESTIONS.items():
        assert lab.ledger(question) == [], said
    for said, question in AT_THE_TARGET.items():
        assert lab.sql("payroll", question) == [], said
    markers = {
        row["batch_id"]: row["counts"] for row in lab.sql("payroll", "select batch_id, counts from syncline.marker")
    }
    for batch in lab.ledger("select * from ledger.batch where loaded_at is not null and not is_dry_run"):
        marked = markers.get(batch["batch_id"])
        assert marked is not None, f"O: batch {batch['batch_id']} is told as loaded, and has no marker"
        for outcome in ("inserted_rows", "updated_rows", "deleted_rows"):
            counted = sum(counts.get(outcome, 0) for counts in marked.values())
            assert counted == batch[outcome], f"O: {outcome} of batch {batch['batch_id']}"


def settled(lab: Lab) -> None:
    """Assert all of it once faults have stopped: one more run converges (V), and another changes nothing (N)."""
    until("no session of the line is left", lambda: not backends(lab))
    lab.run()
    invariants(lab)
    converged(lab)
    before = lab.sql("payroll", ROWS_OF_TARGET)
    again = lab.run()
    assert again.counts.changed_rows == 0, "N: the same again changed rows"
    assert lab.sql("payroll", ROWS_OF_TARGET) == before, "N: the same again rewrote rows"
    invariants(lab)
    assert staging_tables(lab) == [], "a staging table is left"
    last = lab.ledger("select state from ledger.batch order by batch_id desc limit 1")
    assert last == [{"state": "published"}]


def converged(lab: Lab) -> None:
    """V: the target is what the mapping makes of the source, both ways, but for rows that wait in dead letters."""
    letters = lab.ledger("select source_key from ledger.dead_letter where state = 'open' and job_id = %s", JOB)
    waiting = {tuple(row["source_key"]) for row in letters}
    source = {
        (row["tenant_id"], row["person_id"]): _mapped(row)
        for row in lab.sql("mdm", "select * from lab.person where not is_deleted")
    }
    target = {
        (row["tenant_id"], row["person_no"]): (
            row["name"],
            row["born"] and row["born"].isoformat(),
            row["source_event_at"],
        )
        for row in lab.sql("payroll", "select * from lab.person where not is_gone")
    }
    expected = {key: row for key, row in source.items() if key not in waiting}
    assert expected.keys() - target.keys() == set(), "V: rows are missing in the target"
    assert target.keys() - source.keys() == set(), "V: the target has rows that the source has not"
    assert {key: target[key] for key in expected} == expected, "V: values differ"


def _mapped(row: dict[str, Any]) -> tuple[str, str, Any]:
    """The lab's mapping, said once more."""
    return row["name"].strip(), row["born"], row["updated_at"]
