"""Which failure belongs to which family: the one table, read by adapters/failures.py and shown in docs/errors_sql.md.

A failure is sorted by its SQLSTATE alone, the whole state before its class; where a server never got to say one, by
the kind of exception. Messages are not read, because they quote rows, and because servers speak many languages; the
one exception is a refused login, for which libpq gives no state.

    transient     the same call may succeed later: retried three times, with growing delay and jitter
    environment   the place is not fit: the task fails at once, the batch stays resumable, no row is blamed
    row           a row's value is refused: the load isolates the row and goes on
    drift         source or target are not what the mapping was written for; terminal
    terminal      a person must act

`is_system` marks what says something of the whole system behind a connection rather than of one statement: such
failures count for its circuit breaker (core/breakers.py). Values only; who raises what is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """What can be done about a failure."""

    TRANSIENT = "transient"
    ENVIRONMENT = "environment"
    ROW = "row"
    DRIFT = "drift"
    TERMINAL = "terminal"

    @property
    def then(self) -> str:
        """The sentence that ends a message of this family where the table has none of its own."""
        return THEN[self]


THEN = {
    Family.TRANSIENT: "The same call may succeed later",
    Family.ENVIRONMENT: "The place is not fit, rows are not to blame",
    Family.ROW: "Nothing of this transaction was kept. A row is refused: a load finds out which",
    Family.DRIFT: "A table or column is not what the mapping was written for",
    Family.TERMINAL: "Nothing of this transaction was kept",
}


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        condition: What the server or the driver means by it.
        then: What follows or what to do; part of the message. Without it, the family's own sentence.
        is_system: Whether it speaks of the whole system: counts for the circuit breaker of its connection.
        code: Family row: the code of the row's dead letter.
    """

    family: Family
    condition: str
    then: str = ""
    is_system: bool = False
    code: str = "refused"


T, E, R, D, X = Family.TRANSIENT, Family.ENVIRONMENT, Family.ROW, Family.DRIFT, Family.TERMINAL
STATES: dict[str, Rule] = {
    "08": Rule(T, "the connection was lost or refused", is_system=True),
    "0A": Rule(E, "not supported here", "Row-level security refuses COPY here: the loader must stage first"),
    "22": Rule(R, "a value that its place cannot hold"),
    "22001": Rule(R, "a text too long for its column", code="too_long"),
    "22003": Rule(R, "a number out of range", code="out_of_range"),
    "22007": Rule(R, "no date or time", code="bad_format"),
    "22008": Rule(R, "a date or time out of range", code="out_of_range"),
    "22021": Rule(
        R, "a text that is not valid in its database's encoding",
        "A text is not valid in its database's encoding. Nothing of this transaction was kept. Mend the text at its"
        " source; a database of encoding SQL_ASCII promises nothing",
        code="encoding",
    ),
    "22023": Rule(
        R, "an argument, a time zone, a role or a setting that the server does not take",
        "Nothing of this transaction was kept. At SET ROLE: the target lacks the role, see include/target/README.md;"
        " in a load: a row's value, which is looked for",
    ),
    "22P02": Rule(R, "a text that is no value of its type", code="bad_format"),
    "22P05": Rule(R, "a character that the other encoding does not have", code="encoding"),
    "23": Rule(R, "a constraint of the table"),
    "23001": Rule(R, "another table still refers to the row", code="foreign_key"),
    "23502": Rule(R, "NOT NULL, of a column or a domain", code="not_null"),
    "23503": Rule(R, "a foreign key: what is referred to is missing, or the row is still referred to",
                  code="foreign_key"),
    "23505": Rule(R, "a unique key that another row has", code="unique"),
    "23514": Rule(R, "CHECK, of a table or a domain", code="check"),
    "23P01": Rule(R, "an exclusion constraint", code="exclusion"),
    "25": Rule(X, "a transaction in the wrong state: a fault of Syncline"),
    "25006": Rule(
        E, "the transaction is read-only", "The server is read-only: a standby cannot be a target", is_system=True
    ),
    "25P02": Rule(T, "the transaction was aborted by an earlier error"),
    "25P03": Rule(T, "idle in a transaction for too long"),
    "25P04": Rule(T, "a transaction that took too long"),
    "26000": Rule(
        E, "a prepared statement is not known",
        "A pooler stands between that gives each transaction another session: connect to the server itself",
    ),
    "28": Rule(E, "the login is refused", "The server refuses the login: look at user, password and database",
               is_system=True),
    "3D000": Rule(E, "the database does not exist", "The database does not exist: look at the connection",
                  is_system=True),
    "3F000": Rule(D, "a schema is missing"),
    "40": Rule(T, "rolled back by the server"),
    "40001": Rule(T, "two transactions could not be put in an order"),
    "40002": Rule(R, "a constraint, found at COMMIT"),
    "40P01": Rule(T, "a deadlock: the server chose this transaction"),
    "42": Rule(X, "a statement that the server does not take"),
    "42501": Rule(
        E, "a grant is missing, or a row-level policy refuses the row",
        "A grant is missing: compare the role with docs/naming.md, section roles",
    ),
    "42703": Rule(D, "a column is missing"),
    "42704": Rule(D, "a type or another object is missing"),
    "42804": Rule(D, "a column has another type"),
    "42809": Rule(D, "what was a table is something else"),
    "42846": Rule(D, "a type cannot be cast to the column's"),
    "42883": Rule(
        D, "a function is missing",
        "The server has no such function: `syncline check --connect` says which word needs a newer PostgreSQL",
    ),
    "428C9": Rule(D, "the column has become a generated one"),
    "42P01": Rule(D, "a table is missing"),
    "42P05": Rule(
        E, "a prepared statement is there already",
        "A pooler stands between that gives each transaction another session: connect to the server itself",
    ),
    "44000": Rule(R, "WITH CHECK OPTION of a view", code="check"),
    "53": Rule(E, "the server lacks something", "The server lacks memory, disk or connections", is_system=True),
    "53100": Rule(E, "the disk is full", "The server's disk is full: free space", is_system=True),
    "53300": Rule(
        T, "too many connections, of the server, the database or the login",
        "The server lends no more connections; docs/runbooks/system-locked.md says how to see who has them",
        is_system=True,
    ),
    "53400": Rule(E, "a limit of the server's configuration, such as temp_file_limit",
                  "A limit of the server's configuration is reached: raise it for this role"),
    "54": Rule(R, "larger than the server can hold", code="too_large"),
    "54011": Rule(X, "too many columns"),
    "54023": Rule(X, "too many arguments"),
    "55": Rule(E, "an object is not in the state that is needed"),
    "55006": Rule(T, "an object is in use"),
    "55P03": Rule(T, "a lock was not to be had in time"),
    "57": Rule(T, "an operator intervened"),
    "57014": Rule(T, "cancelled: by statement_timeout or by a person"),
    "57P01": Rule(T, "ended by an administrator, or the server shuts down", is_system=True),
    "57P02": Rule(T, "the server crashed", is_system=True),
    "57P03": Rule(T, "the server starts up or shuts down", is_system=True),
    "57P04": Rule(E, "the database was dropped", "The database was dropped: look at the connection", is_system=True),
    "57P05": Rule(T, "the session was idle for too long"),
    "58": Rule(E, "the server's machine fails: files, disk", is_system=True),
    "72": Rule(T, "a snapshot that became too old"),
    "HV": Rule(E, "a foreign table's server refuses"),
    "P0": Rule(R, "a trigger or function of the target raised it"),
    "SY": Rule(X, "the corridor at the target refuses: the fence and the tenants"),
    "XX": Rule(E, "the server is damaged, or met a fault of its own"),
}  # fmt: skip
# By the standard, classes that begin so are an implementation's own; those not above are somebody's trigger's.
OWN_CLASSES = "56789IJKLMNOPQRSTUVWXYZ"
OWN = Rule(R, "a code that a trigger or function of the target made up")
UNKNOWN = Rule(X, "every other state")

# No SQLSTATE: the server never got to say one.
LOGIN_REFUSED = Rule(
    E, "psycopg.OperationalError, the server refuses the login",
    "The server refuses the login: look at user, password and database", is_system=True,
)  # fmt: skip
CONNECTION_LOST = Rule(
    T, "psycopg.OperationalError: the connection was cut, refused or timed out",
    "The connection was lost or refused; the same call may succeed later", is_system=True,
)  # fmt: skip
VALUE_REFUSED = Rule(
    R, "psycopg.DataError: the driver refuses a value, such as a text with NUL",
    "The driver refused a value before the server saw it", code="encoding",
)  # fmt: skip
NO_UNICODE = Rule(R, "UnicodeError: a text that is not valid Unicode", "A text is not valid Unicode", code="encoding")
DRIVER_REFUSED = Rule(X, "every other psycopg.Error: the driver was used wrongly", "The driver refused the call")
MACHINE_UNFIT = Rule(
    E, "OSError: this machine's disk is full or read-only, or a file may not be opened",
    "The machine that runs Syncline is not fit: look at its disk and its rights",
)  # fmt: skip
NETWORK_LOST = Rule(T, "ConnectionError, TimeoutError: something else on the network does not answer")
EXCEPTIONS = (
    CONNECTION_LOST, LOGIN_REFUSED, VALUE_REFUSED, NO_UNICODE, DRIVER_REFUSED, MACHINE_UNFIT, NETWORK_LOST,
)  # fmt: skip


def rule_of(sqlstate: str) -> Rule:
    """The line of a SQLSTATE: the whole state, else its class, else whose class it is."""
    if rule := STATES.get(sqlstate) or STATES.get(sqlstate[:2]):
        return rule
    return OWN if sqlstate[:1] in OWN_CLASSES else UNKNOWN
