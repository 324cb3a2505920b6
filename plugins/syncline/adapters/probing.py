"""Whether two servers agree about values: the same hash for one probe value of each type that a mapping writes.

Comparing copies by checksums (core/checksums.py) relies on it. Servers of one major version and of several were seen
to agree; a type of an extension, another build or a later version need not, so it is asked before it is relied on.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from syncline.adapters.failures import telling
from syncline.core.checksums import COMPARABLE_SINCE, hash_of
from syncline.core.job import SyncJob
from syncline.core.types import PgType

# Values that spell differently where anything about a type differs: signs, fractions, zones, letters beyond ASCII.
PROBES = {
    "text": "Zo\u00eb \u00df \u6f22 x'y",
    "boolean": "true",
    "number": "-12345.67",
    "float": "-1.25e3",
    "money": "12.34",
    "date": "2024-02-29",
    "time": "01:30:00.123456",
    "timetz": "01:30:00.123456+02",
    "timestamp": "2024-03-31 01:30:00.123456",
    "timestamptz": "2024-03-31 01:30:00.123456+00",
    "interval": "1 mon 30 days 00:00:01",
    "uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "json": '{"b": [1, 2.50], "a": null}',
    "jsonb": '{"b": [1, 2.50], "a": null}',
    "bytea": "\\xdeadbeef",
    "inet": "192.168.0.0/24",
}
WHOLE = "-12345"
SIGNLESS = "7"  # fits every number, whatever its digits


def hashes_agree(job: SyncJob, source_session: psycopg.Connection, target_session: psycopg.Connection) -> list[str]:
    """Types of the mapping that the two servers hash differently, or that one cannot hash; empty: all agree."""
    kinds = sorted({field.type for field in job.mapping.fields.values()}, key=str)
    here, there = _hashes(source_session, kinds), _hashes(target_session, kinds)
    return [str(kind) for kind, one, other in zip(kinds, here, there, strict=True) if one is None or one != other]


def _hashes(session: psycopg.Connection, kinds: Iterable[PgType]) -> list[int | None]:
    if session.info.server_version < COMPARABLE_SINCE:
        return [None for _ in kinds]
    with telling("comparing hashes of probe values"):
        return [_hash(session, kind) for kind in kinds]


def _hash(session: psycopg.Connection, kind: PgType) -> int | None:
    """Of the probe and of NULL; None where the server has no such hash."""
    value = sql.SQL("{}::text::{}").format(sql.Literal(_probe(kind)), kind.sql)
    nothing = sql.SQL("null::{}").format(kind.sql)
    try:
        with session.transaction():
            row = session.execute(
                sql.SQL("select {}").format(hash_of({"value": (value, kind), "nothing": (nothing, kind)}))
            ).fetchone()
    except (psycopg.errors.UndefinedFunction, psycopg.DataError):
        return None
    return int(row[0]) if row else None


def _probe(kind: PgType) -> str:
    if kind.is_array:
        return "{" + _probe(kind.element) + "}" if kind.element.family in ("number", "boolean") else "{}"
    if kind.family == "number":
        if kind.name == "numeric":
            return SIGNLESS if kind.precision is not None else PROBES["number"]
        return WHOLE
    return PROBES.get(kind.family, "")
