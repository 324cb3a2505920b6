"""The bugs of batches that other products have had, each planted at one place of ours, with a scenario that shows it.

A scenario passes on the product as it is. What it asserts is what the machines assert, so a bug that a scenario shows
is one that the machines can find.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import expectations, failures, ledger, source
from syncline.adapters.comparing import Ranges
from syncline.adapters.source import Source
from syncline.adapters.target import Target, boundary
from syncline.core.errors import TerminalError, TransientError
from syncline.core.failure_families import Family
from syncline.core.values import TenantCheck
from tests.integration.conftest import JOB
from tests.machines.attempts import Attempt, nothing_is_overtaken, noting_commits
from tests.machines.hub import Change, Key
from tests.machines.test_tenants import Counted
from tests.machines.world import ANCHOR, World

Patch = pytest.MonkeyPatch
ONE, TWO, THREE = ("t1", "p1"), ("t1", "p2"), ("t2", "p3")
PAGE_ROWS = 2
LOAD, RECONCILE = (import_module(f"syncline.steps.{name}") for name in ("load", "reconcile"))


@dataclass(frozen=True)
class Bug:
    """One way to lose or spoil rows.

    Attributes:
        play: What happens; raises AssertionError where the bug shows.
        plant: Puts the bug into the product.
        around: What is the same with and without it.
    """

    play: Callable[[World], None]
    plant: Callable[[World, Patch], None]
    around: Callable[[World, Patch], None] = lambda world, patch: None


def settled(world: World, *keys: Key) -> None:
    """Rows that are in both."""
    world.hub.write(Change(ANCHOR), *(Change(key) for key in keys))
    world.settle(is_replayed=False)


# -- which rows a batch reads ---------------------------------------------------------------------------------


def a_transaction_commits_late(world: World) -> None:
    settled(world, ONE, TWO)
    world.hub.write(Change(ONE), by="first")
    world.hub.write(Change(TWO))
    world.settle(is_replayed=False)
    world.hub.end("first", "commit")
    world.settle(is_replayed=False)


def many_rows_bear_one_time(world: World) -> None:
    settled(world, ONE, TWO, THREE)
    world.hub.write(Change(ONE), Change(TWO), Change(THREE), Change(ANCHOR))  # one transaction, so one time
    world.settle(is_replayed=False)


def a_crash_inside_a_tie(world: World) -> None:
    settled(world, ONE, TWO, THREE)
    world.hub.write(Change(ONE), Change(TWO), Change(THREE))
    world.run(place="copy.after_rows", turn=2)
    world.run(again=world.runs[-1][0])
    world.target_agrees(world.hub.rows)


def a_row_changes_between_reading_and_recording(world: World) -> None:
    settled(world, ONE)
    world.run(place="extract.staged", act=lambda: world.hub.write(Change(ONE)))
    world.settle(is_replayed=False)


def rows_move_while_parts_are_read(world: World) -> None:
    """Several sessions read parts of one table."""
    settled(world)
    world.hub.fill(400)
    world.settle(is_replayed=False)
    moved = [key for key in world.hub.rows if key[1] == "f30"]
    try:
        world.run("full", place="extract.begun", act=lambda: world.hub.write(*map(Change, moved)))
    except TransientError as error:
        raise AssertionError("the parts do not add up to one instant") from error


def last_time(world: World) -> datetime:
    """The naive watermark: the newest cursor value that was published."""
    rows = world.ask("warehouse", "select max(source_max_at) as at from ledger.batch where state = 'published'")
    moment: datetime = rows[0]["at"]
    return moment


def newer_than_the_maximum(world: World, patch: Patch) -> None:
    def owed(*_: Any, **__: Any) -> list[Composable]:
        return [sql.SQL("s.updated_at > {}::timestamptz").format(sql.Literal(last_time(world).isoformat()))]

    patch.setattr(Source, "_owed", owed)


def pages_by(operator: str) -> Callable[[World, Patch], None]:
    """Page by page, each from the last one's last time on, without a key to tell equal times apart."""

    def plant(world: World, patch: Patch) -> None:
        def owed(*_: Any, **__: Any) -> list[Composable]:
            read, checkpoint, is_new = [], last_time(world), True
            while is_new:
                page = world.ask(
                    "mdm",
                    f"select ctid::text as place, updated_at from lab.person where updated_at {operator} %s"
                    f" order by updated_at, ctid limit {PAGE_ROWS}",
                    checkpoint,
                )
                read += [row["place"] for row in page]
                is_new = bool(page) and page[-1]["updated_at"] > checkpoint
                checkpoint = page[-1]["updated_at"] if page else checkpoint
            return [sql.SQL("s.ctid = any({}::tid[])").format(sql.Literal(read))]

        patch.setattr(Source, "_owed", owed)

    return plant


def goes_on_after_a_crash(how: Callable[[Composable], Composable]) -> Callable[[World, Patch], None]:
    """A try after a crash reads only what it believes to be left."""

    def plant(world: World, patch: Patch) -> None:
        whole, has_crashed = Source.copy_out, False

        def copy_out(here: Source, select: Composable) -> Generator[bytes, None, None]:
            nonlocal has_crashed
            left, has_crashed = how(select) if has_crashed else select, False
            try:
                yield from whole(here, left)
            except TransientError:
                has_crashed = True
                raise

        patch.setattr(Source, "copy_out", copy_out)

    return plant


def later_bound(world: World, patch: Patch) -> None:
    """The watermark gets a snapshot of its own, taken after the rows were read."""
    extracted = ledger.Ledger.extracted

    def with_later_bound(book: Any, batch: Any, cut_off: Any, *rest: Any, **named: Any) -> Any:
        now = world.ask("mdm", "select pg_current_snapshot()::text as snapshot")[0]["snapshot"]
        return extracted(book, batch, replace(cut_off, snapshot=now), *rest, **named)

    patch.setattr(ledger.Ledger, "extracted", with_later_bound)


def snapshot_each(world: World, patch: Patch) -> None:
    @contextmanager
    def beside(here: Source) -> Iterator[Source]:
        with source.reading(here.job) as other:
            other.identity, other._known, other._table = here.identity, here._known, here._table
            yield other

    patch.setattr(Source, "beside", beside)


# -- what is told before it is so -----------------------------------------------------------------------------


def a_crash_at(place: str) -> Callable[[World], None]:
    def play(world: World) -> None:
        settled(world, ONE)
        world.hub.write(Change(ONE))
        world.run(place=place)
        world.settle(is_replayed=False)

    return play


def moves_early(where: Any, name: str, at: Callable[..., tuple[Any, Any]]) -> Callable[[World, Patch], None]:
    """The watermark moves when something is done that is not the publication."""

    def plant(world: World, patch: Patch) -> None:
        original = getattr(where, name)
        is_after = name == "extracted"

        def early(*given: Any, **named: Any) -> Any:
            book, batch = at(*given)
            done = original(*given, **named) if is_after else None
            with book._doing(JOB, "moving too early"):
                book._move_watermark(batch)
            return done if is_after else original(*given, **named)

        patch.setattr(where, name, early)

    return plant


def the_dead_letters_fail(world: World) -> None:
    settled(world, ONE)
    world.hub.write(Change(ONE, "spoil"))
    world.run()
    world.letters_agree(world.hub.rows)


def forgets_letters(world: World, patch: Patch) -> None:
    patch.setattr(ledger.Ledger, "_bury", lambda *_: None)


def the_target_drops_a_change(world: World) -> None:
    """A trigger of the target's owner: the statement succeeds, the row stays as it was."""
    settled(world, ONE, TWO)
    world.ask(
        "payroll",
        "create function lab.drop() returns trigger language plpgsql as 'begin return null; end';"
        " create trigger dropping before update on lab.person for each row when (old.person_no = 'p1')"
        " execute function lab.drop()",
    )
    try:
        world.hub.write(Change(ONE), Change(TWO))
        with suppress(TransientError):
            world.run()
    finally:
        world.ask("payroll", "drop function lab.drop() cascade")


def believes_the_judge(world: World, patch: Patch) -> None:
    """What was to be written is told as written."""

    def write(there: Any, judged: Any, loaded_at: datetime) -> None:
        there._session.execute(there._update(loaded_at))

    patch.setattr(Target, "_write", write)


# -- who may write --------------------------------------------------------------------------------------------


def an_older_attempt_comes_back(world: World) -> None:
    """Its staging table still stands: a dump was reading it when the newer attempt cleared away what was left."""
    settled(world, ONE)
    world.hub.write(Change(ONE))
    older, newer = Attempt(world), Attempt(world)
    with noting_commits(world):
        older.open("night")
        older.step(None)
        older.step("load.begun")
        world.hub.write(Change(ONE, "flag"))
        newer.open("morning")
        with psycopg.connect(world.lab.conninfo("payroll")) as dump:
            dump.execute(sql.SQL("select from {}").format(sql.Identifier("staged", f"{JOB}__{older.batch_id}")))
            while newer.rest:
                newer.step(None)
        older.release()
        assert older.is_idle
        if not world.is_unfenced:
            nothing_is_overtaken(world)
        assert ONE not in world.alive(), "a deleted row has come back"


def lets_all_in(world: World, patch: Patch) -> None:
    """The fence takes the newest epoch for everybody's."""
    enter_as_itself = Target._enter

    def enter(there: Any, tenants: Any) -> None:
        fence = world.ask("payroll", "select epoch from syncline.fence where job_id = %s", JOB)
        batch = there.batch
        there.batch = replace(batch, epoch=max([batch.epoch, *(row["epoch"] for row in fence)]))
        try:
            enter_as_itself(there, tenants)
        finally:
            there.batch = batch

    patch.setattr(Target, "_enter", enter)


def without_a_fence(world: World, patch: Patch) -> None:
    """For what must hold even then."""
    lets_all_in(world, patch)
    patch.setattr(world, "is_unfenced", True)


def forgets_deletes(world: World, patch: Patch) -> None:
    patch.setattr(Target, "_marking", lambda there, delete: delete)


def somebody_else_wrote_something_newer(world: World) -> None:
    settled(world, ONE)
    world.ask(
        "payroll", "update lab.person set name = 'Ann 1000', source_event_at = '2099-01-01' where person_no = 'p1'"
    )
    world.lab_run("full")
    assert world.target()[ONE].name == "Ann 1000", "an older version has won"


def any_version_wins(world: World, patch: Patch) -> None:
    patch.setattr(Target, "_is_older", lambda there: sql.SQL("false"))


def somebody_forgets_the_tenant(world: World) -> None:
    settled(world, ONE, THREE)
    for tenant in world.granted:
        Counted(world, tenant)


def without_row_security(world: World, patch: Patch) -> None:
    """The boundary is only in statements that name the tenant, and nobody looks."""
    patch.setattr(boundary, "wall_faults", lambda *_, **__: [])
    world.ask("payroll", "alter table lab.person disable row level security")


# -- what opens the gate --------------------------------------------------------------------------------------


def nothing_is_seen_on_either_side(world: World) -> None:
    assert world.run("full") is None, "the gate opened on nothing"


def two_tenants_are_wrong_the_same_way(world: World) -> None:
    settled(world, ONE, THREE)
    world.lose(ONE)
    world.ask("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t2', 'extra', 'Ann 0')")
    assert world.run() is None, "the gate opened, though a row is missing in one tenant and one too many in another"


def a_value_differs(world: World) -> None:
    settled(world, ONE)
    world.ask("payroll", "update lab.person set name = 'Ann 1000' where person_no = 'p1'")
    world.losses += 1
    world.run("full")
    assert world.target()[ONE].name == world.hub.rows[ONE].name, "a full run left a value that differs"


def counts_the_total(world: World, patch: Patch) -> None:
    each = RECONCILE._line_up

    def all_in_one(*given: Any) -> list[TenantCheck]:
        checks = each(*given)
        counted = ("source_rows", "excused_rows", "target_rows")
        return [TenantCheck("t1", *(sum(getattr(check, name) for check in checks) for name in counted))]

    patch.setattr(RECONCILE, "_line_up", all_in_one)


def counts_only(world: World, patch: Patch) -> None:
    patch.setattr(Ranges, "differing", lambda ours, theirs: np.flatnonzero(ours.rows != theirs.rows))


# -- what is tried again --------------------------------------------------------------------------------------


def a_grant_is_missing(world: World) -> None:
    """As the scheduler does: what may pass is tried three times more, what needs a person is not."""
    settled(world, ONE)
    world.ask(
        "payroll",
        "create function lab.refuse() returns trigger language plpgsql as"
        " 'begin raise insufficient_privilege; end';"
        " create trigger refusing before update on lab.person for each row execute function lab.refuse()",
    )
    try:
        world.hub.write(Change(ONE))
        tries = 0
        with suppress(TerminalError):
            for _ in range(4):
                tries += 1
                with suppress(TransientError):
                    world.run()
        assert tries == 1, f"{tries} tries of what a person must mend"
    finally:
        world.ask("payroll", "drop function lab.refuse() cascade")


def tries_everything_again(world: World, patch: Patch) -> None:
    patch.setitem(failures.CLASSES, Family.ENVIRONMENT, TransientError)


BUGS: dict[str, Bug] = {  # by their names in the list of planted bugs, section 4 of the fault list
    "naive > watermark": Bug(a_transaction_commits_late, newer_than_the_maximum),
    ">= without tie key": Bug(many_rows_bear_one_time, pages_by(">=")),
    "tie checkpoint": Bug(many_rows_bear_one_time, pages_by(">")),
    "tie checkpoint, after a crash": Bug(
        a_crash_inside_a_tie,
        goes_on_after_a_crash(
            lambda select: sql.SQL(
                "select * from ({}) as left_over where source_event_at > (select max(updated_at) from lab.person)"
            ).format(select)
        ),
    ),
    "resume inside a bulk statement": Bug(
        a_crash_inside_a_tie,
        goes_on_after_a_crash(lambda select: sql.SQL("select * from ({}) as left_over offset 1").format(select)),
    ),
    "bound/read split": Bug(a_row_changes_between_reading_and_recording, later_bound),
    "chunk drift": Bug(rows_move_while_parts_are_read, snapshot_each),
    "watermark moved at extract": Bug(
        a_crash_at("extract.recorded"), moves_early(ledger.Ledger, "extracted", lambda book, batch, *_: (book, batch))
    ),
    "offset committed before effect": Bug(
        a_crash_at("load.before_commit"), moves_early(LOAD, "_write", lambda job, batch, book, *_: (book, batch))
    ),
    "DLQ failure ignored": Bug(the_dead_letters_fail, forgets_letters),
    "balance from the loader's own counter": Bug(the_target_drops_a_change, believes_the_judge),
    "no fencing": Bug(an_older_attempt_comes_back, lets_all_in),
    "delete marker dropped early": Bug(an_older_attempt_comes_back, forgets_deletes, without_a_fence),
    "merge without version guard": Bug(somebody_else_wrote_something_newer, any_version_wins),
    "tenant check only in SQL text": Bug(somebody_forgets_the_tenant, without_row_security),
    "gate opens on zero rows": Bug(
        nothing_is_seen_on_either_side,
        lambda world, patch: patch.setattr(expectations, "_refuse_nothing", lambda _: None),
    ),
    "count-only reconcile": Bug(two_tenants_are_wrong_the_same_way, counts_the_total),
    "count-only reconcile, of values": Bug(a_value_differs, counts_only),
    "retry of permanent error": Bug(a_grant_is_missing, tries_everything_again),
}
