"""Real Airflow on this machine: its four parts as own child processes, and a small client for its REST API.

`airflow standalone` would start the same four, but it forgets them when it is terminated (only Ctrl-C stops them in
order), mixes their logs, and opens two log servers on all network addresses. So each part is started here, with a
log file of its own, on loopback, and tied to the demo's life (see processes.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlparse

import psutil
import psycopg
import requests

from demo.problems import DemoError, free_port, is_free, require_free_port
from demo.processes import Book, Started, spawn, stop
from demo.settings import ROOT
from demo.vault import Vault

PORT_DEFAULT = 8080
PARALLELISM = 4  # LocalExecutor forks this many workers at once, 90 MB each; 2 cores have no use for more
USER = "admin"
API_SERVER = "api-server"
PARTS = {  # without the log servers: the API server reads the same files
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    API_SERVER: (API_SERVER,),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
MIGRATE_WAIT_S = 180
HEALTHY_WAIT_S = 180
STOP_GRACE_S = 5  # a task that needs longer is cancelled; clearing it repeats nothing
POLL_S = 0.5
FINAL = ("success", "failed")
SOCKET_PATH_MAX = 60  # Python puts sockets below TMPDIR, and the system allows them 107 bytes in all

PRELOADED = (  # imported once, before the workers are forked, instead of in every task: 2 to 4 s of it each
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "cosmos.airflow.dag",
    "dbt.cli.main",
    "great_expectations",
    "syncline.steps",
)
VARIABLES = {  # never taken from the shell that started the demo
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    "AIRFLOW__API__HOST": "127.0.0.1",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__API__INSTANCE_NAME": "Syncline demo",
    "AIRFLOW__API__EXPOSE_CONFIG": "False",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
    "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
    "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": ",".join(PRELOADED),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",  # a killed demo's tasks are noticed soon
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "SCARF_ANALYTICS": "false",
}


class Airflow:
    """One Airflow, below one folder.

    Args:
        var: Gets airflow/, log/, tmp/ and cache/. Nothing is written anywhere else.
        database_uri: An empty database, or the one of an earlier start; `postgresql://`.
        environment: What the tasks need beyond Airflow's own, such as `AIRFLOW_CONN_*`.
        port: Of the UI and API; see `choose_port`.
    """

    def __init__(
        self,
        var: Path,
        *,
        database_uri: str,
        port: int,
        vault: Vault,
        environment: Mapping[str, str],
        dags: Path = ROOT / "dags",
        plugins: Path = ROOT / "plugins",
    ) -> None:
        self.var, self.home, self.logs = var, var / "airflow", var / "log"
        self.port = port
        self.url = f"http://127.0.0.1:{self.port}"
        self.password = vault.password("airflow_admin")
        self.api = AirflowApi(self.url, USER, self.password)
        self._database_uri = database_uri
        self._book = _book(var)
        self._running: dict[str, tuple[subprocess.Popen[bytes], Started]] = {}
        self._environment = {
            **_inherited(),
            **VARIABLES,
            **self._folders(dags, plugins),
            **self._secrets(vault),
            **environment,
        }

    @staticmethod
    def stop_leftovers(var: Path) -> None:
        """End what an earlier demo, killed half way, left running; before a port is chosen."""
        _book(var).stop_leftovers(grace_s=STOP_GRACE_S)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a shell or another program needs to speak with this Airflow."""
        return self._environment

    def prepare(self, pools: Mapping[str, Mapping[str, Any]]) -> None:
        """Make or update the metadata tables, and set the pools."""
        self.home.mkdir(parents=True, exist_ok=True)
        if self._schema() is None or self._schema() != self._schema_seen():
            self._run_command("migrate", "db", "migrate")
            self._schema_file.write_text(json.dumps(self._schema()))
        if pools:
            file = self.home / "pools.json"
            file.write_text(json.dumps(dict(pools), indent=2))
            self._run_command("pools", "pools", "import", str(file))

    def start(self, on_progress: Callable[[str], None] = lambda _text: None) -> None:
        """Start all parts and return when each of them reports itself healthy.

        Raises:
            DemoError: A part ended, or they were not healthy in time.
        """
        for name, command in PARTS.items():
            self._start_part(name, command)
        deadline = time.monotonic() + HEALTHY_WAIT_S
        while time.monotonic() < deadline:
            self.require_running()
            unhealthy = self.api.unhealthy_parts() if self._listens() else list(PARTS)
            if not unhealthy:
                self.api.log_in()
                return
            on_progress(f"waiting for {', '.join(unhealthy)}")
            time.sleep(POLL_S)
        raise DemoError(f"Airflow was not healthy after {HEALTHY_WAIT_S} s; its logs are in {self.logs}.")

    def _listens(self) -> bool:
        """Whether it is our API server that answers on the port, and not one that took it in the meantime."""
        process = self._running[API_SERVER][1].process()
        try:
            sockets = process.net_connections("tcp") if process else []
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == self.port for each in sockets)

    def require_running(self) -> None:
        """Raise DemoError when one of the parts has ended by itself."""
        for name, (process, _started) in self._running.items():
            if process.poll() is not None:
                if name == API_SERVER and not is_free(self.port):
                    raise DemoError(f"port {self.port} was taken by another program meanwhile; run this again.")
                raise DemoError(
                    f"Airflow's {name} ended by itself (exit code {process.returncode}); its log is {self._log(name)}."
                )

    def stop(self) -> None:
        """Stop all parts and every task below them. Safe to call at any moment, also twice."""
        self.api.close()
        api_server = [self._running[name][1] for name in self._running if name == API_SERVER]
        others = [self._running[name][1] for name in self._running if name != API_SERVER]
        stop(others, grace_s=STOP_GRACE_S)
        stop(api_server, grace_s=STOP_GRACE_S)
        for process, _started in self._running.values():
            process.wait()
        self._running.clear()
        self._book.close()

    def _start_part(self, name: str, command: tuple[str, ...]) -> None:
        process = spawn([_airflow(), *command], log=self._log(name), cwd=self.home, env=self._environment)
        started = Started.of(name, process.pid)
        self._running[name] = (process, started)
        self._book.add(started)

    def _run_command(self, name: str, *command: str) -> None:
        log = self._log(name)
        self._start_part(name, command)
        process, started = self._running[name]
        try:
            if process.wait(MIGRATE_WAIT_S):
                raise DemoError(f"`airflow {' '.join(command[:2])}` failed; its log is {log}.")
        except subprocess.TimeoutExpired:
            stop([started], grace_s=STOP_GRACE_S)
            raise DemoError(f"`airflow {' '.join(command[:2])}` did not end; its log is {log}.") from None
        del self._running[name]

    def _log(self, name: str) -> Path:
        return self.logs / f"airflow-{name}.log"

    @property
    def _schema_file(self) -> Path:
        return self.home / "schema.json"

    def _schema_seen(self) -> list[str] | None:
        try:
            seen: list[str] = json.loads(self._schema_file.read_text())
        except (OSError, ValueError):
            return None
        return seen

    def _schema(self) -> list[str] | None:
        """The version of the metadata tables and of the Airflow that made them, if they are there."""
        from importlib.metadata import version

        try:
            with psycopg.connect(self._database_uri) as connection:
                row = connection.execute("select version_num from alembic_version").fetchone()
                slot = connection.execute("select count(*) from slot_pool").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return [version("apache-airflow"), str(row[0])] if row and slot else None

    def _folders(self, dags: Path, plugins: Path) -> dict[str, str]:
        temporary = self.var / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        scheme, rest = self._database_uri.split("://", 1)
        variables = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__COSMOS__CACHE_DIR": str(self.var / "cache" / "cosmos"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"{scheme}+psycopg2://{rest}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.logs / "dag_processor"),
            "XDG_CACHE_HOME": str(self.var / "cache"),
        }
        if len(str(temporary)) <= SOCKET_PATH_MAX:
            variables["TMPDIR"] = str(temporary)
        return variables

    def _secrets(self, vault: Vault) -> dict[str, str]:
        passwords = vault.write("airflow_users.json", json.dumps({USER: self.password}) + "\n")
        return {
            "AIRFLOW__CORE__FERNET_KEY": vault.key("airflow_fernet"),
            "AIRFLOW__API__SECRET_KEY": vault.key("airflow_api"),
            "AIRFLOW__API_AUTH__JWT_SECRET": vault.key("airflow_jwt"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        }


@dataclass(frozen=True)
class DagRun:
    """One run of one DAG, as the API tells it."""

    dag_id: str
    run_id: str
    state: str
    queued_at: datetime | None

    @property
    def is_over(self) -> bool:
        return self.state in FINAL


class AirflowApi:
    """The few calls of the REST API (v2) that the demo makes. Errors name the call, never a password."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between us and loopback

    def close(self) -> None:
        """Let go of the connection: the API server waits for those still open before it ends."""
        self._session.close()

    def unhealthy_parts(self) -> list[str]:
        """Which parts do not report themselves healthy; all of them while the API does not answer."""
        parts = ["scheduler", "dag_processor", "triggerer"]
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5)
            health = answer.json() if answer.ok else {}
        except (requests.RequestException, ValueError):
            return ["api_server", *parts]
        return [part for part in parts if (health.get(part) or {}).get("status") != "healthy"]

    def log_in(self) -> None:
        answer = self._session.post(f"{self.url}/auth/token", json=self._login, timeout=30)
        if answer.status_code != 201:
            raise DemoError(f"Airflow did not accept the demo's own password (HTTP {answer.status_code}).")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def import_errors(self) -> dict[str, str]:
        """The DAG files that could not be read: file name and the last line of what Airflow says."""
        return {
            str(error["filename"]): error["stack_trace"].strip().splitlines()[-1]
            for error in self._pages("/importErrors", "import_errors")
        }

    def dag_ids(self) -> set[str]:
        return {str(dag["dag_id"]) for dag in self._pages("/dags", "dags")}

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self._call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": paused})

    def owes_a_run(self, dag_id: str) -> bool:
        """Whether the scheduler will start a run by itself: an interval of its schedule is complete."""
        due = _time(self._call("GET", f"/dags/{dag_id}").get("next_dagrun_run_after"))
        return due is not None and due <= datetime.now(UTC)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> DagRun:
        body = {"logical_date": None, "conf": dict(conf or {})}
        return _dag_run(self._call("POST", f"/dags/{dag_id}/dagRuns", body))

    def runs(self, dag_id: str, *, states: tuple[str, ...] = ()) -> list[DagRun]:
        """The newest runs of a DAG, newest first; `~` stands for all DAGs."""
        chosen = "".join(f"&state={state}" for state in states)
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns?order_by=-id&limit=50{chosen}")
        return [_dag_run(run) for run in answer["dag_runs"]]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        return _dag_run(self._call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"))

    def end_run(self, run: DagRun, state: Literal["failed", "success"], note: str) -> None:
        path = f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"
        self._call("PATCH", path, {"state": state, "note": note})

    def has_waiting_asset_events(self, dag_id: str) -> bool:
        """Whether an asset was updated that the DAG has not yet been run for."""
        answer = self._request("GET", f"/dags/{dag_id}/assets/queuedEvents")
        return answer.status_code != 404 and bool(self._checked(answer)["total_entries"])

    def _pages(self, path: str, name: str) -> Iterator[Any]:
        offset = 0
        while True:
            answer = self._call("GET", f"{path}?limit=100&offset={offset}")
            yield from answer[name]
            offset += len(answer[name])
            if not answer[name] or offset >= answer["total_entries"]:
                return

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._checked(self._request(method, path, body))

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        try:
            return self._session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=60)
        except requests.RequestException as error:
            raise DemoError(f"Airflow's API does not answer ({method} {path}: {type(error).__name__}).") from None

    @staticmethod
    def _checked(answer: requests.Response) -> Any:
        if answer.ok:
            return answer.json() if answer.content else {}
        path = urlparse(answer.url).path
        raise DemoError(
            f"Airflow refused {answer.request.method} {path} (HTTP {answer.status_code}): {answer.text[:300]}"
        )


def _book(var: Path) -> Book:
    return Book(var / "run" / "airflow.json")


def choose_port(wanted: int | None) -> int:
    """The port asked for, or 8080, or, where that is taken, another free one.

    Raises:
        DemoError: The port asked for is taken.
    """
    if wanted is not None:
        require_free_port(wanted, what="Airflow", variable="SYNCLINE_AIRFLOW_PORT")
        return wanted
    return PORT_DEFAULT if is_free(PORT_DEFAULT) else free_port()


def _inherited() -> dict[str, str]:
    """The environment without another Airflow's settings, the tools of .venv first, loopback past any proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    direct = [address for address in (kept.get("NO_PROXY") or kept.get("no_proxy") or "").split(",") if address]
    kept["NO_PROXY"] = kept["no_proxy"] = ",".join([*direct, "127.0.0.1", "localhost"])
    kept["PATH"] = os.pathsep.join([str(_airflow().parent), kept.get("PATH", os.defpath)])
    return kept


def _airflow() -> Path:
    return ROOT / ".venv" / "bin" / "airflow"


def _dag_run(answer: Mapping[str, Any]) -> DagRun:
    return DagRun(answer["dag_id"], answer["dag_run_id"], answer["state"], _time(answer.get("queued_at")))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
