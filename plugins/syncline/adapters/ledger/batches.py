"""A batch's life: opened, tried, extracted, loaded, judged, held or published; and the watermark.

Every change of state is one transaction that checks the writer's epoch first, so an attempt that was overtaken
cannot write here either, and leaves an entry in the audit trail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields, replace
from typing import Any, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from syncline.adapters.failpoints import failpoint
from syncline.adapters.failures import telling
from syncline.adapters.ledger.breakers import Breakers, systems_of
from syncline.adapters.ledger.letters import Letters
from syncline.adapters.target import Letter
from syncline.core.alerts import Alert
from syncline.core.errors import Fenced, SynclineError, TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import (
    Balance,
    Batch,
    Counts,
    CutOff,
    Difference,
    Lower,
    Mode,
    Repair,
    RunRequest,
    State,
    TenantCheck,
    Verdict,
)  # fmt: skip

BETWEEN_STEPS_S = 600  # a busy scheduler may take this long from one task to the next
COUNTS = tuple(item.name for item in fields(Counts))
CHECKED = (
    "source_rows", "excused_rows", "target_rows", "missing_rows", "extra_rows",
    "brought_rows", "missing_keys", "extra_keys",
)  # fmt: skip


class Batches(Letters, Breakers):
    """The states of a batch and the watermark of its job."""

    def open_batch(self, job: SyncJob, request: RunRequest) -> Batch:
        """Take the job's lock and a new epoch, and fix what the batch must read.

        The same run asking for the same again gets its unfinished batch back. A batch of another run that was left
        unfinished, of other files than today's, or of a run that now asks for something else (a backfill takes a
        failed run over, and only wants to count) is abandoned: its window is still owed, and a later batch reads it,
        because the watermark has not moved.
        """
        with self._doing(job.id, "opening a batch"):
            self._register(job)
            held = self._one("select batch_id from ledger.job where job_id = %s for update", job.id)
            earlier = self._one(
                "select batch_id, state, mode, manifest_hash, is_dry_run, tenants, window_from, window_to"
                " from ledger.batch where job_id = %s and run_key = %s order by batch_id desc limit 1",
                job.id,
                request.run_key,
            )
            request = self._as_held(job, request)
            mode = self._mode(job, request, earlier)
            if earlier is not None and _may_go_on(job, request, mode, earlier):
                self._take(job.id, earlier["batch_id"])
                return self.batch(earlier["batch_id"])
            if not request.take_over:
                self._refuse_if_under_way(job)
            if held is not None and held["batch_id"] is not None:
                self._abandon(job.id, held["batch_id"])
            batch_id = self._insert_batch(job, request, mode, again=earlier["batch_id"] if earlier else None)
            self._take(job.id, batch_id)
            if request.approve_deletes is not None:
                self._approve_deletes(job.id, batch_id, request)
            if request.repairs is not None:
                self._session.execute(
                    "update ledger.batch set repairs = %s where batch_id = %s", [request.repairs, batch_id]
                )
            if request.accept_source:
                self._session.execute("update ledger.batch set accepts_source = true where batch_id = %s", [batch_id])
            self._audit(job.id, batch_id, "batch_opened", {"mode": mode, "run_key": request.run_key})
            return self.batch(batch_id)

    @contextmanager
    def attempt(self, job: SyncJob, batch_id: int, step: str) -> Iterator[Batch]:
        """One try of one step, under an epoch of its own: an older try of the same step is fenced from here on.

        Raises:
            SystemDown: The circuit breaker of a system that the step works on is open; nothing was begun.
        """
        with self.guarding(job, batch_id, systems_of(job, step)), self._begun(job, batch_id, step) as batch:
            yield batch

    @contextmanager
    def _begun(self, job: SyncJob, batch_id: int, step: str) -> Iterator[Batch]:
        with self._doing(job.id, f"starting {step}"):
            row = self._one("select batch_id from ledger.job where job_id = %s for update", job.id)
            batch = self.batch(batch_id)
            if batch.state is State.ABANDONED or row is None:
                raise Fenced(job.id, batch_id, batch.epoch)
            if not batch.state.is_final and row["batch_id"] != batch_id:
                raise Fenced(job.id, batch_id, batch.epoch)
            if batch.manifest_hash != job.manifest_hash and not batch.state.is_final:
                raise TerminalError(
                    f"{job.id}: the manifest or mapping changed after batch {batch_id} was opened. Nothing was "
                    f"written. Run the job again: the new batch reads the same window with the new files."
                )
            if not batch.state.is_final:  # what is closed needs no lock, and must not take it from the next batch
                self._take(job.id, batch_id)
                batch = self.batch(batch_id)  # now: later, a newer try's epoch would stand there, and fence nobody
            self._interrupt(batch_id)
            started = self._one(
                "insert into ledger.attempt (batch_id, step, epoch, backend_pid, backend_start)"
                " select batch_id, %s, epoch, pid, backend_start from ledger.batch, pg_stat_activity"
                " where batch_id = %s and pid = pg_backend_pid() returning attempt_id",
                step,
                batch_id,
            )
        attempt_id = started["attempt_id"] if started else 0
        try:
            failpoint("attempt.begun")
            yield batch
        except BaseException as error:
            self._end_attempt(attempt_id, "failed", error)
            raise
        self._end_attempt(attempt_id, "done", None)
        failpoint("attempt.ended")

    def extracted(
        self,
        batch: Batch,
        cut_off: CutOff,
        balance: Balance,
        source_rows: Mapping[str, int],
        letters: Iterable[list[Letter]],
        vanished: Iterable[int],
        difference: Difference | None = None,
    ) -> None:
        """Record what was read, what was rejected and up to which point, all or nothing.

        Args:
            letters: Rows that were rejected. A dry run leaves none.
            vanished: Older letters whose row the source no longer has.
            difference: What was compared before anything was read.
        """
        with self._changing(batch, "extracted"):
            self._reject_anew(batch, letters)
            if not batch.is_dry_run:
                self._close_letters(batch, vanished, "superseded")
            self._session.execute(
                "update ledger.batch set state = 'extracted', extracted_at = clock_timestamp(), upper_snapshot = %s,"
                " upper_cursor = %s, source_as_of = %s, source_max_at = %s where batch_id = %s",
                [cut_off.snapshot, cut_off.cursor_floor, cut_off.source_as_of, cut_off.source_max_at, batch.batch_id],
            )
            self._session.execute(
                "update ledger.batch set (range_bits, compared_ranges, differing_ranges, equal_rows)"
                " = row(%s, %s, %s, %s) where batch_id = %s",
                [*(asdict(difference).values() if difference else (None,) * 4), batch.batch_id],
            )
            self._session.execute("delete from ledger.tenant_count where batch_id = %s", [batch.batch_id])
            self._put_counts(batch, balance)
            self._put_tenants(batch, ("source_rows",), source_rows.items())

    def refused(self, batch: Batch, balance: Balance, letters: Iterable[list[Letter]]) -> None:
        """Record what the staging table holds now that the target has refused rows: counts and letters, anew."""
        with self._changing(batch, "refused", rejected_rows=balance.total.rejected_rows):
            self._reject_anew(batch, letters)
            self._put_counts(batch, balance)

    def tries(self, batch_id: int, step: str) -> int:
        """How often a step of a batch was begun, this time included."""
        row = self._one("select count(*) as n from ledger.attempt where batch_id = %s and step = %s", batch_id, step)
        return int(row["n"]) if row else 0

    def loaded(self, batch: Batch, balance: Balance) -> None:
        """Record the outcomes; a dry run ends here."""
        state = State.DRY_RUN if batch.is_dry_run else State.LOADED
        with self._changing(batch, state.value):
            self._session.execute(
                "update ledger.batch set state = %s, loaded_at = clock_timestamp() where batch_id = %s",
                [state, batch.batch_id],
            )
            self._put_counts(batch, balance)
            if batch.is_dry_run:
                self._release(batch)

    def reconciled(
        self,
        batch: Batch,
        checks: Iterable[TenantCheck],
        verdict: Verdict,
        ratio: float,
        ratio_max: float,
        evidence: Mapping[str, Any],
        resolved: Iterable[int],
    ) -> None:
        """Record the judgement of SYNC-005, its evidence, and the dead letters whose row came through clean."""
        with self._changing(batch, "reconciled"):
            self._close_letters(batch, resolved, "resolved")
            told = (
                (c.tenant_id, c.source_rows, c.excused_rows, c.target_rows, c.missing_rows, c.extra_rows)
                + (astuple(c.keys) if c.keys else (None, None, None))
                for c in checks
            )
            self._put_tenants(batch, CHECKED, told)
            self._session.execute(
                "insert into ledger.result (batch_id, control, verdict, mismatch_ratio, mismatch_ratio_max, evidence)"
                " values (%s, 'SYNC-005', %s, %s, %s, %s)",
                [batch.batch_id, verdict, ratio, ratio_max, Jsonb(dict(evidence))],
            )
            self._session.execute(
                "update ledger.batch set state = 'reconciled', verdict = %s, reconciled_at = clock_timestamp()"
                " where batch_id = %s",
                [verdict, batch.batch_id],
            )

    def held(self, batch: Batch, because: str, alert: Alert | None, *, wanted_deletes: int | None = None) -> None:
        """Close the batch unpublished and queue the alert in the same transaction: neither without the other.

        Args:
            alert: None where another batch's alert tells of it.
            wanted_deletes: Rows that it would have deleted, where that is why; a later run may be allowed as many.
        """
        with self._changing(batch, "held", because=because):
            self._session.execute(
                "update ledger.batch set state = 'held', held_because = %s, wanted_deletes = %s where batch_id = %s",
                [because, wanted_deletes, batch.batch_id],
            )
            if alert is not None:
                self._queue(alert)
            self._release(batch)
        failpoint("hold.recorded")

    def published(self, batch: Batch) -> None:
        """Open the gate: the batch, and what earlier unpublished batches of its window left, may be seen.

        The watermark moves here and nowhere else, never backwards (law 3).
        """
        with self._changing(batch, "published"):
            self._session.execute(
                "update ledger.batch set state = 'published', published_at = clock_timestamp(), published_by = batch_id"
                " where batch_id = %s",
                [batch.batch_id],
            )
            if batch.moves_watermark:
                self._session.execute(
                    "update ledger.batch set published_by = %s"
                    " where job_id = %s and batch_id < %s and published_by is null",
                    [batch.batch_id, batch.job_id, batch.batch_id],
                )
                self._move_watermark(batch)
            if batch.repair is not None:
                self._session.execute(
                    "update ledger.drift set repair_batch_id = %s where job_id = %s and closed_at is null",
                    [batch.batch_id, batch.job_id],
                )
            self._close_published(batch.job_id)
            self._release(batch)

    def published_together(self, batches: Iterable[Batch]) -> None:
        """Open the gate for all of them, or for none."""
        with self._doing("group", "publishing"):
            for batch in batches:
                self.published(batch)

    def batch(self, batch_id: int) -> Batch:
        """The batch as it stands. Raises TerminalError where there is none."""
        rows = self._all(
            "select batch.*, lower_snapshot::text as lower_text, upper_snapshot::text as upper_text,"
            " (select asked.wanted_deletes from ledger.batch as asked where asked.batch_id = batch.approves)"
            " as approved_deletes, repair.send_keys, repair.delete_keys, repair.with_critical"
            " from ledger.batch left join ledger.repair on repair.repair_id = batch.repairs where batch_id = %s",
            batch_id,
        )
        if not rows:
            raise TerminalError(f"the ledger has no batch {batch_id}; open one first")
        return _batch(rows[0])

    def counts(self, batch_id: int) -> Balance:
        """Counts of a batch per tenant."""
        rows = self._all("select * from ledger.tenant_count where batch_id = %s", batch_id)
        return Balance({row["tenant_id"]: Counts(**{name: row[name] for name in COUNTS}) for row in rows})

    def _refuse_if_under_way(self, job: SyncJob) -> None:
        """A batch is under way while the session of its attempt lives, or shortly after a step ended well."""
        row = self._one(
            "select batch.batch_id, batch.run_key, tried.step from ledger.job join ledger.batch using (batch_id)"
            " join lateral (select * from ledger.attempt where attempt.batch_id = batch.batch_id"
            "   order by attempt_id desc limit 1) as tried on true"
            " where job.job_id = %s and batch.state in ('open', 'extracted', 'loaded', 'reconciled')"
            " and (tried.outcome = 'done' and tried.ended_at > clock_timestamp() - make_interval(secs => %s)"
            "   or tried.outcome = 'running' and exists (select from pg_stat_activity as session where"
            "     session.pid = tried.backend_pid and session.backend_start = tried.backend_start))",
            job.id,
            BETWEEN_STEPS_S,
        )
        if row is not None:
            raise TerminalError(
                f"{job.id}: batch {row['batch_id']} of run {row['run_key']} is under way (step {row['step']}). Nothing "
                f"was done. Wait for it (`syncline status {job.id}`), or say --take-over to abandon it."
            )

    def _mode(self, job: SyncJob, request: RunRequest, earlier: dict[str, Any] | None) -> Mode:
        """What to read. A run that is run again reads what it read; a batch that owes everything is called full.

        Everything is owed by a first batch, and by the first one after a change of what decides rows and values:
        rows that nobody touched since would keep what the old mapping made of them, and counts cannot tell. Batches
        that moved no watermark count too: one that was held, died or read a window may have written by other files.
        """
        if request.mode is None and earlier is not None and earlier["mode"] == Mode.FULL:
            return Mode.FULL
        mode = _asked_mode(job, request)
        if mode is Mode.INCREMENTAL:
            since = self._one(
                "select bool_and(batch.rows_hash is not distinct from %s) as is_same"
                " from ledger.watermark as mark join ledger.batch using (job_id)"
                " where job_id = %s and (batch.batch_id = mark.batch_id or batch.batch_id > mark.batch_id"
                "   and batch.extracted_at is not null and not batch.is_dry_run)",
                job.rows_hash,
                job.id,
            )
            if since is None or not since["is_same"]:
                return Mode.FULL
        return mode

    def _register(self, job: SyncJob) -> None:
        manifest = job.manifest
        self._session.execute(
            "insert into ledger.job (job_id, manifest_version, manifest_hash, source_system, target_system,"
            " criticality, oncall, sla_latency_s_max) values (%s, %s, %s, %s, %s, %s, %s, %s)"
            " on conflict (job_id) do update set"
            " manifest_version = excluded.manifest_version, manifest_hash = excluded.manifest_hash, source_system ="
            " excluded.source_system, target_system = excluded.target_system, criticality = excluded.criticality,"
            " oncall = excluded.oncall, sla_latency_s_max = excluded.sla_latency_s_max",
            [
                job.id,
                manifest.version,
                job.manifest_hash,
                job.source.connection,
                job.target.connection,
                manifest.criticality,
                manifest.owner.oncall,
                manifest.sla.latency_p99_s_max,
            ],
        )

    def _insert_batch(self, job: SyncJob, request: RunRequest, mode: Mode, *, again: int | None) -> int:
        """A new batch from the watermark on; a finished run that is run again reads its own window again."""
        begin, end = request.window if mode is Mode.WINDOW and request.window else (None, None)
        row = self._one(
            "insert into ledger.batch (job_id, run_key, mode, is_dry_run, tenants, reason, epoch, manifest_version,"
            " manifest_hash, rows_hash, window_from, window_to, lower_snapshot, lower_cursor)"
            " select %s, %s, %s, %s, %s, %s, 0, %s, %s, %s, %s, %s, low.snapshot, low.floor"
            " from (select 1) as one left join lateral ("
            "   select lower_snapshot as snapshot, lower_cursor as floor, 1 as turn from ledger.batch"
            "   where batch_id = %s and mode = 'incremental' and state = 'published'"
            "   union all select snapshot, cursor_floor, 2 from ledger.watermark where job_id = %s"
            "   order by turn limit 1) as low on %s = 'incremental' returning batch_id",
            job.id,
            request.run_key,
            mode,
            request.dry_run,
            list(request.tenants) if request.tenants else None,
            request.reason,
            job.manifest.version,
            job.manifest_hash,
            job.rows_hash,
            begin,
            end,
            again,
            job.id,
            mode,
        )
        return int(cast("dict[str, Any]", row)["batch_id"])

    def _as_held(self, job: SyncJob, request: RunRequest) -> RunRequest:
        """A run that approves deletions reads what the held batch read, unless it says otherwise.

        Raises:
            TerminalError: There is nothing to approve, it was used already, or no reason is given.
        """
        if request.approve_deletes is None:
            return request
        asked = self._one(
            "select mode, tenants, window_from, window_to, wanted_deletes is not null and state = 'held' as is_held,"
            " exists (select from ledger.batch as used where used.approves = batch.batch_id"
            " and used.state = 'published') as is_used from ledger.batch where job_id = %s and batch_id = %s",
            job.id,
            request.approve_deletes,
        )
        if asked is None or not asked["is_held"]:
            why = f"batch {request.approve_deletes} of this job is not held for its deletes"
        elif asked["is_used"]:
            why = "that approval is used up"
        elif not request.reason.strip():
            why = "an approval needs a reason, which the audit trail keeps"
        elif request.mode is None and request.tenants is None:
            window = (asked["window_from"], asked["window_to"]) if asked["window_from"] is not None else None
            tenants = tuple(asked["tenants"]) if asked["tenants"] is not None else None
            return replace(request, mode=Mode(asked["mode"]), window=window, tenants=tenants)
        else:
            return request
        raise TerminalError(f"{job.id}: deletes cannot be approved: {why}. Nothing was opened.")

    def _approve_deletes(self, job_id: str, batch_id: int, request: RunRequest) -> None:
        """Let a batch delete as many rows as another one was held for. Once: a batch that used it has published."""
        self._session.execute(
            "update ledger.batch set approves = %s where batch_id = %s", [request.approve_deletes, batch_id]
        )
        detail = {"approves": request.approve_deletes, "reason": request.reason}
        self._audit(job_id, batch_id, "deletes_approved", detail)

    def _take(self, job_id: str, batch_id: int) -> None:
        self._session.execute(
            "with taken as (update ledger.job set epoch = epoch + 1, batch_id = %s where job_id = %s returning epoch)"
            " update ledger.batch set epoch = taken.epoch from taken where batch_id = %s",
            [batch_id, job_id, batch_id],
        )

    def _abandon(self, job_id: str, batch_id: int) -> None:
        self._session.execute(
            "update ledger.batch set state = 'abandoned' where batch_id = %s"
            " and state in ('open', 'extracted', 'loaded', 'reconciled')",
            [batch_id],
        )
        self._interrupt(batch_id)
        self._audit(job_id, batch_id, "batch_abandoned", {})

    def _interrupt(self, batch_id: int) -> None:
        """Attempts that still seem to run when another begins were killed; one that lives says so when it ends."""
        self._session.execute(
            "update ledger.attempt set outcome = 'failed', error_type = 'Interrupted', ended_at = clock_timestamp()"
            " where batch_id = %s and outcome = 'running'",
            [batch_id],
        )

    def _release(self, batch: Batch) -> None:
        self._session.execute("update ledger.job set batch_id = null where job_id = %s", [batch.job_id])

    def _move_watermark(self, batch: Batch) -> None:
        self._session.execute(
            "insert into ledger.watermark (job_id, batch_id, snapshot, cursor_floor, source_as_of)"
            " select job_id, batch_id, upper_snapshot, upper_cursor, source_as_of from ledger.batch where batch_id = %s"
            " on conflict (job_id) do update set batch_id = excluded.batch_id, snapshot = excluded.snapshot,"
            " cursor_floor = excluded.cursor_floor, source_as_of = excluded.source_as_of, moved_at = clock_timestamp()"
            " where pg_snapshot_xmin(watermark.snapshot) <= pg_snapshot_xmin(excluded.snapshot)"
            "    or exists (select from ledger.batch as now, ledger.batch as was"  # numbers of two sources say nothing
            "      where now.batch_id = excluded.batch_id and was.batch_id = watermark.batch_id and (now.accepts_source"
            "        or (now.source_identity -> 'connection', now.source_identity -> 'table')"
            "         <> (was.source_identity -> 'connection', was.source_identity -> 'table')))",
            [batch.batch_id],
        )

    def _put_tenants(self, batch: Batch, columns: tuple[str, ...], told: Iterable[tuple[Any, ...]]) -> None:
        """Set counts of tenants, in one statement: thousands of tenants would be thousands of round trips."""
        by_column = [list(values) for values in zip(*told, strict=True)]
        if not by_column:
            return
        names = [sql.Identifier(name) for name in columns]
        statement = sql.SQL(
            "insert into ledger.tenant_count (batch_id, tenant_id, {names}) select {batch}, told.* from"
            " unnest(%s::text[], {arrays}) as told on conflict (batch_id, tenant_id) do update"
            " set ({names}) = row({excluded})"
        ).format(
            names=sql.SQL(", ").join(names),
            batch=sql.Literal(batch.batch_id),
            arrays=sql.SQL(", ").join([sql.SQL("%s::bigint[]")] * len(names)),
            excluded=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in columns),
        )
        self._session.execute(statement, by_column)

    def _put_counts(self, batch: Batch, balance: Balance) -> None:
        """Counts per tenant, and their sum on the batch: the total is never a number of its own."""
        told = ((tenant, *asdict(counts).values()) for tenant, counts in balance.tenants.items())
        self._put_tenants(batch, COUNTS, told)
        names = [sql.Identifier(name) for name in COUNTS]
        self._session.execute(
            sql.SQL("update ledger.batch set ({}) = row({}) where batch_id = {}").format(
                sql.SQL(", ").join(names),
                sql.SQL(", ").join(map(sql.Literal, asdict(balance.total).values())),
                sql.Literal(batch.batch_id),
            )
        )

    def _end_attempt(self, attempt_id: int, outcome: str, error: BaseException | None) -> None:
        """Best effort where the step itself failed: its own error matters more than this note."""
        try:
            with telling("recording the end of an attempt in the ledger"):
                self._session.execute(
                    "update ledger.attempt set ended_at = clock_timestamp(), outcome = %s, error_type = %s,"
                    " sqlstate = %s where attempt_id = %s",
                    [outcome, type(error).__name__ if error else None, getattr(error, "sqlstate", None), attempt_id],
                )
        except SynclineError:
            if error is None:
                raise


def _asked_mode(job: SyncJob, request: RunRequest) -> Mode:
    """What to read: asked for, or what the job is made for. Contradictions are told before anything happens."""
    if (request.mode is Mode.REPAIR) != (request.repairs is not None):
        raise TerminalError(f"{job.id}: mode repair belongs to an approved plan: `syncline repair`. Nothing was done.")
    if request.mode is Mode.REPAIR:
        return Mode.REPAIR
    mode = request.mode or job.default_mode
    if request.is_backfill and request.window is not None and job.source.cursor is not None:
        mode = Mode.WINDOW if job.target.write != "replace" else Mode.FULL
    if mode is not Mode.FULL and job.default_mode is Mode.FULL:
        why = "it replaces its target" if job.target.write == "replace" else "its source has no cursor"
        raise TerminalError(f"{job.id}: mode {mode} is not possible: {why}. Nothing was done. Use mode full.")
    if mode is Mode.WINDOW and request.window is None:
        raise TerminalError(f"{job.id}: mode window needs a window: from when to when? Nothing was done.")
    if request.accept_source and (mode is not Mode.FULL or request.tenants or not request.reason.strip()):
        raise TerminalError(
            f"{job.id}: to accept another source needs mode full, every tenant and a reason. Nothing was done. "
            f"`{job.command} --mode full --accept-source --reason '<why>'`"
        )
    if job.target.write == "replace" and request.tenants:
        raise TerminalError(f"{job.id}: a replacing job cannot run for some tenants: the others would vanish.")
    return mode


def _may_go_on(job: SyncJob, request: RunRequest, mode: Mode, earlier: dict[str, Any]) -> bool:
    """Whether an earlier batch of the run is unfinished, and what the run asks for now."""
    window = request.window if mode is Mode.WINDOW and request.window else (None, None)
    return (
        not State(earlier["state"]).is_final
        and earlier["manifest_hash"] == job.manifest_hash
        and earlier["mode"] == mode
        and earlier["is_dry_run"] == request.dry_run
        and (earlier["window_from"], earlier["window_to"]) == window
        and sorted(earlier["tenants"] or []) == sorted(request.tenants or [])
    )


def _batch(row: dict[str, Any]) -> Batch:
    lower = upper = difference = None
    if row["range_bits"] is not None:
        difference = Difference(row["range_bits"], row["compared_ranges"], row["differing_ranges"], row["equal_rows"])
    if row["lower_text"] is not None:
        lower = Lower(row["lower_text"], row["lower_cursor"])
    if row["upper_text"] is not None:
        upper = CutOff(row["upper_text"], row["upper_cursor"], row["source_as_of"], row["source_max_at"])
    return Batch(
        batch_id=row["batch_id"],
        job_id=row["job_id"],
        run_key=row["run_key"],
        mode=Mode(row["mode"]),
        state=State(row["state"]),
        epoch=row["epoch"],
        is_dry_run=row["is_dry_run"],
        tenants=tuple(row["tenants"]) if row["tenants"] is not None else None,
        reason=row["reason"],
        window=(row["window_from"], row["window_to"]) if row["window_from"] is not None else None,
        lower=lower,
        upper=upper,
        manifest_hash=row["manifest_hash"],
        verdict=Verdict(row["verdict"]),
        held_because=row["held_because"],
        accepts_source=row["accepts_source"],
        difference=difference,
        approved_deletes=row["approved_deletes"],
        repair=Repair(tuple(row["send_keys"]), tuple(row["delete_keys"]), row["with_critical"])
        if row["send_keys"] is not None
        else None,
    )
