"""The world of the benchmarks: one server, a hub with many rows, and a warehouse that every contender finds empty.

The hub is built once and kept below var/bench between runs; it is built anew when its SQL or the number of rows
changes. The warehouse is dropped and made before each measurement, so nobody profits from another's leavings.
What changes between a first and a second run changes in a copy of the hub, `MOVING`; each contender's loaded
warehouse is kept as a template, from which it finds its own starting state again in every round.
Server settings are the demo's, the same for all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from demo.servers import EmbeddedServer
from demo.vault import Vault
from demo.world import provision

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("SYNCLINE_BENCH_FOLDER") or ROOT / "var" / "bench")  # the tests have one of their own
SQL = Path(__file__).parent / "sql"
PROJECT = Path(__file__).parent / "project"
JOB = "mdm__warehouse__assignment"
COPY_JOB = "mdm__warehouse__copy"  # the same table, column by column: what compare.py compares
HUB, MOVING, WAREHOUSE = "bench_hub", "bench_moving", "bench_warehouse"
KEY_SET = "full"  # what the manifest says: vanished rows are looked for in full runs
LOADED = "bench_loaded_"  # and the contender's name
LOGINS = ("syncline_reader", "syncline_loader", "syncline_ledger")
SHOWN_SETTINGS = (
    "server_version", "shared_buffers", "work_mem", "maintenance_work_mem", "max_wal_size", "checkpoint_timeout",
    "wal_level", "fsync", "synchronous_commit", "full_page_writes", "jit", "max_parallel_workers_per_gather",
)  # fmt: skip

Say = Callable[[str], None]


def say(sentence: str) -> None:
    print(sentence, flush=True)


class World:
    """A running server with the hub filled. Made by `running`."""

    def __init__(self, server: EmbeddedServer, say: Say) -> None:
        self.server, self._say = server, say
        self._vault = Vault(FOLDER / "secrets")

    def prepare(self, rows: int) -> None:
        """Make the roles and, where it is missing or another one, the hub."""
        with self._connect("postgres") as admin:
            admin.execute((provision.SQL / "roles.sql").read_bytes())
            for login in LOGINS:
                admin.execute(
                    sql.SQL("alter role {} password {}").format(
                        sql.Identifier(login), sql.Literal(self._vault.password(login))
                    )
                )
        if self._hub_is(self._fingerprint(rows)):
            self._say(f"hub: {rows:,} rows of an earlier run")
            return
        self._build_hub(rows)

    def fresh_warehouse(self) -> None:
        """An empty target database with corridor, tenant wall and ledger, and a server with nothing left to flush."""
        self._create_database(WAREHOUSE, owner="syncline_owner")
        with self._connect(WAREHOUSE) as admin:
            admin.execute(sql.SQL("grant create on database {} to syncline_ledger").format(sql.Identifier(WAREHOUSE)))
            admin.execute("set role syncline_owner")
            for path in (*_scripts(ROOT / "include" / "target"), SQL / "warehouse.sql"):
                admin.execute(path.read_bytes())
            admin.execute((provision.SQL / "tenant_tables.sql").read_bytes())
            for job_id in (JOB, COPY_JOB):
                admin.execute("insert into syncline.job_tenant (job_id, tenant_id) values (%s, '*')", [job_id])
            admin.execute("set role syncline_ledger")
            for path in _scripts(ROOT / "include" / "ledger"):
                admin.execute(path.read_bytes())
            admin.execute("reset role")
            admin.execute("checkpoint")

    def moving_hub(self) -> None:
        """A copy of the hub that may be changed."""
        self._create_database(MOVING, owner="mdm_owner", template=HUB)

    def happen(self, script: str) -> None:
        """Let something happen in the moving hub: one transaction of a file of sql/."""
        with self._connect(MOVING) as hub:
            hub.execute((SQL / script).read_bytes())

    def happen_in_warehouse(self, script: str) -> None:
        """The same in the warehouse."""
        with self._connect(WAREHOUSE) as warehouse:
            warehouse.execute((SQL / script).read_bytes())

    def settle_warehouse(self) -> None:
        """Leave the warehouse as autovacuum would, and a server with nothing left to flush."""
        with self._connect(WAREHOUSE) as admin:
            admin.execute("vacuum (analyze)")
            admin.execute("checkpoint")

    def keep_warehouse(self, contender: str) -> None:
        """Put the warehouse aside as what a contender has loaded, as autovacuum would have left it by the next run."""
        with self._connect(WAREHOUSE) as admin:
            admin.execute("vacuum (analyze)")
        self._drop_database(LOADED + contender)
        with self._connect("postgres") as admin:
            admin.execute(
                sql.SQL("alter database {} rename to {}").format(
                    sql.Identifier(WAREHOUSE), sql.Identifier(LOADED + contender)
                )
            )

    def loaded_warehouse(self, contender: str) -> None:
        """The warehouse as it was put aside, and a server with nothing left to flush."""
        self._create_database(WAREHOUSE, owner="syncline_owner", template=LOADED + contender)
        with self._connect(WAREHOUSE) as admin:
            admin.execute("checkpoint")

    def unmapped_table(self) -> None:
        """The hub's table once more, empty, in the warehouse: where the limit copies to."""
        with self._connect(WAREHOUSE) as admin:
            admin.execute((SQL / "hub.sql").read_bytes())
            admin.execute("alter table mdm.assignment add primary key (tenant_id, assignment_id)")

    def tidy(self) -> None:
        """Drop everything but the hub."""
        with self._connect("postgres") as admin:
            found = admin.execute("select datname from pg_database where datname ^@ %s", [LOADED]).fetchall()
        for name in (WAREHOUSE, MOVING, *(row[0] for row in found)):
            self._drop_database(name)

    def ask(self, database: str, question: str) -> tuple[object, ...]:
        """The first row of an answer, asked as superuser."""
        with self._connect(database) as admin:
            return admin.execute(question.encode()).fetchone() or ()

    def settings(self) -> dict[str, str]:
        with self._connect("postgres") as admin:
            return dict(
                admin.execute(
                    "select name, current_setting(name) from pg_settings where name = any(%s)", [list(SHOWN_SETTINGS)]
                ).fetchall()
            )

    def superuser_uri(self, database: str, driver: str = "postgresql") -> str:
        """For the limit and the peers: no row security, no rights to wait for."""
        return f"{driver}://postgres:{quote(self.server.password, safe='')}@127.0.0.1:{self.server.port}/{database}"

    def environment(self, hub: str = HUB, key_set: str = KEY_SET) -> dict[str, str]:
        """What `syncline` needs to know: its project, three connections and a key for rejected rows."""
        return {
            "SYNCLINE_HOME": str(self.project(key_set)),
            "SYNCLINE_PAYLOAD_KEY": self._vault.key("payload"),
            "AIRFLOW_CONN_MDM": self._login_uri("syncline_reader", hub),
            "AIRFLOW_CONN_WAREHOUSE": self._login_uri("syncline_loader", WAREHOUSE),
            "AIRFLOW_CONN_LEDGER": self._login_uri("syncline_ledger", WAREHOUSE),
        }

    def project(self, key_set: str = KEY_SET) -> Path:
        """A project of its own: this benchmark's manifest and mapping with the checkout's expectations.

        Args:
            key_set: What the manifest is made to say under `source.key_set`.
        """
        home = FOLDER / "project"
        shutil.rmtree(home / "include", ignore_errors=True)
        shutil.copytree(PROJECT / "include", home / "include")
        shutil.copytree(ROOT / "include" / "expectations", home / "include" / "expectations")
        manifest = home / "include" / "manifests" / f"{JOB}.yaml"
        manifest.write_text(manifest.read_text().replace(f"key_set: {KEY_SET}", f"key_set: {key_set}"))
        return home

    def _login_uri(self, login: str, database: str) -> str:
        password = quote(self._vault.password(login), safe="")
        return f"postgresql://{login}:{password}@127.0.0.1:{self.server.port}/{database}"

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(make_conninfo(self.server.admin_conninfo, dbname=database), autocommit=True)

    def _create_database(self, name: str, *, owner: str, template: str | None = None) -> None:
        """A copy of another one's files; or empty, with the demo's built-in locale: equal on every machine."""
        made = "create database {} owner {} template {} strategy file_copy"
        if template is None:
            made += " encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"
        self._drop_database(name)
        with self._connect("postgres") as admin:
            admin.execute(
                sql.SQL(made).format(
                    sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template or "template0")
                )
            )

    def _drop_database(self, name: str) -> None:
        with self._connect("postgres") as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def _build_hub(self, rows: int) -> None:
        self._say(f"hub: building {rows:,} rows of 25 columns (kept for the next run) ...")
        self._create_database(HUB, owner="mdm_owner")
        with self._connect(HUB) as hub:
            hub.execute((SQL / "hub.sql").read_bytes())
            hub.execute("select set_config('bench.rows', %s, false)", [str(rows)])
            hub.execute((SQL / "hub_rows.sql").read_bytes())
            hub.execute("alter table mdm.assignment add primary key (tenant_id, assignment_id)")
            hub.execute("create index on mdm.assignment (updated_at)")
            hub.execute((SQL / "by_hand.sql").read_bytes())
            hub.execute("grant usage on schema mdm to syncline_reader")
            hub.execute("grant select on all tables in schema mdm to syncline_reader")
            hub.execute("vacuum (freeze, analyze) mdm.assignment")
            hub.execute(
                sql.SQL("comment on database {} is {}").format(
                    sql.Identifier(HUB), sql.Literal(self._fingerprint(rows))
                )
            )

    def _hub_is(self, fingerprint: str) -> bool:
        """The comment is written last: a hub that was interrupted has none."""
        with self._connect("postgres") as admin:
            found = admin.execute(
                "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [HUB]
            ).fetchone()
        return found is not None and found[0] == fingerprint

    @staticmethod
    def _fingerprint(rows: int) -> str:
        text = b"".join((SQL / name).read_bytes() for name in ("hub.sql", "hub_rows.sql", "by_hand.sql"))
        return f"{rows} rows of {hashlib.sha256(text).hexdigest()[:16]}"


@contextmanager
def running(rows: int, say: Say) -> Iterator[World]:
    """Start the server, fill the hub, and stop the server at the end whatever happens."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with EmbeddedServer(FOLDER / "postgres", say=say) as server:
        world = World(server, say)
        world.tidy()
        world.prepare(rows)
        try:
            yield world
        finally:
            world.tidy()


def introduce(world: World, rows: int, rounds: int) -> None:
    """Say what is measured, and where."""
    say(f"{rows:,} rows, {rounds} rounds, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    say("server: " + ", ".join(f"{name} {value}" for name, value in world.settings().items()))


def _scripts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))
