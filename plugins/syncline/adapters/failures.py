"""Raise what a driver or this machine says as one of our families; which is which stands in core/failure_families.py.

Server messages quote rows ("Key (email)=(...)"), so nothing of them is kept but SQLSTATE and the names of table,
column and constraint; the chain to the driver's error is cut for the same reason.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from syncline.core import failure_families as table
from syncline.core.errors import (
    EnvironmentFailure,
    RowRefused,
    SchemaDrift,
    SynclineError,
    TerminalError,
    TransientError,
)
from syncline.core.failure_families import Family, Rule

# libpq gives no SQLSTATE for a refused login: these words of the server are the only text that is looked at. A
# server that speaks another language is asked three times more before a person is called.
LOGIN_REFUSED = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "permission denied for database",
)
NO_CONNECTION_LEFT = ("too many clients", "too many connections", "remaining connection slots")
MACHINE_UNFIT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE}
CLASSES: dict[Family, type[SynclineError]] = {
    Family.TRANSIENT: TransientError,
    Family.ENVIRONMENT: EnvironmentFailure,
    Family.ROW: RowRefused,
    Family.DRIFT: SchemaDrift,
    Family.TERMINAL: TerminalError,
}


@contextmanager
def telling(doing: str, *, on: str | None = None) -> Iterator[None]:
    """Raise what is raised inside as one of our families; `doing` says what was under way, in ids.

    Args:
        on: The connection id that is worked on: a failure that speaks of its whole system says so in `down`.
    """
    try:
        yield
    except SynclineError:
        raise
    except (psycopg.Error, UnicodeError, OSError) as error:
        sorted_out = classify(error, doing, on=on)
        if sorted_out is None:
            raise
        raise sorted_out from None


def classify(error: Exception, doing: str, *, on: str | None = None) -> SynclineError | None:
    """The family of one error, safe to show: ids, names and SQLSTATE only. None for what nobody sorted."""
    rule = _rule(error)
    if rule is None:
        return None
    said = f"{doing}: {_named(error)}. {rule.then or rule.family.then}"
    failure = CLASSES[rule.family](said)
    if isinstance(error, psycopg.Error):
        failure.sqlstate = error.sqlstate
        failure.down = on if rule.is_system else None
    if isinstance(failure, RowRefused):
        failure.code = rule.code
        if isinstance(error, psycopg.Error):
            failure.column = error.diag.column_name or ""
            failure.by = error.diag.constraint_name or error.sqlstate or ""
    return failure


def _rule(error: Exception) -> Rule | None:
    if not isinstance(error, psycopg.Error):
        return _rule_of_python(error)
    if error.sqlstate is not None:
        return table.rule_of(error.sqlstate)
    if isinstance(error, psycopg.OperationalError):
        if any(words in str(error) for words in NO_CONNECTION_LEFT):
            return table.STATES["53300"]
        is_refused = any(words in str(error) for words in LOGIN_REFUSED)
        return table.LOGIN_REFUSED if is_refused else table.CONNECTION_LOST
    return table.VALUE_REFUSED if isinstance(error, psycopg.DataError) else table.DRIVER_REFUSED


def _rule_of_python(error: Exception) -> Rule | None:
    if isinstance(error, UnicodeError):
        return table.NO_UNICODE
    if isinstance(error, ConnectionError | TimeoutError):
        return table.NETWORK_LOST
    return table.MACHINE_UNFIT if isinstance(error, OSError) and error.errno in MACHINE_UNFIT else None


def _named(error: Exception) -> str:
    if not isinstance(error, psycopg.Error):
        name = errno.errorcode.get(getattr(error, "errno", None) or 0)
        return f"{type(error).__name__} ({name})" if name else type(error).__name__
    names = [
        f"{what} {name}"
        for what, name in (
            ("table", error.diag.table_name),
            ("column", error.diag.column_name),
            ("constraint", error.diag.constraint_name),
        )
        if name
    ]
    return ", ".join([f"{type(error).__name__} (SQLSTATE {error.sqlstate or 'none'})", *names])
