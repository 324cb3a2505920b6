"""The M rows of the fault list as files: each spoils a good project in one place, and the answer names that place.

A row that has nothing to refuse yet (M05, M11, M14: no dependencies between jobs, no free SQL) has no file here; the
expressions of M15 have tests of their own.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from syncline.core.checking import MANIFESTS_MAX, check_project
from syncline.core.errors import ManifestInvalid
from syncline.core.job_files import examine_job, job_ids, load_job
from tests.unit.project_files import JOB, MANIFEST, MAPPING, findings_of, line_of, write_project


class Bad(NamedTuple):
    """`old` becomes `new` in one of the two files; then `code` stands at the line of `new`, and `said` in the text."""

    row: str
    file: str
    old: str
    new: str
    said: str
    code: str = ""
    at: str = ""  # the part of the spoilt file whose line is told, where that is not `new`

    @property
    def id(self) -> str:
        return f"{self.row}-{self.said[:40]}"


MAN, MAP = "manifests", "mappings"
BAD = [
    # M01 unknown keys and words
    Bad("M01", MAN, "connections_max: 2\ntarget", "connection_max: 2\ntarget", "unknown key 'connection_max'; one of: "),
    Bad("M01", MAN, "connections_max: 2\ntarget", "connection_max: 2\ntarget", "Did you mean 'connections_max'?"),
    Bad("M01", MAN, "rejected_ratio_max", "reject_ratio_max", "Did you mean 'rejected_ratio_max'?"),
    Bad("M01", MAN, "domain: workforce", "retrys: 3\ndomain: workforce", "unknown key 'retrys'"),
    Bad("M01", MAN, "stamps: {batch", "stamps: {bach", "one of: batch, loaded_at. Did you mean 'batch'?"),
    Bad("M01", MAP, "pii: name", "pi: name", "Did you mean 'pii'?"),
    Bad("M01", MAP, "{from: iban", "{form: iban", "Did you mean 'from'?"),
    Bad("M01", MAP, "[trim, {truncate", "[trimm, {truncate", "unknown word 'trimm'; "),
    Bad("M01", MAP, "[trim, {truncate", "[trimm, {truncate", "Did you mean 'trim'?"),
    Bad("M01", MAP, "[required, iban]", "[requird, iban]", "Did you mean 'required'?"),
    Bad("M01", MAP, "{range: {min: 0}}", "{range: {mini: 0}}", "unknown key 'mini'; one of: min, max. Did you mean 'min'?"),
    Bad("M01", MAP, "{scale: 2, mode", "{scales: 2, mode", "one of: scale, mode. Did you mean 'scale'?"),
    Bad("M01", MAP, "separator:", "seperator:", "one of: columns, separator. Did you mean 'separator'?"),
    Bad("M01", MAP, "trim, {truncate", "iban, {truncate", "'iban' is a check; write it under `checks`"),
    Bad("M01", MAP, "trim, {truncate", "concat, {truncate", "'concat' begins a field; write it beside `type`"),
    Bad("M01", MAP, "[required, iban]", "[required, trim]", "'trim' is a step; write it under `steps`"),
    # M02 wrong type, nothing where something is required, numbers out of range
    Bad("M02", MAN, "connections_max: 2\ntarget", "connections_max: two\ntarget", "is 'two'; a whole number"),
    Bad("M02", MAN, "connections_max: 2\ntarget", 'connections_max: "2"\ntarget', "is '2'; a whole number"),
    Bad("M02", MAN, "connections_max: 2\ntarget", "connections_max: 2.5\ntarget", "is 2.5; a whole number"),
    Bad("M02", MAN, "connections_max: 2\ntarget", "connections_max: true\ntarget", "is true; a whole number"),
    Bad("M02", MAN, "connections_max: 2\ntarget", "connections_max: 0\ntarget", "; at least 1"),
    Bad("M02", MAN, "connections_max: 2\ntarget", "connections_max: 65\ntarget", "; at most 64"),
    Bad("M02", MAN, "latency_p50_s_max: 7200", "latency_p50_s_max: -1", "; at least 1"),
    Bad("M02", MAN, "latency_p99_s_max: 93600", "latency_p99_s_max: 999999999999", "; at most "),
    Bad("M02", MAN, "latency_p50_s_max: 7200", "latency_p50_s_max: 93601", "latency_p50_s_max is above"),
    Bad("M02", MAN, "mismatch_ratio_max: 0.001", "mismatch_ratio_max: 2", "; at most 1"),
    Bad("M02", MAN, "mismatch_ratio_max: 0.001", "mismatch_ratio_max: nan", "is 'nan'; a number"),
    Bad("M02", MAN, "domain: workforce", "domain:", "'domain' is empty; text"),
    Bad("M02", MAN, "domain: workforce", "domain: workforce\ncontract:", "'contract' is empty; write null where null is meant",
        at="contract:"),
    Bad("M02", MAP, "[trim, {truncate", "[trim: , {truncate", "'trim' is empty; write null where null is meant"),
    Bad("M02", MAN, "domain: workforce", "domain: 5", "'domain' is 5; text; put it in quotes"),
    Bad("M02", MAN, "key: [tenant_id, worker_id]", "key: tenant_id", "'key' is 'tenant_id'; a list: [tenant_id]"),
    Bad("M02", MAN, "key: [tenant_id, worker_id]", "key: []", "has no items; at least 1 item"),
    Bad("M02", MAN, "sla: {latency_p50_s_max: 7200, latency_p99_s_max: 93600}", "sla: fast", "'sla' is 'fast'; a mapping; write sla: {latency_p50_s_max: 7200, latency_p99_s_max: 93600}"),
    Bad("M02", MAN, "write: upsert", "write: upsrt", "one of: upsert, append, replace. Did you mean 'upsert'?"),
    Bad("M02", MAN, "criticality: critical", "criticality: urgent", "one of: critical, high, medium, low"),
    Bad("M02", MAN, "version: 1.2.0", 'version: "1.2"', "is not a version; write 1.2.0"),
    Bad("M02", MAN, "payroll-oncall@example.org", "somebody else", "no address or role a person answers to"),
    Bad("M02", MAN, '["02:00-02:40"]', '["2-3"]', 'write "02:00-02:40"'),
    Bad("M02", MAN, "filter: {country_code: [GB]}", "filter: {country_code: []}", "has no items; at least 1 item"),
    Bad("M02", MAN, "filter: {country_code: [GB]}", "filter: {country_code: [[GB]]}", "one value is wanted"),
    Bad("M02", MAN, "on_delete: hard", "on_delete: soft", "on_delete: soft needs `target.deleted`"),
    Bad("M02", MAN, "  deleted: is_deleted\n", "", "on_delete: hard needs to know what is deleted", at="on_delete: hard"),
    Bad("M02", MAN, "write: upsert\n  on_delete: hard", "write: append\n  on_delete: hard", "an append job cannot delete",
        at="  deleted: is_deleted"),
    Bad("M02", MAN, "on_delete: hard", "deleted: is_gone\n  on_delete: hard", "`target.deleted` is never set"),
    Bad("M02", MAN, "  cursor: updated_at\n", "", "needs `source.cursor`", at="version: source_event_at"),
    Bad("M02", MAN, "  deleted: is_deleted\n", "  deleted: is_deleted\n  key_set: often\n", "'often'; ", at="key_set"),
    Bad("M02", MAN, "version: source_event_at", "version: source_event_at\n  side_table: true", "keeps what `source.cursor`",
        at="side_table"),
    Bad("M02", MAP, "truncate: 140", "truncate: many", "is 'many'; a whole number"),
    Bad("M02", MAP, "type: date,", "type: dat,", "'dat' is not a type; one of: text, "),
    Bad("M02", MAP, "    type: numeric(12,2)", "    type: NUMBER(12,2)", "'NUMBER(12,2)' is not a type; write numeric(12,2)"),
    Bad("M02", MAP, "{round: {scale: 2, mode: half_even}}", "{round: 2}",
        "`round` takes what it needs by name; write `{round: {scale: 2, mode: half_even}}`"),
    Bad("M02", MAP, "{round: {scale: 2, mode: half_even}}", "{round: {scale: 2}}",
        "'mode' is missing; one of: half_even, half_up, floor, ceiling, truncate"),
    Bad("M02", MAN, "description: UK workers as payroll needs them", "description: workers", "'workers' tells a reader too little"),
    Bad("M02", MAN, "tenancy: {column: tenant_id}", "tenancy: none",
        "'tenancy' is 'none'; a mapping; write tenancy: {column: tenant_id}, or {none: "),
    Bad("M02", MAN, "downstream: [pub_sync_freshness]", "downstream: pub_sync_freshness", "a list: [pub_sync_freshness]"),
    Bad("M02", MAP, "mode: half_even", "mode: half_evn", "Did you mean 'half_even'?"),
    Bad("M02", MAP, "{parse_date: iso}", "{parse_date: is}", "one of: iso, yyyymmdd"),
    Bad("M02", MAP, "steps: [trim, {truncate: 140}]", "steps: trim", "'steps' is 'trim'; a list"),
    Bad("M02", MAP, "[trim, {truncate: 140}]", "[trim, 140]", "140 is no item of 'steps'"),
    Bad("M02", MAP, "[{remove: \" \"}, upper]", "[{remove: \" \"}, {upper: 1}]", "`upper` takes no value; write `upper`"),
    Bad("M02", MAP, "fields:\n", "columns:\n", "'fields' is missing", at="version: 1.0.0"),
    # SYNC-001: what cannot be left out
    Bad("M02", MAN, "owner: {team: payroll-integration, oncall: payroll-oncall@example.org, business: head-of-payroll}\n",
        "", "'owner' is missing; write owner: {team: payroll-integration, oncall: payroll-oncall@example.org, business: ", at="version:"),
    Bad("M02", MAN, "tenancy: {column: tenant_id}\n", "", "'tenancy' is missing; write tenancy: {column: tenant_id}, or {none: ", at="version:"),
    Bad("M02", MAN, "sla: {latency_p50_s_max: 7200, latency_p99_s_max: 93600}\n", "", "'sla' is missing; write sla: {latency_p50_s_max: 7200, latency_p99_s_max: 93600}", at="version:"),
    Bad("M02", MAN, "version: 1.2.0\n", "", "'version' is missing", at="description:"),
    Bad("M02", MAN, ", business: head-of-payroll", "", "'business' is missing", at="owner:"),
    # M03 the same key twice
    Bad("M03", MAN, "domain: workforce", "version: 1.2.1\ndomain: workforce", "key 'version' stands twice, first in line 1",
        at="version: 1.2.1"),
    Bad("M03", MAP, "  source_event_at:", "  start_date: {from: hired_on, type: text}\n  source_event_at:",
        "key 'start_date' stands twice", at="  start_date: {from: hired_on, type: text}\n"),
    # M06, M07, M09, M10: YAML that people and parsers read differently
    Bad("M06", MAN, "[GB]", "[NO]", '`NO` can be read in two ways; quote this value: "NO"'),
    Bad("M06", MAN, "connections_max: 2\ntarget", "connections_max: 010\ntarget", "`010` can be read in two ways"),
    Bad("M06", MAN, "mismatch_ratio_max: 0.001", "mismatch_ratio_max: 1e-3", "`1e-3` can be read in two ways"),
    Bad("M07", MAN, '"15 3 * * *"', "* 3 * * *", "quote cron expressions"),
    Bad("M09", MAN, "domain: workforce", "domain: !!python/object/apply:os.system [id]", "YAML tags are not allowed"),
    Bad("M10", MAN, "domain: workforce", "domain: &d workforce", "anchors and aliases are not allowed"),
    # M08 schedules
    Bad("M08", MAN, "15 3 * * *", "61 3 * * *", "out of range"),
    Bad("M08", MAN, "15 3 * * *", "0 15 3 * * *", "has five fields: minute, hour, day, month, weekday"),
    Bad("M08", MAN, "15 3 * * *", "@every 5m", "has five fields"),
    Bad("M08", MAN, "15 3 * * *", "0 0 30 2 *", "this date never comes"),
    Bad("M08", MAN, "15 3 * * *", "0 0 31 4,6,9,11 *", "this date never comes"),
    Bad("M08", MAN, "15 3 * * *", "H 3 * * *", "random times"),
    Bad("M08", MAN, "15 3 * * *", "a b c d e", "is not acceptable"),
    Bad("M08", MAN, "Europe/London", "Europe/Londn", "Did you mean 'Europe/London'?"),
    Bad("M08", MAN, "Europe/London", "localtime", "is not a time zone"),
    Bad("M08", MAN, "15 3 * * *", "15 2 * * *", "`cron` runs at 02:15, within the avoided 02:00-02:40", at="avoid:"),
    Bad("M08", MAN, "15 3 * * *", "*/20 * * * *", "`cron` runs at 02:00, within the avoided", at="avoid:"),
    Bad("M08", MAN, "02:00-02:40", "23:00-03:15", "`cron` runs at 03:15, within the avoided 23:00-03:15"),
    Bad("M08", MAN, "15 3 * * *", "15 1 * * *", "runs at 01:15, which Europe/London skips when its clocks go forward"),
    Bad("M08", MAN, '"02:00-02:40"', '"02:00-02:40 Europe/Londn"', "Did you mean 'Europe/London'?"),
    Bad("M02", MAN, '"02:00-02:40"', '"02:00-02:40  UTC"', "is not a time range"),
    Bad("M02", MAN, "  timezone:", "  run_minutes: 0\n  timezone:", "run_minutes"),
    Bad("M02", MAN, "  on_delete: hard", "  lock_timeout_s: 3601\n  on_delete: hard", "lock_timeout_s"),
    # M12 files that are no plain text
    Bad("M12", MAN, "domain: workforce", "domain: work\u200bforce", "invisible character U+200B"),
    Bad("M12", MAN, "domain: workforce", "domain: w\u043erkforce", "'w\u043erkforce' is not a name", code="M13"),
    Bad("M12", MAN, "domain: workforce", 'domain: "work\\0force"', "invisible character U+0000"),
    Bad("M12", MAN, "  cron:", "\tcron:", "a tab; indent with spaces"),
    Bad("M12", MAN, "domain: workforce", "---\ndomain: workforce", "a second document begins here"),
    # M13 names that could become SQL
    Bad("M13", MAN, "table: mdm.worker", "table: mdm.worker; drop table x", "is not a table; write schema.table"),
    Bad("M13", MAN, "table: mdm.worker", "table: worker", "is not a table; write schema.table"),
    Bad("M13", MAN, "table: hr.employee", 'table: "hr.orders\\"; DROP TABLE x;--"', "is not a table"),
    Bad("M13", MAN, "cursor: updated_at", 'cursor: "updated_at)--"', "is not a name; a-z, 0-9 and _, at most 63"),
    Bad("M13", MAN, "worker_id]", f"{'x' * 64}]", "PostgreSQL keeps 63"),
    Bad("M13", MAN, "filter: {country_code", "filter: {Country-Code", "'Country-Code' is not a name"),
    Bad("M13", MAP, "  bank_iban:", '  "bank iban":', "'bank iban' is not a name"),
    Bad("M13", MAP, "from: iban", "from: Iban", "'Iban' is not a name"),
    Bad("M13", MAP, "  iban: text", "  bankIban: text", "; a view of the source gives what is spelt otherwise a name"),
    Bad("M13", MAN, "table: mdm.worker", "table: mdm.Worker", "; a view of the source gives what is spelt otherwise a name"),
    # M16 Jinja, wherever it stands
    Bad("M16", MAN, "UK workers as payroll needs them", "UK workers {{ conn.mdm.password }} as", "Jinja is not rendered"),
    Bad("M16", MAN, "head-of-payroll", "\"{{ var.value.x }}\"", "Jinja is not rendered"),
    Bad("M16", MAN, "[GB]", "['{{ params.country }}']", "Jinja is not rendered"),
    Bad("M16", MAP, "separator: \" \"", "separator: '{% raw %}'", "Jinja is not rendered"),
    Bad("M16", MAP, "{remove: \" \"}", "{remove: '{{ }}'}", "Jinja is not rendered"),
    # M17 mappings that are somewhere else
    Bad("M17", MAN, "mapping: mdm__payroll__worker", "mapping: ../../../etc/passwd", "is not a mapping's name"),
    Bad("M17", MAN, "mapping: mdm__payroll__worker", "mapping: /etc/passwd", "is not a mapping's name"),
    Bad("M17", MAN, "mapping: mdm__payroll__worker", "mapping: \"%2e%2e%2fpasswd\"", "is not a mapping's name"),
    Bad("M17", MAN, "mapping: mdm__payroll__worker", "mapping: mdm__payroll__workr", "Did you mean 'mdm__payroll__worker'?"),
    # M18 the tenant
    Bad("M18", MAN, "tenancy: {column: tenant_id}", "tenancy: {}", "tenancy is `column: <target column>` or `none"),
    Bad("M18", MAN, "tenancy: {column: tenant_id}", "tenancy: {column: tenant_id, none: public reference data}", "or `none"),
    Bad("M18", MAN, "key: [tenant_id, employee_no]", "key: [employee_no]", "is not in target.key"),
    Bad("M18", MAN, "  tenant: tenant_id\n", "", "`source.tenant` is missing", at="source:"),
    Bad("M18", MAN, "key: [tenant_id, worker_id]", "key: [worker_id]", "'tenant_id' is not in source.key", at="  tenant:"),
    Bad("M18", MAN, "{column: tenant_id}", "{none: public reference data}", "`source.tenant` names a tenant column",
        at="  tenant:"),
    Bad("M18", MAP, "{from: tenant_id, type: text, checks: [required]}", "{from: tenant_id, type: text}",
        "key column 'tenant_id' may be NULL; say checks: [required]", at="key: [tenant_id, employee_no]"),
    Bad("M18", MAP, "{from: tenant_id, type: text, checks", "{from: tenant_id, type: text, steps: [lower], checks",
        "`lower` on key column 'tenant_id'", at="key: [tenant_id, employee_no]"),
    Bad("M18", MAP, "tenant_id: {from: tenant_id, type", "tenant_id: {from: worker_id, type",
        "does not come `from` source.tenant 'tenant_id'", at="key: [tenant_id, employee_no]"),
    Bad("M18", MAP, "tenant_id: {from: tenant_id, type: text,", "tenant_id: {from: tenant_id, type: text, pii: name,",
        "tenant column 'tenant_id' is personal", at="key: [tenant_id, employee_no]"),
    # M19 keys and cursors
    Bad("M19", MAN, "key: [tenant_id, employee_no]", "key: [tenant_id]", "reaches no column of target.key",
        at="key: [tenant_id, worker_id]"),
    Bad("M19", MAN, "key: [tenant_id, worker_id]", "key: [tenant_id, worker_id, tenant_id]", "stands twice in source.key"),
    Bad("M19", MAN, "key: [tenant_id, employee_no]", "key: [tenant_id, employee_no, full_name]", "must come `from`"),
    Bad("M19", MAP, "{from: worker_id, type: text, checks: [required]}", "{from: worker_id, type: text}",
        "key column 'employee_no' may be NULL", at="key: [tenant_id, employee_no]"),
    Bad("M19", MAP, "{from: worker_id, type: text, checks", "{from: worker_id, type: text, steps: [{truncate: 3}], checks",
        "`truncate` on key column 'employee_no': two keys could become one", at="key: [tenant_id, employee_no]"),
    Bad("M19", MAP, "updated_at: timestamptz\n", "updated_at: timestamp\n",
        "at time zone '<its zone>'", at="cursor: updated_at"),
    Bad("M19", MAP, "updated_at: timestamptz\n", "updated_at: timestamp\n",
        "leave `cursor` and `target.version` out: every run then reads everything", at="cursor: updated_at"),
    Bad("M19", MAP, "updated_at: timestamptz\n", "updated_at: text\n",
        "or name a timestamptz column that every change sets", at="cursor: updated_at"),
    Bad("M19", MAP, "updated_at: timestamptz\n", "updated_at: timestamptz\n  is_deleted: smallint\n",
        "read a view of the table with `coalesce(is_deleted <> 0, false) as is_deleted`", at="deleted: is_deleted"),
    # M20 columns
    Bad("M20", MAN, "version: source_event_at", "version: source_event", "Did you mean 'source_event_at'?"),
    Bad("M20", MAN, "employee_no]", "employe_no]", "Did you mean 'employee_no'?"),
    Bad("M20", MAN, "loaded_at: loaded_at", "loaded_at: sync_batch_id", "two values would go into target column 'sync_batch_id'; name two columns",
        at="target:"),
    Bad("M20", MAN, "batch: sync_batch_id", "batch: full_name", "'full_name' is filled by the loader"),
    Bad("M20", MAP, "from: hired_on", "from: hiredon", "Did you mean 'hired_on'?"),
    Bad("M20", MAP, "  iban: text\n", "  iban: text\n  nickname: text\n", "'nickname' is read by no field; read it in a field, or drop the line",
        at="  nickname: text"),
    Bad("M20", MAP, "{from: iban, type", "{from: iban, constant: x, type", "exactly one of from, constant, concat, "),
    Bad("M20", MAP, "steps: [{parse_date: iso}], ", "", "say how in steps: [{parse_date: iso}]", at="  start_date:"),
    Bad("M20", MAP, "    steps: [{round: {scale: 2, mode: half_even}}]\n", "", "numeric(14,4) does not become numeric(12,2)",
        at="    type: numeric(12,2)"),
    Bad("M20", MAN, "tenancy: {column: tenant_id}", "tenancy: {column: xyz}",
        "target column 'xyz' is mapped by no field; add a field for it"),
    Bad("M20", MAN, "  tenant: tenant_id\n", "  tenant: xyz\n", "'xyz' is not declared in the mapping; declare it under `source`"),
    Bad("M20", MAP, "min: 1950-01-01", "min: 1950-02-30", "'1950-02-30' is not a date"),
    # M21 personal data and secrets
    Bad("M21", MAP, ", pii: financial", "", "'bank_iban' looks like personal data", at="  bank_iban:"),
    Bad("M21", MAP, "\n    pii: name", "", "'given_name' looks like personal data", at="  full_name:"),
    Bad("M21", MAN, "connection: mdm\n", "connection: postgresql://u:hunter2@h/db\n", "this looks like a secret"),
    Bad("M21", MAN, "domain: workforce", "password: x\ndomain: workforce", "the key 'password' announces a secret"),
    # M22 names of fields
    Bad("M22", MAP, "  bank_iban:", "  ctid:", "'ctid' is a reserved name"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_a_spoilt_file_is_refused_where_it_is_spoilt(tmp_path: Path, bad: Bad) -> None:
    good = {MAN: MANIFEST, MAP: MAPPING}
    assert good[bad.file].count(bad.old) == 1, "the row spoils one place"
    spoilt = {**good, bad.file: good[bad.file].replace(bad.old, bad.new)}
    findings = findings_of(write_project(tmp_path, spoilt[MAN], spoilt[MAP]))

    at = bad.at or bad.new
    file = bad.file if at in spoilt[bad.file] else MAN  # mistakes between the two stand in the manifest
    shared = _shared(bad.old, bad.new) if not bad.at else 0
    line = line_of(spoilt[file], at) + at[:shared].count("\n")
    hits = [finding for finding in findings if bad.said in str(finding)]
    assert [(hit.code, hit.path, hit.line) for hit in hits] == [
        (bad.code or bad.row, f"include/{file}/{JOB}.yaml", line)
    ], "\n".join(map(str, findings))


# -- one mistake is told once -----------------------------------------------------------------------------------

IBAN = '{from: iban, type: text, steps: [{remove: " "}, upper], checks: [required, iban], pii: financial}'


@pytest.mark.parametrize(
    ("file", "old", "new", "code", "said"),
    [
        (MAN, "mismatch_ratio_max: 0.001", "mismatch_ratio_max: 0.10", "M06", "or write 0.1, if that is meant"),
        (MAN, "connections_max: 2\ntarget", "connections_max: 010\ntarget", "M06", "or write 10, if that is meant"),
        (MAN, "head-of-payroll", '"{{ var.value.x }}"', "M16", "Jinja is not rendered"),
        (MAP, "{truncate: 140}", "{parse_boolean: {true_is: [a], false_is: [b], ignore_case: yes}}", "M06",
         "or write true, if that is meant"),
        (MAP, IBAN, "{when: [{if: {iban: [x]}, than: {constant: a}}], type: text, pii: financial}", "M01", "'then'?"),
        (MAP, IBAN, "{when: [{if: {iban: [x]}, then: {constnt: a}}], type: text, pii: financial}", "M01", "'constant'?"),
        (MAP, IBAN, "{when: [{if: {Iban: [x]}, then: {constant: a}}], type: text, pii: financial}", "M13", "'Iban' is not a name"),
        (MAP, IBAN, "{when: [{if: {iban: []}, then: {constant: a}}], type: text, pii: financial}", "M02", "'iban' has no items"),
        (MAP, IBAN, "{when: [{if: [iban], then: {constant: a}}], type: text, pii: financial}", "M02",
         "'if' is a list; a mapping of columns to their values, or an expression as text"),
        (MAP, IBAN, "{when: [{if: 5, then: {constant: a}}], type: text, pii: financial}", "M02", "'if' is 5; a mapping of"),
        (MAP, IBAN, "{from: iban, typ: text, pii: financial}", "M01", "'type'?"),
        (MAP, "{scale: 2, mode", "{scales: 2, mode", "M01", "'scale'?"),
        (MAN, "schedule:\n", "shedule:\n", "M01", "'schedule'?"),
    ],
)  # fmt: skip
def test_one_slip_is_one_mistake(tmp_path: Path, file: str, old: str, new: str, code: str, said: str) -> None:
    good = {MAN: MANIFEST, MAP: MAPPING}
    assert good[file].count(old) == 1
    spoilt = {**good, file: good[file].replace(old, new)}

    (finding,) = findings_of(write_project(tmp_path, spoilt[MAN], spoilt[MAP]))

    assert finding.code == code
    assert said in str(finding)


def test_a_type_that_its_comma_cuts_in_two_is_one_mistake_with_one_remedy(tmp_path: Path) -> None:
    field = MAPPING[MAPPING.index("  annual_salary:\n    from") : MAPPING.index("  source_event_at: {")]
    steps = "steps: [{round: {scale: 2, mode: half_even}}]"
    cut = f"  annual_salary: {{from: annual_salary, type: numeric(12,2), {steps}}}\n"

    (finding,) = findings_of(write_project(tmp_path, mapping=MAPPING.replace(field, cut)))

    assert (finding.code, finding.allowed) == ("M06", 'put it in quotes: "numeric(12,2)"')


def test_the_mistakes_of_a_code_list_are_told_with_those_of_the_job_that_names_it(tmp_path: Path) -> None:
    steps = "steps: [{code_list: status}], checks: [{in_code_list: status}]"
    root = write_project(
        tmp_path, mapping=MAPPING.replace('steps: [{remove: " "}, upper], checks: [required, iban]', steps)
    )
    (root / "include" / "code_lists").mkdir()
    entries = "entries: {A: yes, B: 5}\n"
    (root / "include" / "code_lists" / "status.yaml").write_text(f"version: 1.0.0\ndescription: x\n{entries}")

    findings = examine_job(root, JOB)[1]

    told = sorted(str(finding) for finding in findings)
    assert [line.split(" ")[0] for line in told[:3]] == [
        "include/code_lists/status.yaml:2:14:", "include/code_lists/status.yaml:3:14:", "include/code_lists/status.yaml:3:22:",
    ]  # fmt: skip
    assert [line.split(" ", 1)[1] for line in told[3:]] == [
        "M17 include/code_lists/status.yaml has mistakes of its own; mend that file: its mistakes are told with this one"
    ] * 2
    assert set(findings_of(root)) == set(findings)


PYDANTIC = ("validation", "Input", "input", "should", "valid ", "Tuple", "Dictionary", "String", "model")


@pytest.mark.parametrize("seed", range(150))
def test_what_is_told_is_told_in_our_words(tmp_path: Path, seed: int) -> None:
    luck = random.Random(seed)
    file = luck.choice([MAN, MAP])
    document = yaml.safe_load({MAN: MANIFEST, MAP: MAPPING}[file])
    path = luck.choice(list(_paths(document)))
    _parent(document, path)[path[-1]] = luck.choice([None, True, -1, 0, 10**12, 0.5, "", "x", [], [[]], {}, ["x"] * 60])
    content = yaml.dump(document, allow_unicode=True, sort_keys=False)
    files = {MAN: MANIFEST, MAP: MAPPING, file: content}

    for finding in findings_of(write_project(tmp_path, files[MAN], files[MAP])):
        assert not any(word in f"{finding.found} {finding.allowed}" for word in PYDANTIC), str(finding)


def _shared(old: str, new: str) -> int:
    return next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), 0)


def test_the_good_project_is_good(tmp_path: Path) -> None:
    assert check_project(write_project(tmp_path))[1] == []


def test_a_mistake_is_told_when_the_job_is_loaded_too(tmp_path: Path) -> None:
    root = write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"))

    with pytest.raises(ManifestInvalid, match="include/manifests/mdm__payroll__worker.yaml:25:10: M02"):
        load_job(root, JOB)


# -- rows that are about more than a line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    ["worker", "mdm__worker", "mdm__payroll__worker__x", "Mdm__payroll__worker", "mdm payroll worker", "mdm__payroll__",
     "mdm__payroll__wörker", "m" * 300, "mdm__payroll__" + "w" * 35, "__", "mdm__payroll__1", ".mdm__payroll__worker"],
)  # fmt: skip
def test_M22_a_job_id_says_source_target_and_entity(tmp_path: Path, job: str) -> None:
    if len(job) > 250:
        job = job[:240]  # what a file system takes
    findings = findings_of(write_project(tmp_path, job=job))

    assert [finding.code for finding in findings] == ["M22"]
    assert "<source>__<target>__<entity> in a-z, 0-9 and _, at most 48 characters" in str(findings[0])


def test_M04_two_files_for_one_job_are_both_named_and_neither_is_loaded(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    folder = root / "include" / "manifests"
    (folder / "MDM__payroll__Worker.yaml").write_text(MANIFEST)
    (folder / f"{JOB}.yml").write_text(MANIFEST)

    findings = [finding for finding in findings_of(root) if finding.code == "M04"]

    assert {finding.path.split("/")[-1] for finding in findings} == {
        "MDM__payroll__Worker.yaml", f"{JOB}.yml", f"{JOB}.yaml",
    }  # fmt: skip
    with pytest.raises(ManifestInvalid, match=rf"M04 '{JOB}' is also the job of include/manifests/{JOB}\.yml"):
        load_job(root, JOB)


def test_M04_a_copy_in_a_subfolder_is_a_rival_too(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    (root / "include" / "manifests" / "old").mkdir()
    (root / "include" / "manifests" / "old" / f"{JOB}.yaml").write_text(MANIFEST)

    said = [str(finding) for finding in findings_of(root)]

    assert any("old/mdm__payroll__worker.yaml:1:1: M22 this file is not read" in line for line in said)
    assert sum(" M04 " in line for line in said) == 2


def test_the_folders_in_which_kubernetes_keeps_what_its_links_lead_to_are_no_rivals(tmp_path: Path) -> None:
    write_project(tmp_path / "real")
    for kind in ("manifests", "mappings"):
        folder = tmp_path / "include" / kind
        (folder / "..2026").mkdir(parents=True)
        (tmp_path / "real" / "include" / kind / f"{JOB}.yaml").rename(folder / "..2026" / f"{JOB}.yaml")
        (folder / "..data").symlink_to("..2026")
        (folder / f"{JOB}.yaml").symlink_to(f"..data/{JOB}.yaml")

    jobs, findings = check_project(tmp_path)

    assert (findings, [job.id for job in jobs]) == ([], [JOB])


@pytest.mark.parametrize("kind", ["manifests", "mappings"])
def test_M17_a_link_that_leads_out_is_not_followed(tmp_path: Path, kind: str) -> None:
    root = write_project(tmp_path / "project")
    path = root / "include" / kind / f"{JOB}.yaml"
    path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(tmp_path / "elsewhere.yaml")

    findings = findings_of(root)

    assert {finding.code for finding in findings} == {"M17"}
    assert all("leads out of include/" in str(finding) for finding in findings)


def test_a_mapping_that_nobody_uses_is_checked_too(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    (root / "include" / "mappings" / "later.yaml").write_text(MAPPING.replace("upper", "uper"))

    assert [finding.path for finding in findings_of(root)] == ["include/mappings/later.yaml"]


def test_a_mistake_of_a_shared_mapping_is_told_once(tmp_path: Path) -> None:
    root = write_project(tmp_path, mapping=MAPPING.replace("upper", "uper"))
    write_project(root, job="mdm__payroll__person", mapping=MAPPING.replace("upper", "uper"))

    assert len(findings_of(root)) == 1


def test_a_good_job_stays_good_beside_a_broken_one(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    write_project(root, MANIFEST.replace("write: upsert", "write: upsrt"), job="mdm__payroll__broken")

    assert [job.id for job in check_project(root)[0]] == [JOB]
    assert load_job(root, JOB).id == JOB


def test_M23_more_manifests_than_airflow_can_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.core.checking.MANIFESTS_MAX", 1)
    root = write_project(tmp_path)
    assert findings_of(root) == []
    write_project(root, job="mdm__payroll__person")

    assert [str(finding) for finding in findings_of(root)] == [
        "include/manifests:1:1: M23 2 manifests; Airflow would give up reading them; at most 1 in one project"
    ]
    assert MANIFESTS_MAX >= 1_000


def test_M23_a_huge_file_is_not_read(tmp_path: Path) -> None:
    root = write_project(tmp_path, MANIFEST + "# " + "x" * 50_000_000)

    assert [finding.code for finding in findings_of(root)] == ["M23"]


@pytest.mark.parametrize("secret", ["hunter2", "hunt\\u0065r2"])
def test_M21_a_secret_is_echoed_by_no_finding(tmp_path: Path, secret: str) -> None:
    root = write_project(tmp_path, MANIFEST.replace("connection: mdm", f'connection: "postgresql://u:{secret}@h/db"'))

    findings = findings_of(root)

    assert {"M13", "M21"} == {finding.code for finding in findings}
    assert "hunter2" not in "".join(map(str, findings))
    assert secret not in "".join(map(str, findings))


# -- a small fuzz ---------------------------------------------------------------------------------------------

# Values that anything may become; all of them are wrong almost everywhere.
ODD: list[Any] = [None, True, -1, 10**30, 0.1, "", " ", "x y", "NO", "'; drop table x;--", "{{ x }}", "../..", "\u202e",
                  "é" * 70, [], [[]], {}, {"a": {"b": [1]}}, ["x"] * 5, "2026-02-30", "\x00", "\ud800"]  # fmt: skip


def _paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from _paths(child, (*at, key))


def _parent(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _misspelt(key: str, luck: random.Random) -> str:
    n = luck.randrange(len(key))
    letter = luck.choice(string.ascii_lowercase)
    return luck.choice([key[:n] + letter + key[n:], key[:n] + key[n + 1 :], key[:n] + letter + key[n + 1 :], key + "s"])


# Keys that are names of the author's own, not words of ours.
FREE = {("fields",), ("source",), ("source", "filter")}


def _is_ours(file: str, path: tuple[Any, ...]) -> bool:
    is_free = path[:-1] in FREE and not (file == MAN and path[:-1] == ("source",))
    return isinstance(path[-1], str) and not is_free and "filter" not in path[:-1]


@pytest.mark.parametrize("seed", range(300))
def test_a_mutated_file_gives_findings_and_nothing_else(tmp_path: Path, seed: int) -> None:
    luck = random.Random(seed)
    file = luck.choice([MAN, MAP])
    document = yaml.safe_load({MAN: MANIFEST, MAP: MAPPING}[file])
    path = luck.choice([path for path in _paths(document) if _is_ours(file, path)])
    parent, old = _parent(document, path), path[-1]
    act = luck.choice(["misspell", "replace", "remove"])
    if act == "misspell":
        while (new := _misspelt(old, luck)) in parent:
            pass
        parent[new] = parent.pop(old)
    elif act == "replace":
        parent[old] = luck.choice(ODD)
    else:
        del parent[old]
    content = yaml.dump(document, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
    files = {MAN: MANIFEST.encode(), MAP: MAPPING.encode(), file: content}

    jobs, findings = check_project(write_project(tmp_path, files[MAN], files[MAP]))  # raises nothing

    assert bool(jobs) is not bool(findings)
    if act == "misspell":
        assert findings, f"{path} was misspelt as {new!r} and taken in silence"
    for finding in findings:
        assert str(finding).isprintable()
        assert finding.line >= 1


@pytest.mark.parametrize("seed", range(100))
def test_a_file_with_a_broken_byte_gives_findings_or_a_job(tmp_path: Path, seed: int) -> None:
    luck = random.Random(seed)
    file = luck.choice([MAN, MAP])
    content = bytearray({MAN: MANIFEST, MAP: MAPPING}[file].encode())
    for _ in range(luck.randint(1, 4)):
        content[luck.randrange(len(content))] = luck.randrange(256)
    files = {MAN: MANIFEST.encode(), MAP: MAPPING.encode(), file: bytes(content)}

    root = write_project(tmp_path, files[MAN], files[MAP])

    assert job_ids(root) == [JOB]
    jobs, findings = check_project(root)
    assert bool(jobs) is not bool(findings)
