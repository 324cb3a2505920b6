"""A small good project as text, for tests that spoil it: text, because mistakes are told with their line."""

from __future__ import annotations

from pathlib import Path

from syncline.core.checking import check_project
from syncline.core.files.findings import Finding

JOB = "mdm__payroll__worker"
MANIFEST = """\
version: 1.2.0
description: UK workers as payroll needs them
domain: workforce
criticality: critical
owner: {team: payroll-integration, oncall: payroll-oncall@example.org, business: head-of-payroll}
tenancy: {column: tenant_id}
schedule:
  cron: "15 3 * * *"
  timezone: Europe/London
  avoid: ["02:00-02:40"]
sla: {latency_p50_s_max: 7200, latency_p99_s_max: 93600}
source:
  connection: mdm
  table: mdm.worker
  key: [tenant_id, worker_id]
  cursor: updated_at
  tenant: tenant_id
  filter: {country_code: [GB]}
  deleted: is_deleted
  connections_max: 2
target:
  connection: payroll
  table: hr.employee
  key: [tenant_id, employee_no]
  write: upsert
  on_delete: hard
  version: source_event_at
  stamps: {batch: sync_batch_id, loaded_at: loaded_at}
mapping: mdm__payroll__worker
reconcile: {mismatch_ratio_max: 0.001, on_breach: hold}
errors: {rejected_ratio_max: 0.05, severity: page}
downstream: [pub_sync_freshness]
"""
MAPPING = """\
version: 1.0.0
description: Worker of the hub as an employee
source:
  tenant_id: text
  worker_id: text
  given_name: text
  family_name: text
  iban: text
  hired_on: text
  annual_salary: numeric(14,4)
  updated_at: timestamptz
fields:
  tenant_id: {from: tenant_id, type: text, checks: [required]}
  employee_no: {from: worker_id, type: text, checks: [required]}
  full_name:
    concat: {columns: [given_name, family_name], separator: " "}
    type: text
    steps: [trim, {truncate: 140}]
    checks: [required]
    pii: name
  bank_iban: {from: iban, type: text, steps: [{remove: " "}, upper], checks: [required, iban], pii: financial}
  start_date: {from: hired_on, type: date, steps: [{parse_date: iso}], checks: [{range: {min: 1950-01-01}}]}
  annual_salary:
    from: annual_salary
    type: numeric(12,2)
    steps: [{round: {scale: 2, mode: half_even}}]
    checks: [{range: {min: 0}}]
  source_event_at: {from: updated_at, type: timestamptz, checks: [required]}
"""


def write_project(
    root: Path, manifest: str | bytes = MANIFEST, mapping: str | bytes = MAPPING, job: str = JOB, name: str = JOB
) -> Path:
    """Write one manifest and one mapping below a root, which is returned."""
    for folder, stem, content in (("manifests", job, manifest), ("mappings", name, mapping)):
        path = root / "include" / folder / f"{stem}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def findings_of(root: Path) -> list[Finding]:
    return check_project(root)[1]


def line_of(text: str, part: str) -> int:
    """The number of the first line that holds a part."""
    return text[: text.index(part)].count("\n") + 1
