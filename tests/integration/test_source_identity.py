"""A source that is not the one that the watermark belongs to is a hard stop (fault F28), and a person may accept it.

Restored copies, replicas and promotions are real: `pg_basebackup` of a server of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from demo.servers import EmbeddedServer
from demo.world.provision import LOGIN_ROLES, provision
from syncline.core.errors import SchemaDrift, SourceReplaced, TerminalError, TransientError
from syncline.core.values import Mode, State, Verdict
from tests.conftest import ROOT
from tests.integration.conftest import JOB, SOURCE_DDL, Lab, lab_on
from tests.integration.faults import person, until

XIDS, BEFORE_THE_END, XIDS_PER_SEGMENT = 2**32, 3_000, 32 * 8192 * 4
USE_NUMBERS = """
create temp table used (n integer);
do $$ begin
    for n in 1..4000 loop begin insert into used values (n); exception when others then raise; end; end loop;
end $$
"""  # a subtransaction each
REMAKE = SOURCE_DDL.replace("drop schema if exists lab cascade;\ncreate schema lab;", "drop table lab.person;")


def mark(lab: Lab) -> list[dict[str, Any]]:
    return lab.ledger("select * from ledger.watermark")


# -- another table --------------------------------------------------------------------------------------------


def test_F28_a_table_that_was_made_anew_stops_the_job_until_a_person_accepts_it(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    before = mark(lab)
    lab.sql("mdm", REMAKE)
    lab.hub(person("p1", name="Bea"), person("p2"))

    for mode in (None, Mode.FULL):
        with pytest.raises(SourceReplaced, match=r"source identity changed: .* oid of lab.person \d+, it was \d+"):
            lab.run(mode=mode)
    assert (lab.people(), mark(lab)) == ({"t1/p1": "Ann", "t1/p2": "Ann"}, before)
    done = lab.run(mode=Mode.FULL, accept_source=True, reason="TICKET-1: table was rebuilt")
    lab.hub(person("p3"))
    after = lab.run()

    assert (done.state, done.verdict, done.counts.updated_rows) == (State.PUBLISHED, Verdict.MATCHED, 2)
    assert (after.mode, after.counts.extracted_rows) == (Mode.INCREMENTAL, 1)
    (entry,) = lab.ledger("select batch_id, detail from ledger.audit where event = 'source_accepted'")
    assert (entry["batch_id"], entry["detail"]["reason"]) == (done.batch_id, "TICKET-1: table was rebuilt")
    assert "oid of lab.person" in entry["detail"]["differences"][0]


@pytest.mark.parametrize(
    "asked", [{"reason": "x"}, {"mode": Mode.FULL}, {"mode": Mode.FULL, "reason": " "},
              {"mode": Mode.FULL, "reason": "x", "tenants": ("t1",)}],
)  # fmt: skip
def test_another_source_is_accepted_with_all_rows_and_a_reason_only(lab: Lab, asked: dict[str, Any]) -> None:
    lab.hub(person("p1"))
    lab.run()

    with pytest.raises(TerminalError, match="needs mode full, every tenant and a reason"):
        lab.run(accept_source=True, **asked)


def test_the_command_that_the_error_names_accepts_the_source(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", REMAKE)
    lab.hub(person("p1"))

    refused = lab.shell("run", JOB)
    accepted = lab.shell("run", JOB, "--mode", "full", "--accept-source", "--reason", "TICKET-2")

    assert refused.returncode == 1
    assert f"`syncline run {JOB} --mode full --accept-source --reason '<why>'`" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (accepted.returncode, "is published, matched" in accepted.stdout) == (0, True)


def test_a_job_that_reads_everything_each_time_may_be_given_a_new_table(lab: Lab) -> None:
    del lab.manifest["source"]["cursor"], lab.manifest["target"]["version"]
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", REMAKE)
    lab.hub(person("p1", name="Bea"))

    assert lab.run().counts.updated_rows == 1


def test_another_table_that_the_manifest_names_is_meant_so(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "create table lab.worker (like lab.person including all); insert into lab.worker select * from"
                   " lab.person; grant select on lab.worker to syncline_reader")  # fmt: skip
    lab.manifest["source"]["table"] = "lab.worker"

    moved = lab.run()
    lab.sql("mdm", "insert into lab.worker (tenant_id, person_id, name) values ('t1', 'p2', 'Bob')")
    after = lab.run()

    assert (moved.mode, after.mode, after.counts.extracted_rows) == (Mode.FULL, Mode.INCREMENTAL, 1)


def test_where_a_role_may_not_ask_the_rest_is_still_compared(lab: Lab) -> None:
    functions = "pg_control_system(), pg_walfile_name(pg_lsn), pg_current_wal_flush_lsn()"
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", f"revoke execute on function {functions} from public")
    try:
        lab.hub(person("p2"))
        assert lab.run().counts.extracted_rows == 1
        lab.sql("mdm", REMAKE)
        with pytest.raises(SourceReplaced, match="oid of lab.person"):
            lab.run()
    finally:
        lab.sql("mdm", f"grant execute on function {functions} to public")
    (row,) = lab.ledger("select source_identity from ledger.batch order by batch_id desc offset 1 limit 1")
    assert (row["source_identity"]["system"], row["source_identity"]["timeline"]) == (None, None)


def test_a_table_that_is_gone_is_told_as_such(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "drop table lab.person")

    with pytest.raises(SchemaDrift, match="table lab.person does not exist"):
        lab.run()


# -- another server -------------------------------------------------------------------------------------------

FOLDER = ROOT / "var" / "test" / f"identity-{os.getpid()}"


def begin_before_the_numbers_end(server: EmbeddedServer) -> None:
    """Set a fresh server's next transaction to shortly before 2^32, as if it had worked for years."""
    with server:
        on(server, "alter database template0 allow_connections true", "postgres")
        on(server, "alter system set autovacuum = off", "postgres")  # it would believe the catalog's older numbers
        for database in ("postgres", "template1", "template0"):
            on(server, "vacuum (freeze)", database)
    owner, first = server.data_dir.stat(), XIDS - BEFORE_THE_END
    subprocess.run(
        [server.bin_path / "pg_resetwal", "-f", "-e", "0", "-x", str(first), "-u", str(first - 200), server.data_dir],
        check=True, capture_output=True, user=owner.st_uid, group=owner.st_gid, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    segment = server.data_dir / "pg_xact" / f"{first // XIDS_PER_SEGMENT:04X}"
    segment.write_bytes(bytes(256 * 1024))
    os.chown(segment, owner.st_uid, owner.st_gid)
    segment.chmod(0o600)


@pytest.fixture(scope="module")
def primary() -> Iterator[tuple[EmbeddedServer, dict[str, str]]]:
    server = EmbeddedServer(FOLDER / "primary")
    try:
        begin_before_the_numbers_end(server)
        with server:
            secrets = {role: uuid.uuid4().hex for role in LOGIN_ROLES}
            yield server, provision(server.admin_conninfo, secrets, tenants=["t1"])
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture
def own_lab(
    primary: tuple[EmbeddedServer, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Lab, EmbeddedServer]:
    server, uris = primary
    return lab_on(server.admin_conninfo, uris, tmp_path, monkeypatch), server


@contextmanager
def copy_of(server: EmbeddedServer, name: str, *, follows: bool = False) -> Iterator[EmbeddedServer]:
    """A base backup of a running server, not started yet: a replica of it, or a copy that goes its own way."""
    folder = FOLDER / name
    subprocess.run(
        [server.bin_path / "pg_basebackup", "-d", server.admin_conninfo, "-D", folder, "-c", "fast", "-X", "stream",
         *(["-R"] if follows else [])],
        check=True, capture_output=True,
    )  # fmt: skip
    owner = server.data_dir.stat()
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    copy = EmbeddedServer(folder, password=server.password)
    try:
        yield copy
    finally:
        copy.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def reads_from(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    login = os.environ["AIRFLOW_CONN_MDM"].replace(
        f":{conninfo_to_dict(os.environ['AIRFLOW_CONN_MDM'])['port']}/", f":{server.port}/"
    )
    monkeypatch.setenv("AIRFLOW_CONN_MDM", login)


def on(server: EmbeddedServer, statement: str, database: str = "mdm") -> Any:
    with psycopg.connect(make_conninfo(server.admin_conninfo, dbname=database), autocommit=True) as session:
        found = session.execute(statement.encode())
        return found.fetchall() if found.description else None


def test_windows_are_exact_while_transaction_numbers_end_and_begin_anew(own_lab: tuple[Lab, EmbeddedServer]) -> None:
    lab, _ = own_lab
    lab.hub(person("p1"), person("p2"))
    lab.run()
    assert int(mark(lab)[0]["snapshot"].split(":")[1]) < XIDS
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:
        late.execute("insert into lab.person (tenant_id, person_id, name) values ('t1', 'late', 'Zoe')")
        lab.sql("mdm", USE_NUMBERS)
        lab.hub(person("p2", name="Bea"))
        across = lab.run()
        late.commit()
    after = lab.run()
    lab.hub(person("p3"))

    assert int(mark(lab)[0]["snapshot"].split(":")[1]) > XIDS
    assert (across.counts.updated_rows, after.counts.inserted_rows) == (1, 1)
    assert lab.run().counts.extracted_rows == 1
    assert lab.run().counts.extracted_rows == 0
    assert lab.people() == {"t1/late": "Zoe", "t1/p1": "Ann", "t1/p2": "Bea", "t1/p3": "Ann"}


def test_F28_a_restored_base_backup_is_a_hard_stop_also_when_it_has_moved_on(
    own_lab: tuple[Lab, EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, server = own_lab
    lab.hub(person("p1"))
    lab.run()
    with copy_of(server, "restored") as restored:
        lab.hub(person("p2"))
        lab.run()
        before = mark(lab)
        restored.start()
        reads_from(restored, monkeypatch)
        on(restored, "insert into lab.person (tenant_id, person_id, name) values ('t1', 'other', 'Eve')")

        with pytest.raises(SourceReplaced, match="log position"):
            lab.run()
        assert (sorted(lab.people()), mark(lab)) == (["t1/p1", "t1/p2"], before)
        lab.sql("payroll", "delete from lab.person where person_no = 'p2'")  # which the restored hub never had
        done = lab.run(mode=Mode.FULL, accept_source=True, reason="TICKET-3: hub was restored")
        on(restored, "insert into lab.person (tenant_id, person_id, name) values ('t1', 'next', 'Nia')")

        assert (done.verdict, sorted(lab.people())) == (Verdict.MATCHED, ["t1/other", "t1/p1"])
        assert (lab.run().mode, sorted(lab.people())[0]) == (Mode.INCREMENTAL, "t1/next")


def test_another_server_behind_the_same_connection_is_a_hard_stop(
    own_lab: tuple[Lab, EmbeddedServer], world_uris: dict[str, str], pg: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, _ = own_lab
    lab.hub(person("p1"))
    lab.run()
    with psycopg.connect(make_conninfo(pg.admin_conninfo, dbname="mdm"), autocommit=True) as other:
        other.execute(SOURCE_DDL.encode())
    monkeypatch.setenv("AIRFLOW_CONN_MDM", world_uris["MDM"])

    with pytest.raises(SourceReplaced, match=r"system identifier \d+, it was \d+"):
        lab.run()


def test_a_server_that_crashed_and_came_back_is_the_same(own_lab: tuple[Lab, EmbeddedServer]) -> None:
    lab, server = own_lab
    lab.hub(person("p1"))
    lab.run()
    open_work = psycopg.connect(make_conninfo(lab.admin, dbname="mdm"))
    open_work.execute(
        "insert into lab.person (tenant_id, person_id) select 't1', 'x' || n from generate_series(1, 9) n"
    )
    server.stop("immediate")
    open_work.close()
    server.start()
    lab.hub(person("p2"))

    done = lab.run()

    assert (done.mode, done.counts.extracted_rows) == (Mode.INCREMENTAL, 1)


def test_a_replica_is_read_as_exactly_as_its_primary_and_stops_the_job_when_it_is_promoted(
    own_lab: tuple[Lab, EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, server = own_lab
    lab.hub(person("p1"))
    lab.run()  # from the primary
    with copy_of(server, "replica", follows=True) as replica, replica:

        def caught_up() -> None:
            end = on(server, "select pg_current_wal_flush_lsn()::text")[0][0]
            until("the replica has it all", lambda: on(replica, f"select pg_last_wal_replay_lsn() >= '{end}'")[0][0])

        reads_from(replica, monkeypatch)
        with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:  # open on the primary: no session here
            late.execute("select pg_current_xact_id()")
            with late.transaction():
                late.execute("insert into lab.person (tenant_id, person_id, name, updated_at)"
                             " values ('t1', 'late', 'Zoe', now() - interval '3 days')")  # fmt: skip
            late.execute("prepare transaction 'late'")
            lab.hub(person("p2"))
            caught_up()
            lab.run()
            late.rollback()
        lab.sql("mdm", "commit prepared 'late'")
        caught_up()
        assert (lab.run().mode, sorted(lab.people())) == (Mode.INCREMENTAL, ["t1/late", "t1/p1", "t1/p2"])

        on(replica, "select pg_wal_replay_pause()")
        primary_uri = os.environ["AIRFLOW_CONN_MDM"]
        reads_from(server, monkeypatch)
        lab.hub(person("p3"))
        lab.run()
        monkeypatch.setenv("AIRFLOW_CONN_MDM", primary_uri)
        with pytest.raises(TransientError, match="is not yet where the last batch read"):
            lab.run()
        on(replica, "select pg_wal_replay_resume()")
        caught_up()
        assert lab.run().verdict is Verdict.MATCHED

        on(replica, "select pg_promote()")
        with pytest.raises(SourceReplaced, match="timeline 2, it was 1"):
            lab.run()


def test_what_a_batch_remembers_of_its_source_holds_no_value_of_a_row(lab: Lab) -> None:
    lab.hub(person("p1", name="Secretary"))
    lab.run()

    (row,) = lab.ledger("select source_identity, source_columns, target_columns from ledger.batch")
    assert "Secretary" not in json.dumps(row)
    assert row["source_columns"]["born"] == "text"
