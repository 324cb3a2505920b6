"""Runs of a control: what was judged, by which report, and who signed it. The audit trail has each step of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from syncline.adapters.ledger.comparisons import DIFFERENCES, Comparisons, summary_of
from syncline.core.control_runs import Compared, ControlState, Decision, Kept
from syncline.core.errors import TerminalError
from syncline.core.record_comparison import SEVERITIES
from syncline.core.values import Verdict


@dataclass(frozen=True)
class ControlRecord:
    """A control run as the ledger knows it; `kept` is None until it is drafted."""

    control_run_id: int
    state: ControlState
    verdict: Verdict
    kept: Kept | None
    signed_sha256: str | None
    signer: str | None
    note: str | None


class ControlRuns(Comparisons):
    """Control runs from their beginning to their signature."""

    def control_run_begun(self, control: str, run_key: str, job_ids: Iterable[str]) -> int:
        """The id of a run; asked again under its key, of the same one, as long as nobody has decided on it.

        Raises:
            TerminalError: It is signed or refused.
        """
        with self._doing(control, "beginning a control run"):
            row = self._one(
                "insert into ledger.control_run as run (control, run_key, job_ids) values (%s, %s, %s)"
                " on conflict (control, run_key) do update set job_ids = excluded.job_ids, begun_at = now(),"
                " state = 'judging'"  # its report is about to be replaced: nobody signs it now
                " where run.state in ('judging', 'drafted') returning control_run_id",
                control,
                run_key,
                list(job_ids),
            )
        if row is None:
            raise TerminalError(
                f"{control}: run '{run_key}' was judged and its report is signed or refused: it stays as it is. "
                f"Nothing was judged. Start a new run of the control."
            )
        return int(row["control_run_id"])

    def compared_in_run(self, run_key: str, control: str, job_ids: Iterable[str]) -> list[Compared]:
        """The newest comparison of each job in a run, in the order asked for; a job without one is there too."""
        rows = self._all(
            "select distinct on (job_id) * from ledger.comparison where run_key = %s and control = %s"
            " order by job_id, comparison_id desc",
            run_key,
            control,
        )
        found = {row["job_id"]: self._compared(row) for row in rows}
        return [found.get(job_id) or Compared(job_id) for job_id in job_ids]

    def _compared(self, row: dict[str, Any]) -> Compared:
        return Compared(
            row["job_id"],
            summary_of(row),
            tuple(self.record_counts(row["comparison_id"])),
            row["target_as_of"],
            row["published_batch_id"],
            tuple(row["tenants"]) if row["tenants"] is not None else None,
        )

    def differing_keys(self, comparison_id: int) -> Generator[dict[str, Any], None, None]:
        """What differs, the worst first: key, class, cause, severity, fields. Close it: it holds a transaction."""
        with self._doing("control run", "reading differences"), self._session.cursor(name="differing") as cursor:
            cursor.execute(
                DIFFERENCES.encode(),
                [comparison_id, list(SEVERITIES)],
            )
            yield from cursor

    def control_run_drafted(
        self,
        control_run_id: int,
        *,
        verdict: Verdict,
        match_ratio: float | None,
        summary: str,
        comparison_ids: Iterable[int],
        evidence: Mapping[str, Any],
        kept: Kept,
    ) -> None:
        """A verdict and the report that shows it, both also in the audit trail.

        Raises:
            TerminalError: Somebody has decided about the run meanwhile.
        """
        with self._doing("control run", f"drafting {control_run_id}"):
            row = self._one(
                "update ledger.control_run set state = 'drafted', verdict = %s, match_ratio = %s, summary = %s,"
                " comparison_ids = %s, evidence = %s, html_path = %s, html_sha256 = %s, csv_path = %s, csv_sha256 = %s,"
                " drafted_at = clock_timestamp() where control_run_id = %s and state in ('judging', 'drafted')"
                " returning control, run_key, job_ids",
                verdict,
                match_ratio,
                summary,
                list(comparison_ids),
                Jsonb(dict(evidence)),
                kept.html_path,
                kept.html_sha256,
                kept.csv_path,
                kept.csv_sha256,
                control_run_id,
            )
            if row is None:
                raise TerminalError(
                    f"control run {control_run_id} was decided on while it was judged anew: it stays as it is. "
                    f"Start a new run of the control."
                )
            self._audit(
                row["control"],
                None,
                "control_drafted",
                {
                    "control_run_id": control_run_id,
                    "run_key": row["run_key"],
                    "job_ids": row["job_ids"],
                    "verdict": verdict,
                    "html_sha256": kept.html_sha256,
                    "csv_sha256": kept.csv_sha256,
                },
            )

    @contextmanager
    def deciding(self, control_run_id: int) -> Iterator[ControlRecord]:
        """A run that nobody else decides on, or judges anew, while somebody does."""
        with self._doing("control run", f"deciding {control_run_id}"):
            self._session.execute(
                "select from ledger.control_run where control_run_id = %s for update", [control_run_id]
            )
            yield self.control_run(control_run_id)

    def control_run_decided(self, control_run_id: int, decision: Decision, *, signed_sha256: str) -> None:
        """The owner's decision about a drafted report; inside of `deciding`."""
        with self._doing("control run", f"recording the decision on {control_run_id}"):
            kept = self._one(
                "update ledger.control_run set state = %s, signer = %s, note = %s, decided_at = %s, signed_sha256 = %s"
                " where control_run_id = %s returning control, html_sha256, csv_sha256, signed_sha256",
                decision.state,
                decision.signer,
                decision.note,
                decision.decided_at,
                signed_sha256,
                control_run_id,
            ) or {}  # fmt: skip
            detail = {"control_run_id": control_run_id, "signer": decision.signer, "note": decision.note, **kept}
            self._audit(detail.pop("control"), None, f"control_{decision.state}", detail)

    def control_run(self, control_run_id: int) -> ControlRecord:
        """Raises TerminalError where there is none of that id."""
        row = self._one(
            "select control_run_id, state, verdict, html_path, html_sha256, csv_path,"
            " csv_sha256, signed_sha256, signer, note from ledger.control_run where control_run_id = %s",
            control_run_id,
        )
        if row is None:
            raise TerminalError(f"control run {control_run_id} is not in the ledger. Nothing was done.")
        paths = {name: row.pop(name) for name in ("html_path", "html_sha256", "csv_path", "csv_sha256")}
        kept = Kept(**paths) if paths["html_sha256"] else None
        words = {"state": ControlState(row["state"]), "verdict": Verdict(row["verdict"])}
        return ControlRecord(**row | words, kept=kept)

    def audited_hashes(self, control_run_id: int) -> dict[str, str]:
        """The hashes that the audit trail has of a run's newest report and of its signature."""
        rows = self._all(
            "select detail from ledger.audit where event like 'control\\_%%'"
            " and (detail ->> 'control_run_id')::bigint = %s order by audit_id",
            control_run_id,
        )
        names = ("html_sha256", "csv_sha256", "signed_sha256")
        return {name: row["detail"][name] for row in rows for name in names if name in row["detail"]}

    def broken_audit_entry(self) -> int | None:
        """The first entry of the audit trail that was changed afterwards; None where the chain is whole."""
        row = self._one("select audit_id from ledger.audit_broken limit 1")
        return row["audit_id"] if row else None
