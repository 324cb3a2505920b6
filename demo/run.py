"""The demo from top to bottom: a world of databases, real Airflow, two rounds of every job, the balance sheet.

    python -m demo.run            stays up until Ctrl-C
    python -m demo.run --once     ends after the balance sheet; exit code 1 if any batch is not `matched`
    python -m demo.run --clean    removes var/, the demo's databases included

Whatever ends it (Ctrl-C, SIGTERM, an error half way) stops everything that it started, and it can be started again
at once: databases are kept, the world is not made anew, interrupted runs are closed.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NoReturn

import psycopg

from demo import balance
from demo.airflow import PORT_DEFAULT, USER, Airflow, AirflowApi, DagRun, choose_port
from demo.balance import Sheet
from demo.problems import DemoError
from demo.servers import EmbeddedServer
from demo.settings import Settings
from demo.story import Story
from demo.vault import Vault
from demo.world.change import change
from demo.world.generate import HubHoldsAnotherWorld, generate
from demo.world.plan import tenant_ids
from demo.world.provision import LOGIN_ROLES, hub_conninfo, provision
from syncline.orchestration.pools import pools  # noqa: TID251  # needs no Airflow: only its file format

PUBLISH_DAG = "publish_tables"
FREE_GB_MIN = 2  # the full world, its targets and their logs
DAGS_WAIT_S = 120
SCHEDULED_WAIT_S = 30
ROUND_WAIT_S = 1800
POLL_S = 1.0
INTERRUPTED = "The demo was interrupted while this run was under way."


def main() -> int:
    asked = _arguments()
    ended_by = _end_politely_on_signals()
    story = Story()
    try:
        settings = Settings.from_environment()
        with _alone(settings.var):
            if asked.clean:
                return _clean(settings)
            with ExitStack() as running:
                try:
                    return _demo(settings, story, running, once=asked.once)
                finally:
                    _ignore_signals()
    except KeyboardInterrupt:
        story.say("Interrupted; everything that was started is stopped. The same command starts it again.")
        return 128 + (ended_by or [signal.SIGINT])[0]
    except DemoError as problem:
        return _give_up(str(problem))
    except psycopg.errors.DiskFull:
        return _give_up("the database's disk is full; make room and run this again.")
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _give_up("the disk is full; make room and run this again.")


def _demo(settings: Settings, story: Story, running: ExitStack, *, once: bool) -> int:
    _check_disk(settings.var)
    Airflow.stop_leftovers(settings.var)
    port = choose_port(settings.airflow_port)
    vault = Vault(settings.var / "secrets")
    admin = _start_postgres(settings, vault, story, running)
    with story.chapter("Databases, roles and row-level security"):
        passwords = {role: vault.password(role) for role in LOGIN_ROLES}
        uris = provision(admin, passwords, tenants=tenant_ids(settings.clients))
    environment = _environment(settings, vault, uris)

    airflow = Airflow(
        settings.var,
        database_uri=uris["AIRFLOW"],
        vault=vault,
        environment=environment,
        port=port,
    )
    _write_shell_file(vault, airflow.environment)
    with story.chapter("The company's data, and Airflow"):
        world = Background(lambda: _make_world(settings, admin, story))
        _parse_dbt(settings, airflow.environment)
        story.note("airflow", "Airflow: metadata")
        running.callback(airflow.stop)
        running.callback(story.say, "Stopping ...")
        airflow.prepare(pools(settings.root))
        airflow.start(lambda text: story.note("airflow", f"Airflow: {text}"))
        story.note("airflow", "")
        world.result()

    sheets, problems = _play(settings, story, airflow, admin)
    story.show(*(sheet.table() for sheet in sheets))
    for problem in problems:
        story.say(f"NOT MATCHED  {problem}")
    if not problems:
        story.say("Every batch is matched with its source and published.")
    if not once:
        _stay_up(settings, story, airflow, vault)
    return 1 if problems else 0


# --- the servers ----------------------------------------------------------------------------------------


def _start_postgres(settings: Settings, vault: Vault, story: Story, running: ExitStack) -> str:
    """The superuser's URI of the server in use: an existing one, or ours."""
    if settings.admin_uri:
        _check_answers(settings.admin_uri)
        story.say("ok  PostgreSQL: the server that SYNCLINE_DEMO_ADMIN names")
        return settings.admin_uri
    server = EmbeddedServer(
        settings.var / "postgres",
        settings.postgres_port,
        password=vault.password("postgres"),
        say=story.say,
    )
    with story.chapter("PostgreSQL"):
        server.start()
    running.callback(server.stop)
    return server.admin_conninfo


def _check_answers(uri: str) -> None:
    try:
        psycopg.connect(uri, connect_timeout=10).close()
    except psycopg.Error as error:
        raise DemoError(
            f"the server that SYNCLINE_DEMO_ADMIN names does not let us in ({type(error).__name__}): check host, "
            "port, user and password, or unset it to use the embedded server."
        ) from None


def _environment(settings: Settings, vault: Vault, uris: Mapping[str, str]) -> dict[str, str]:
    """What the tasks, dbt and the `syncline` command need to know."""
    vault.key("payload")
    return {
        **{f"AIRFLOW_CONN_{name}": uri for name, uri in uris.items() if name != "AIRFLOW"},
        "SYNCLINE_HOME": str(settings.root),
        "SYNCLINE_VAR": str(settings.var),
        "SYNCLINE_SYNC_008_OWNER": USER,
        "SYNCLINE_SYNC_008_ONCALL": "control-owner@example.org",
        "SYNCLINE_DESPITE_WINDOWS": "1",  # the demo's payroll locks nothing at night
        "SYNCLINE_PAYLOAD_KEY_FILE": str(vault.folder / "payload"),
    }


def _write_shell_file(vault: Vault, environment: Mapping[str, str]) -> None:
    """For a shell beside the running demo: `set -a; . var/secrets/demo.env; set +a; .venv/bin/syncline status`."""
    wanted = ("AIRFLOW", "SYNCLINE_", "DBT_", "GX_")
    lines = [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items()) if name.startswith(wanted)]
    vault.write("demo.env", "\n".join(lines) + "\n")


def _make_world(settings: Settings, admin: str, story: Story) -> None:
    try:
        rows = generate(
            hub_conninfo(admin),
            workers=settings.workers,
            clients=settings.clients,
            contracts=settings.contracts,
            seed=settings.seed,
            progress=lambda table, count: story.note("world", f"{table}: {count:,} rows"),
        )
    except HubHoldsAnotherWorld as problem:
        raise DemoError(f"{problem} `make clean` removes the old world.") from None
    story.note("world", "")
    story.say(f"ok  The company: {', '.join(f'{count:,} {table}' for table, count in rows.items())}")


def _parse_dbt(settings: Settings, environment: Mapping[str, str]) -> None:
    """Write the manifest from which `publish_tables` is built."""
    project, target = settings.root / "dbt_project", settings.var / "dbt"
    log = settings.var / "log" / "dbt-parse.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        settings.root / ".venv" / "bin" / "dbt",
        "parse",
        *("--project-dir", project, "--profiles-dir", project),
    ]
    folders = {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(settings.var / "log" / "dbt")}
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd=settings.var,
            env={**environment, **folders},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise DemoError(f"dbt could not read its project; its log is {log}.")


class Background:
    """One function in a thread of its own. A daemon: it never keeps an interrupted demo alive."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._failure: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> None:
        """Wait for the end, and raise what the function raised."""
        while self._thread.is_alive():
            self._thread.join(0.2)  # short, so that Ctrl-C is heard
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as failure:
            self._failure = failure


# --- the rounds -----------------------------------------------------------------------------------------


def _play(settings: Settings, story: Story, airflow: Airflow, admin: str) -> tuple[list[Sheet], list[str]]:
    """Run every job, let a day pass, run every job again: the sheets, and what is not as it should be."""
    api = airflow.api
    jobs = {path.stem for path in (settings.root / "include" / "manifests").glob("*.yaml")}
    dags = {f"sync__{job}" for job in jobs}
    with story.chapter("Airflow reads the manifests"):
        _wait_for_dags(airflow, {*dags, PUBLISH_DAG})
        api.set_paused(PUBLISH_DAG, True)  # not after each of the first seven batches, but once after all
        _close_interrupted_runs(api)
    syncline = settings.root / ".venv" / "bin" / "syncline"

    def round_of(title: str) -> tuple[Sheet, list[str]]:
        with story.chapter(title):
            runs, failed = _run_all(airflow, dags, story)
        sheet = balance.read(title, runs, airflow.environment, syncline)
        return sheet, [*failed, *sheet.problems()]

    first, problems = round_of("Round 1: every job")
    if problems:
        return [first], problems
    with story.chapter("dbt builds the published tables"):
        _begin(airflow, PUBLISH_DAG, datetime.now(UTC))
        problems = _wait_for_publication(airflow)
    with story.chapter("A day passes in the hub: about 1 % changes"):
        change(hub_conninfo(admin), seed=settings.seed)
    second, more_problems = round_of("Round 2: what has changed")
    with story.chapter("dbt follows the published batches"):
        more_problems += _wait_for_publication(airflow)
    return [first, second], [*problems, *more_problems]


def _wait_for_dags(airflow: Airflow, wanted: set[str]) -> None:
    deadline = time.monotonic() + DAGS_WAIT_S
    while missing := wanted - airflow.api.dag_ids():
        airflow.require_running()
        if errors := airflow.api.import_errors():
            told = "; ".join(f"{Path(name).name}: {error}" for name, error in errors.items())
            raise DemoError(f"Airflow could not read a DAG file: {told}")
        if time.monotonic() > deadline:
            raise DemoError(f"Airflow has no DAG {', '.join(sorted(missing))}; its logs are in {airflow.logs}.")
        time.sleep(POLL_S)


def _close_interrupted_runs(api: AirflowApi) -> None:
    """A run that a killed demo left behind would keep its DAG's next run waiting."""
    for run in api.runs("~", states=("running", "queued")):
        api.end_run(run, "failed", INTERRUPTED)


def _run_all(airflow: Airflow, dags: set[str], story: Story) -> tuple[dict[str, str], list[str]]:
    """Run each DAG once and wait for all: the run of each job, and a sentence for each that failed."""
    began = datetime.now(UTC)
    runs = {dag: _begin(airflow, dag, began) for dag in sorted(dags)}
    waiting, failed = dict(runs), []
    deadline = time.monotonic() + ROUND_WAIT_S
    while waiting and time.monotonic() < deadline:
        airflow.require_running()
        story.note("runs", f"{len(runs) - len(waiting)} of {len(runs)} done, under way: {_names(waiting)}")
        for dag in list(waiting):
            run = airflow.api.run(dag, runs[dag].run_id)
            if run.is_over:
                del waiting[dag]
                story.say(f"    {_job(dag)}: {run.state} after {(datetime.now(UTC) - began).total_seconds():.0f} s")
                failed += [f"{_job(dag)}: the run {run.run_id} failed."] if run.state == "failed" else []
        time.sleep(POLL_S)
    failed += [f"{_job(dag)}: the run was not done after {ROUND_WAIT_S} s." for dag in waiting]
    return {_job(dag): run.run_id for dag, run in runs.items()}, failed


def _begin(airflow: Airflow, dag: str, began: datetime) -> DagRun:
    """Start one run; where the schedule owes one, switching the DAG on is enough."""
    is_owed = airflow.api.owes_a_run(dag)
    airflow.api.set_paused(dag, False)
    deadline = time.monotonic() + (SCHEDULED_WAIT_S if is_owed else 0)
    while time.monotonic() < deadline:
        new = [run for run in airflow.api.runs(dag) if run.queued_at and run.queued_at >= began]
        if new:
            return new[0]
        airflow.require_running()
        time.sleep(POLL_S / 2)
    return airflow.api.trigger(dag)


def _wait_for_publication(airflow: Airflow) -> list[str]:
    """Wait until no run is under way and no published batch waits for one: a sentence if the last one failed."""
    deadline = time.monotonic() + ROUND_WAIT_S
    while time.monotonic() < deadline:
        airflow.require_running()
        waits = airflow.api.has_waiting_asset_events(PUBLISH_DAG)
        runs = airflow.api.runs(PUBLISH_DAG)
        if runs and not waits and all(run.is_over for run in runs):
            last = runs[0]
            return [] if last.state == "success" else [f"{PUBLISH_DAG}: the run {last.run_id} {last.state}."]
        time.sleep(POLL_S)
    return [f"{PUBLISH_DAG}: not done after {ROUND_WAIT_S} s."]


def _names(dags: Mapping[str, DagRun]) -> str:
    shown = [_job(dag) for dag in list(dags)[:3]]
    return ", ".join(shown) + (" ..." if len(dags) > len(shown) else "")


def _job(dag: str) -> str:
    return dag.removeprefix("sync__")


# --- beginning and end ----------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=(__doc__ or "").splitlines()[0])
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--once", action="store_true", help="end after the balance sheet")
    ways.add_argument("--clean", action="store_true", help="remove var/, with the demo's databases")
    return parser.parse_args()


def _stay_up(settings: Settings, story: Story, airflow: Airflow, vault: Vault) -> None:
    """Show the way into Airflow and wait for Ctrl-C, or for a part that ends by itself."""
    story.say("")
    if settings.airflow_port is None and airflow.port != PORT_DEFAULT:
        story.say(f"Port {PORT_DEFAULT} is taken by another program, so Airflow uses {airflow.port}.")
    story.say(f"Airflow   {airflow.url}   user {USER}   password {airflow.password}")
    story.say(f"Shell     set -a; . {vault.folder / 'demo.env'}; set +a; .venv/bin/syncline status")
    story.say("Ctrl-C stops everything; the databases are kept for the next time (`make clean` removes them).")
    try:
        while True:
            airflow.require_running()
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        return


def _clean(settings: Settings) -> int:
    Airflow.stop_leftovers(settings.var)
    EmbeddedServer(settings.var / "postgres").stop_leftover()
    shutil.rmtree(settings.var)
    return 0


def _check_disk(var: Path) -> None:
    free_gb = shutil.disk_usage(var).free / 1e9
    if free_gb < FREE_GB_MIN:
        raise DemoError(
            f"the disk of {var} has {free_gb:.1f} GB free and the demo needs {FREE_GB_MIN}; make room and run "
            "this again."
        )


@contextmanager
def _alone(var: Path) -> Iterator[None]:
    """One demo per checkout; the lock goes with the process, however that ends."""
    (var / "run").mkdir(parents=True, exist_ok=True)
    with (var / "run" / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"the demo of this checkout is already running (process {_first_line(lock)}): stop it with Ctrl-C "
                "in its own terminal first."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _first_line(file: IO[str]) -> str:
    file.seek(0)
    return file.readline().strip() or "unknown"


def _end_politely_on_signals() -> list[int]:
    """Make SIGTERM and a closed terminal end the demo as Ctrl-C does; the list tells which one came."""
    came: list[int] = []

    def end(number: int, _frame: object) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    return came


def _ignore_signals() -> None:
    """While things are being stopped, a second Ctrl-C must not leave the rest running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _give_up(sentence: str) -> int:
    print(f"demo: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
