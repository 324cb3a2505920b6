"""Attempts of the line in threads, which may be held at any failpoint, and a target that keeps the order of commits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from syncline import steps
from syncline.core.values import RunRequest
from tests.integration.faults import until
from tests.machines.world import World, crash

COMMITS = """
create table lab.commits (n bigserial primary key, kind text, epoch bigint);
create function lab.note() returns trigger language plpgsql security definer as $$
begin
    insert into lab.commits (kind, epoch) values (tg_table_name, case tg_table_name
        when 'person' then (select epoch from syncline.marker where xmin = pg_current_xact_id()::xid)
        else (to_jsonb(new) ->> 'epoch')::bigint end);
    return null;
end $$;
create constraint trigger note after insert or update or delete on lab.person
    deferrable initially deferred for each row execute function lab.note();
create constraint trigger note after insert on syncline.marker
    deferrable initially deferred for each row execute function lab.note();
create constraint trigger note after insert or update on syncline.fence
    deferrable initially deferred for each row execute function lab.note();
"""
OVERTAKEN = """
select late.kind, late.epoch, newer.epoch as after_epoch from lab.commits as late join lab.commits as newer
    on newer.n < late.n and (newer.epoch > late.epoch or late.epoch is null)
where late.kind in ('person', 'marker')
"""
WAITING = """
select from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'syncline %'
"""
PATIENCE_S = 120  # a machine may be busy with other things
LINE = (steps.extract_and_map, steps.load, steps.reconcile, steps.publish)


class Attempt:
    """One run of the line in threads: at most one step at a time, which may be held at a failpoint."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.batch_id: int | None = None
        self.rest: list[Callable[..., Any]] = []
        self.thread: threading.Thread | None = None
        self.error: Exception | None = None
        self.is_held, self.may_go_on, self.how = threading.Event(), threading.Event(), "go on"

    @property
    def is_idle(self) -> bool:
        return self.thread is None or not self.thread.is_alive()

    def open(self, run_key: str) -> None:
        job = self.world.lab.job

        def work() -> None:
            self.batch_id = steps.open_batch(job, RunRequest(run_key=run_key))
            self.rest = [*LINE]

        self._start(work, None)

    def step(self, place: str | None) -> None:
        """Go one step on, up to a place where it is held; None lets it come through."""
        job, step = self.world.lab.job, self.rest.pop(0)
        self._start(lambda: step(job, self.batch_id), place)

    def release(self, how: Literal["go on", "die"] = "go on") -> None:
        self.how = how
        self.is_held.clear()
        self.may_go_on.set()
        self._wait()

    def _start(self, work: Callable[[], Any], place: str | None) -> None:
        self.is_held, self.may_go_on, self.how, self.error = threading.Event(), threading.Event(), "go on", None

        def run() -> None:
            try:
                with self.world.places.at(place or "", self._hold):
                    work()
            except Exception as error:  # told by `ended`
                self.error, self.rest = error, []

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        self._wait()

    def _hold(self) -> None:
        self.is_held.set()
        assert self.may_go_on.wait(2 * PATIENCE_S)
        if self.how == "die":
            crash()

    def _wait(self) -> None:
        """Until it has come through, is held, or waits for a lock that the other one has."""
        until("it ends, holds or waits", lambda: self.is_idle or self._is_stuck(), seconds=PATIENCE_S)

    def _is_stuck(self) -> bool:
        return self.is_held.is_set() or bool(self.world.ask("payroll", WAITING))


@contextmanager
def noting_commits(world: World) -> Iterator[None]:
    """Have the target keep the order of commits: deferred triggers, which fire while the fence is still locked."""
    world.ask("payroll", COMMITS)
    try:
        yield
    finally:
        world.ask("payroll", "drop function lab.note() cascade; drop table lab.commits")


def nothing_is_overtaken(world: World) -> None:
    """F: no write of an older attempt commits after a newer one's first commit."""
    assert world.ask("payroll", OVERTAKEN) == [], "an older attempt has written after a newer one's commit"
