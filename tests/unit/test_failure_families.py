"""The table of failures: complete, without a slip, and the page that shows it."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg.errors import _sqlcodes

from syncline.adapters.failures import CLASSES, classify, telling
from syncline.core.errors import EnvironmentFailure, RowRefused, TerminalError, TransientError
from syncline.core.failure_families import OWN, STATES, UNKNOWN, Family, rule_of
from syncline.core.pages.families_page import FAMILIES, families_page
from tests.conftest import ROOT

KNOWN = sorted(code for code in _sqlcodes if re.fullmatch(r"[0-9A-Z]{5}", code))  # all that PostgreSQL documents


def test_the_page_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "errors_sql.md").read_text() == families_page(), "syncline generate"


def test_the_page_has_a_line_for_every_state_and_every_family() -> None:
    lines = re.findall(r"^\| ([0-9A-Z]{2}|[0-9A-Z]{5}) \|", families_page(), re.MULTILINE)

    assert lines == list(STATES) == sorted(STATES)
    assert set(FAMILIES) == set(CLASSES) == set(Family)


def test_every_state_of_the_table_is_one_of_postgresql() -> None:
    ours = {"SY"}  # include/target/001_corridor.sql
    assert {state for state in STATES if len(state) == 5} <= set(KNOWN)
    assert {state for state in STATES if len(state) == 2} - ours <= {state[:2] for state in KNOWN}


def test_no_state_of_postgresql_is_taken_for_somebodys_own() -> None:
    assert [state for state in KNOWN if rule_of(state) is OWN] == []


@pytest.mark.parametrize(
    ("state", "family"),
    [
        ("23505", Family.ROW), ("23999", Family.ROW), ("53100", Family.ENVIRONMENT), ("53300", Family.TRANSIENT),
        ("57014", Family.TRANSIENT), ("57P04", Family.ENVIRONMENT), ("08P01", Family.TRANSIENT),
        ("28P01", Family.ENVIRONMENT), ("42P01", Family.DRIFT), ("42601", Family.TERMINAL), ("SY003", Family.TERMINAL),
        ("HR001", Family.TERMINAL), ("KD001", Family.ROW), ("99999", Family.ROW), ("3B001", UNKNOWN.family),
    ],
)  # fmt: skip
def test_the_whole_state_decides_before_its_class(state: str, family: Family) -> None:
    assert rule_of(state).family is family


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (psycopg.OperationalError("server closed the connection"), TransientError),
        (psycopg.errors.ConnectionTimeout("no answer"), TransientError),
        (psycopg.OperationalError("FATAL: password authentication failed"), EnvironmentFailure),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), RowRefused),
        (psycopg.InterfaceError("the cursor is closed"), TerminalError),
        (psycopg.ProgrammingError("no result"), TerminalError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), RowRefused),
        (OSError(28, "No space left on device"), EnvironmentFailure),
        (OSError(30, "Read-only file system"), EnvironmentFailure),
        (ConnectionResetError(104, "reset"), TransientError),
        (TimeoutError("x"), TransientError),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else "",
)
def test_what_has_no_sqlstate_is_sorted_by_its_kind(error: Exception, family: type[Exception]) -> None:
    failure = classify(error, "doing", on="payroll")

    assert type(failure) is family
    assert failure.sqlstate is None


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), FileNotFoundError(2, "x"), KeyError("x")], ids=repr)
def test_what_nobody_sorted_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, telling("doing"):
        raise error

    assert raised.value is error


def test_only_what_speaks_of_the_whole_system_names_it() -> None:
    lost = classify(psycopg.OperationalError("cut"), "doing", on="payroll")
    locked = classify(psycopg.errors.LockNotAvailable(), "doing", on="payroll")
    full = classify(psycopg.errors.DiskFull(), "doing", on="payroll")

    assert [failure and failure.down for failure in (lost, locked, full)] == ["payroll", None, "payroll"]
