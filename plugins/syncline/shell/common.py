"""What every command of the shell needs: how a job is named, when it may run, where output goes, which run it is."""

from __future__ import annotations

import logging
import sys
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from syncline.adapters import project
from syncline.core.cron import moment
from syncline.core.errors import EnvironmentFailure
from syncline.core.files.findings import nearest
from syncline.core.job import SyncJob
from syncline.core.job_files import job_ids, load_job
from syncline.core.windows import closed

WIDTH_PIPED = 200  # for grep and less: nothing is cut
WIDTH_MIN = 110  # a narrower terminal wraps the line; a table squeezed into it could not be read
out = Console(soft_wrap=True)
out.width = max(out.width, WIDTH_MIN if out.is_terminal else WIDTH_PIPED)
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The manifest's file stem, e.g. mdm__payroll__worker")]
Reason = Annotated[str, typer.Option(help="Why; kept in the ledger")]
DespiteWindows = Annotated[bool, typer.Option("--despite-windows", help="Begin in closed hours; needs --reason")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Abandon what is under way, or was left unfinished")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs")]


def find_job(job_id: str) -> SyncJob:
    """The job of that name; a name that nobody has is wrong usage."""
    known = job_ids(project.root())
    if job_id not in known:
        near = nearest(job_id, known)
        raise typer.BadParameter(
            f"there is no job '{job_id}'; one of: {', '.join(known) or 'none'}"
            + (f". Did you mean '{near}'?" if near else "")
        )
    return load_job(project.root(), job_id)


def require_open_hours(job: SyncJob, reason: str = "", *, despite_windows: bool = False) -> None:
    """A shell does not wait for hours: it says when to come back."""
    if despite_windows and not reason.strip():
        raise typer.BadParameter("--despite-windows needs --reason: who of the system's owners agreed?")
    found = closed(job.manifest, "open", datetime.now(UTC))
    if found is None or despite_windows or project.ignores_windows():
        return
    raise EnvironmentFailure(
        f"{job.id}: {found.window}, and a run takes about {job.manifest.schedule.run_minutes} minutes. Nothing was "
        f"opened. Run it from {moment(found.until, job.manifest.schedule.timezone)} on; or, if the owner agrees, now "
        f"with --despite-windows and --reason"
    )


def tell_progress() -> None:
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("syncline").setLevel(logging.INFO)


def run_key() -> str:
    """A run of the shell: no two have the same."""
    return f"shell__{datetime.now(UTC):%Y%m%dT%H%M%S}__{uuid.uuid4().hex[:8]}"
