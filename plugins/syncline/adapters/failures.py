"""Sort what a driver raises into the families of core.errors, in one place and by SQLSTATE alone.

Server messages quote rows ("Key (email)=(...)"), so nothing of them is kept but SQLSTATE and the names of table,
column and constraint; the chain to the driver's error is cut for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from syncline.core.errors import EnvironmentFailure, SchemaDrift, SynclineError, TerminalError, TransientError

# None: the connection was cut before the server could say anything (seen on kill, reset and terminate).
TRANSIENT = {
    "40001", "40P01",  # serialization failure, deadlock
    "55P03", "55006", "57014",  # lock not available, object in use, statement timeout or cancel
    "57P01", "57P02", "57P03", "57P05",  # the server goes down, crashed, starts up; idle session ended
    "25P02", "25P03", "25P04",  # aborted transaction, idle or transaction timeout
    "53300",  # too many connections
}  # fmt: skip
TRANSIENT_CLASSES = {"08"}
ENVIRONMENT = {"42501", "25006", "3D000", "55000", "58P01", "0A000"}
ENVIRONMENT_CLASSES = {"28", "53", "58", "XX"}
DRIFT = {"42703", "42P01", "42804", "42883", "42846"}
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
REMEDY = {
    "53100": "the server's disk is full: free space",
    "42501": "a grant is missing: compare the role with docs/naming.md, section roles",
    "25006": "the server is read-only: a standby cannot be a target",
    "3D000": "the database does not exist: look at the connection",
    "22021": "a text is not valid in its database's encoding. Nothing of this transaction was kept. Mend the text at"
    " its source; a database of encoding SQL_ASCII promises nothing",
    "0A000": "row-level security refuses COPY here: the loader must stage first",
}
DIFFERS = {
    "42883": "The server has no such function: `syncline check --connect` says which word needs a newer PostgreSQL",
}


@contextmanager
def telling(doing: str) -> Iterator[None]:
    """Raise what psycopg raises inside as one of our families; `doing` says what was under way, in ids."""
    try:
        yield
    except SynclineError:
        raise
    except (psycopg.Error, UnicodeError) as error:
        raise classify(error, doing) from None


def classify(error: Exception, doing: str) -> SynclineError:
    """The family of one driver error. Safe to show: ids, names and SQLSTATE only."""
    if not isinstance(error, psycopg.Error):
        return TerminalError(f"{doing}: a text is not valid Unicode ({type(error).__name__})")
    state = error.sqlstate
    said = f"{doing}: {_named(error)}"
    if state is None and isinstance(error, psycopg.OperationalError):
        if any(words in str(error) for words in LOGIN_REFUSED):
            return EnvironmentFailure(f"{said}. The server refuses the login: look at user, password and database")
        return TransientError(f"{said}. The connection was lost or refused; the same call may succeed later")
    if state is None:
        return TerminalError(f"{said}. The driver refused the call")
    if state in TRANSIENT or state[:2] in TRANSIENT_CLASSES:
        return TransientError(f"{said}. The same call may succeed later")
    if state in ENVIRONMENT or state[:2] in ENVIRONMENT_CLASSES:
        return EnvironmentFailure(f"{said}. {REMEDY.get(state, 'The place is not fit, rows are not to blame')}")
    if state in DRIFT:
        return SchemaDrift(f"{said}. {DIFFERS.get(state, 'A table or column is not what the mapping was written for')}")
    return TerminalError(f"{said}. {REMEDY.get(state, 'Nothing of this transaction was kept')}")


def _named(error: psycopg.Error) -> str:
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
