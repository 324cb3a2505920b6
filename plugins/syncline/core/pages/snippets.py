"""What an editor offers to begin with: a whole file of each kind, and the fields that mappings mostly have."""

from __future__ import annotations

from pydantic import BaseModel

from syncline.core.manifest import Manifest
from syncline.core.mapping import FieldMap, Mapping
from syncline.core.pages.schema_rules import Schema
from syncline.core.references import Calendar, CodeList

SNIPPETS: dict[type[BaseModel], list[Schema]] = {
    Manifest: [
        {
            "label": "a manifest",
            "description": "All that a job needs; the rest has defaults",
            "body": {
                "version": "1.0.0",
                "description": "What is copied, and what for",
                "domain": "workforce",
                "criticality": "medium",
                "owner": {"team": "team-name", "oncall": "oncall@example.org", "business": "owner@example.org"},
                "tenancy": {"column": "tenant_id"},
                "schedule": {"cron": "15 3 * * *", "timezone": "Europe/London"},
                "sla": {"latency_p50_s_max": 7200, "latency_p99_s_max": 93600},
                "source": {
                    "connection": "mdm",
                    "table": "mdm.worker",
                    "key": ["tenant_id", "worker_id"],
                    "cursor": "updated_at",
                    "tenant": "tenant_id",
                },
                "target": {
                    "connection": "payroll",
                    "table": "hr.employee",
                    "key": ["tenant_id", "employee_no"],
                    "version": "source_event_at",
                },
                "mapping": "mdm__payroll__worker",
            },
        }
    ],
    Mapping: [
        {
            "label": "a mapping",
            "description": "Source columns with their types, then one entry for each target column",
            "body": {
                "version": "1.0.0",
                "description": "What becomes what",
                "source": {"tenant_id": "text", "worker_id": "text", "updated_at": "timestamptz"},
                "fields": {
                    "tenant_id": {"from": "tenant_id", "type": "text", "checks": ["required"]},
                    "employee_no": {"from": "worker_id", "type": "text", "checks": ["required"]},
                    "source_event_at": {"from": "updated_at", "type": "timestamptz", "checks": ["required"]},
                },
            },
        }
    ],
    FieldMap: [
        {"label": "a column as it is", "body": {"from": "tenant_id", "type": "text", "checks": ["required"]}},
        {
            "label": "a text, tidied up",
            "body": {"from": "status_code", "type": "text", "steps": ["trim", "upper"], "checks": ["required"]},
        },
        {
            "label": "two columns joined",
            "body": {
                "concat": {"columns": ["given_name", "family_name"]},
                "type": "text", "steps": ["trim"], "checks": ["required"], "pii": "name",
            },
        },
        {"label": "the same value in every row", "body": {"constant": "mdm", "type": "text"}},
        {"label": "the first column with a value", "body": {"coalesce": ["nick", "code"], "type": "text"}},
        {
            "label": "a value of another table",
            "body": {
                "lookup": {
                    "table": "mdm.organisation",
                    "match": {"tenant_id": "tenant_id", "organisation_id": "organisation_id"},
                    "take": "legal_name",
                },
                "type": "text",
            },
        },
        {
            "label": "one value or another",
            "body": {
                "when": [{"if": {"status_code": ["ACT", "LOA"]}, "then": {"constant": "employed"}}],
                "otherwise": {"constant": "left"},
                "type": "text",
            },
        },
        {
            "label": "a date in a text",
            "body": {"from": "hired_on", "type": "date", "steps": [{"parse_date": "iso"}], "checks": ["required"]},
        },
        {
            "label": "an amount, rounded",
            "body": {
                "from": "amount", "type": "numeric(12,2)", "steps": [{"round": {"scale": 2, "mode": "half_even"}}],
            },
        },
    ],
    CodeList: [
        {
            "label": "a code list",
            "body": {
                "version": "1.0.0",
                "description": "What each code stands for",
                "source": "who publishes the list, and where",
                "entries": {"A": "active", "C": "closed"},
            },
        }
    ],
    Calendar: [
        {
            "label": "a calendar",
            "body": {
                "version": "1.0.0",
                "description": "Days on which nobody works",
                "source": "who publishes the days, and where",
                "weekend": ["saturday", "sunday"],
                "first_day": "2026-01-01",
                "last_day": "2026-12-31",
                "holidays": {"2026-12-25": "Christmas Day"},
            },
        }
    ],
}  # fmt: skip
