"""When a system counts as down, and who looks whether it is back; the time is a value here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from syncline.core.breakers import FAILURES, PAUSE, PAUSE_MAX, PROBE, WITHIN, Breaker

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def failing(times: int, *, apart: timedelta = SECOND) -> Breaker:
    breaker = Breaker()
    for n in range(times):
        breaker = breaker.failed(NOON + n * apart, "TransientError", is_probe=False)
    return breaker


def opened(at: datetime) -> Breaker:
    return Breaker(failures=FAILURES - 1, last_failed_at=at).failed(at, "x", is_probe=False)


def test_a_breaker_opens_after_so_many_failures_in_a_row() -> None:
    assert [failing(n).is_open for n in range(FAILURES + 1)] == [False] * FAILURES + [True]


def test_failures_that_lie_far_apart_are_not_in_a_row() -> None:
    assert failing(FAILURES, apart=WITHIN).is_open
    assert not failing(2 * FAILURES, apart=WITHIN + SECOND).is_open


def test_one_that_ends_well_begins_the_count_anew() -> None:
    assert failing(FAILURES - 1).ended_well().failures == 0


def test_while_it_is_open_everybody_waits_and_then_one_goes() -> None:
    breaker = opened(NOON)

    assert breaker.wait_until(NOON) == NOON + PAUSE
    assert breaker.wait_until(NOON + PAUSE) is None
    probed = breaker.probed(NOON + PAUSE)
    assert probed.wait_until(NOON + PAUSE) == NOON + PAUSE + PROBE
    assert probed.wait_until(NOON + PAUSE + PROBE) is None  # it was killed, or takes long: the next one looks


def test_pauses_grow_up_to_a_limit() -> None:
    breaker, now, pauses = opened(NOON), NOON, []
    while len(pauses) < 7:
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker = breaker.probed(now).failed(now, "x", is_probe=True)

    assert pauses == [PAUSE * n for n in (1, 2, 4, 8)] + [PAUSE_MAX] * 3
    assert breaker.opened_at == NOON


def test_a_late_failure_of_an_attempt_that_is_no_probe_changes_nothing() -> None:
    breaker = opened(NOON)

    late = breaker.failed(NOON + SECOND, "x", is_probe=False)

    assert (late.open_until, late.openings, late.failures) == (breaker.open_until, 1, FAILURES + 1)


def test_a_probe_that_ends_well_closes_it_and_the_next_pause_is_short_again() -> None:
    breaker = opened(NOON).probed(NOON + PAUSE).failed(NOON + PAUSE, "x", is_probe=True).ended_well()

    assert (breaker.is_open, breaker.wait_until(NOON)) == (False, None)
    assert breaker.openings == 0


def test_a_closed_breaker_lets_everybody_through_and_nobody_is_a_probe() -> None:
    assert Breaker().wait_until(NOON) is None
    assert failing(1).probed(NOON).probe_until is None
