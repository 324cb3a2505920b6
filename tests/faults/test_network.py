"""The network between the line and its databases fails: rows F03 and F49 of FAULTS.md, and what else a proxy can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from ipaddress import IPv4Address
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline import steps
from syncline.adapters import liveness
from syncline.core.errors import TransientError
from syncline.core.values import State, Verdict
from tests.faults.conftest import Network
from tests.faults.faultproxy import FaultProxy
from tests.faults.invariants import invariants, settled
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import SEVERAL_BLOCKS, at, backends, disarm, many, markers, person, states, until

LONG = pytest.mark.long


def xact_status(lab: Lab, database: str, xid: str) -> str | None:
    return str(lab.sql(database, "select pg_xact_status(%s::xid8) as said", xid)[0]["said"])


def open_xid(lab: Lab, database: str) -> str:
    """The transaction in which the line writes just now; the oldest first."""
    rows = lab.sql(
        database,
        "select backend_xid::text as xid from pg_stat_activity where datname = current_database()"
        " and application_name like 'syncline%' and backend_xid is not null order by xact_start",
    )
    return str(rows[0]["xid"])


@pytest.mark.parametrize("is_same_run", [True, pytest.param(False, marks=LONG)], ids=["retried", "next run"])
@pytest.mark.parametrize(
    ("fault", "status", "left"), [("reply", "committed", 2), pytest.param("request", "aborted", 0, marks=LONG)]
)
def test_F03_a_load_whose_commit_is_cut_is_resolved_by_its_marker_and_never_guessed(
    lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch, fault: str, status: str, left: int, is_same_run: bool
) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"))
    seen: list[str] = []

    def cut_the_commit() -> None:
        seen.append(open_xid(lab, "payroll"))
        proxy = network["payroll"]
        proxy.drop_reply_to_commit() if fault == "reply" else proxy.drop_commit()

    at(monkeypatch, "load.before_commit", cut_the_commit)
    with pytest.raises(TransientError, match=r"loading at 'payroll': OperationalError \(SQLSTATE none\)"):
        lab.run("night")
    disarm(monkeypatch)

    assert network["payroll"].swallowed_commits == 1
    until("the server has seen the cut", lambda: xact_status(lab, "payroll", seen[0]) == status)
    assert (len(lab.people()), len(markers(lab)), states(lab)) == (left, int(left > 0), ["extracted"])
    done = lab.run("night" if is_same_run else "next")
    assert (done.verdict, done.counts.settled_rows) == (Verdict.MATCHED, 2)
    assert done.counts.inserted_rows == (2 if is_same_run or not left else 0)
    assert sorted(states(lab)) == (["published"] if is_same_run else ["abandoned", "published"])
    settled(lab)


@pytest.mark.parametrize("fault", ["drop_reply_to_commit", pytest.param("drop_commit", marks=LONG)])
@pytest.mark.parametrize(
    "place",
    [
        "publish.before",
        *(
            pytest.param(x, marks=LONG)
            for x in ("open.before", "extract.settled", "load.before_ledger", "reconcile.judged")
        ),
    ],
)
def test_F03_a_cut_commit_of_the_ledger_leaves_one_row_and_one_entry_for_the_run(
    lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch, place: str, fault: str
) -> None:
    lab.hub(person("p1"), person("bad", born="never"))
    at(monkeypatch, place, getattr(network["ledger"], fault))
    with pytest.raises(TransientError, match="in the ledger"):
        lab.run("night")
    disarm(monkeypatch)
    invariants(lab)

    # A run that is published already is told to read its window again; Airflow repeats the task alone.
    done = steps.publish(lab.job, 1) if place == "publish.before" else lab.run("night")

    assert (done.verdict, done.state) == (Verdict.MATCHED, State.PUBLISHED)
    assert states(lab) == ["published"]
    assert len(lab.ledger("select * from ledger.dead_letter where state = 'open'")) == 1
    settled(lab)


@pytest.mark.parametrize(("database", "direction"), [("mdm", "down"), pytest.param("payroll", "up", marks=LONG)])
def test_a_copy_that_is_cut_after_so_many_bytes_is_transient_and_read_again(
    lab: Lab, network: Network, database: str, direction: Any
) -> None:
    many(lab)
    network[database].cut_after_bytes(300_000, direction)
    with pytest.raises(TransientError):
        lab.run("night")
    network[database].heal()
    assert lab.run("night").counts.inserted_rows == SEVERAL_BLOCKS
    settled(lab)


@LONG
def test_a_reset_at_every_database_in_turn_is_transient(
    lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"))
    for database, place in (
        ("mdm", "extract.begun"),
        ("payroll", "load.before_commit"),
        ("ledger", "reconcile.judged"),
    ):
        at(monkeypatch, place, network[database].reset)
        with pytest.raises(TransientError):
            lab.run("night")
        disarm(monkeypatch)
        invariants(lab)
    settled(lab)


@LONG
@pytest.mark.parametrize(("delay_s", "bytes_per_s"), [(0.05, 0.0), (0.0, 1_000_000.0)], ids=["latency", "bandwidth"])
def test_a_slow_network_is_slower_and_correct(lab: Lab, network: Network, delay_s: float, bytes_per_s: float) -> None:
    many(lab)
    for proxy in network.proxies.values():
        proxy.delay(delay_s)
        proxy.bandwidth(bytes_per_s)
    assert lab.run().counts.inserted_rows == SEVERAL_BLOCKS
    for proxy in network.proxies.values():
        proxy.heal()
    settled(lab)


@LONG
def test_a_network_that_flaps_delays_a_run_and_loses_nothing(
    lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(lab)
    for turn in range(1, 6):
        at(monkeypatch, f"extract.block@{turn}", network["mdm" if turn % 2 else "payroll"].reset)
        with pytest.raises(TransientError):
            lab.run("night")
        disarm(monkeypatch)
    assert lab.run("night").counts.inserted_rows == SEVERAL_BLOCKS
    settled(lab)


def silent(lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch, database: str, place: str) -> float:
    """Let the network to a database go silent at a place of a run; after how many seconds the run knew."""
    fell: list[float] = []

    def fall_silent() -> None:
        fell.append(monotonic())
        network[database].blackhole()

    at(monkeypatch, place, fall_silent)
    with pytest.raises(TransientError):
        lab.run("night")
    took = monotonic() - fell[0]
    disarm(monkeypatch)
    network[database].heal()
    return took


@LONG
def test_F49_a_server_that_takes_a_connection_and_never_answers_is_given_up_in_time(lab: Lab, network: Network) -> None:
    lab.hub(person("p1"))
    network["mdm"].blackhole()
    began = monotonic()
    with pytest.raises(TransientError, match="connecting to 'mdm'"):
        lab.run("night")
    assert monotonic() - began < 30
    network["mdm"].heal()
    settled(lab)


def test_F49_a_network_that_goes_silent_is_noticed_and_the_retry_succeeds(
    lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an impatience that suits a test; how long it takes in earnest is asked by `make faults`."""
    monkeypatch.setattr(liveness, "QUIET_S", 1.0)
    monkeypatch.setattr(liveness, "ANSWER_S", 1.5)
    lab.hub(person("p1"))
    silent(lab, network, monkeypatch, "payroll", "load.begun")
    assert lab.run("night").verdict is Verdict.MATCHED
    settled(lab)


@LONG
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("database", "place"),
    [
        ("mdm", "extract.block@2"),  # we read
        ("payroll", "extract.block@2"),  # we send
        ("payroll", "load.begun"),  # we ask and wait
        ("ledger", "reconcile.judged"),
    ],
)
def test_F49_a_network_that_goes_silent_in_mid_sentence_is_noticed_within_half_a_minute(
    lab: Lab, network: Network, monkeypatch: pytest.MonkeyPatch, database: str, place: str
) -> None:
    many(lab, 60_000)  # more than the buffers of sockets hold
    took = silent(lab, network, monkeypatch, database, place)
    assert took <= 30, f"noticed after {took:.0f} s"
    assert lab.run("night").verdict is Verdict.MATCHED
    settled(lab)


class Cable:
    """A network namespace whose only way out is a cable that can be pulled: packets vanish, nobody says a word."""

    def __init__(self) -> None:
        """Two private addresses, seen by this machine alone and by no other process of the tests."""
        self.name = f"sync{os.getpid()}"
        network = IPv4Address("10.231.0.0") + os.getpid() % 2**14 * 4
        self.outside, self.inside = str(network + 1), str(network + 2)

    def __enter__(self) -> Cable:
        try:
            self._ip("netns", "add", self.name)
        except (FileNotFoundError, subprocess.CalledProcessError):
            pytest.skip("making a network namespace takes root, `ip`, and a system that lets it")
        self._ip("link", "add", f"{self.name}o", "type", "veth", "peer", "name", f"{self.name}i", "netns", self.name)
        self._ip("addr", "add", f"{self.outside}/30", "dev", f"{self.name}o")
        self._ip("link", "set", f"{self.name}o", "up")
        self._ip("-n", self.name, "addr", "add", f"{self.inside}/30", "dev", f"{self.name}i")
        self._ip("-n", self.name, "link", "set", f"{self.name}i", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._ip("netns", "del", self.name)  # the cable goes with it

    def pull(self) -> None:
        self._ip("link", "set", f"{self.name}o", "down")

    def plug(self) -> None:
        self._ip("link", "set", f"{self.name}o", "up")

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@LONG
@pytest.mark.parametrize("place", ["extract.begun", "load.begun"])
def test_F49_a_cable_that_is_pulled_is_noticed_within_half_a_minute(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Real packets that get lost; the watch for silent proxies is off, so it is TCP that notices."""
    lab.hub(person("p1"))
    with Cable() as cable, ExitStack() as stack:
        for name in ("MDM", "PAYROLL", "LEDGER"):
            uri = os.environ[f"AIRFLOW_CONN_{name}"]
            proxy = stack.enter_context(FaultProxy.before(uri, listen=cable.outside))
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", proxy.uri(uri))
        _ = lab.job
        unwatched = "from syncline.adapters import liveness; liveness.watch = lambda *a: None"
        run = f"{unwatched}; import sys; sys.argv[1:] = ['run', '{JOB}']; from syncline.__main__ import main; main()"
        worker = stack.enter_context(
            subprocess.Popen(
                ["ip", "netns", "exec", cable.name, sys.executable, "-c", run],
                env={**os.environ, "SYNCLINE_FAILPOINTS": f"{place}:HOLD"},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(worker.kill)
        step = place.partition(".")[0].replace("extract", "extract_and_map")
        begun = "select attempt_id from ledger.attempt where step = %s and outcome = 'running'"
        until("it holds", lambda: lab.ledger(begun, step) and open_sessions(lab), seconds=60)
        cable.pull()
        pulled = monotonic()
        worker.send_signal(signal.SIGCONT)
        _, said = worker.communicate(timeout=120)
        took = monotonic() - pulled
        cable.plug()
        # Half a minute, and 10 s each in which breaker and alert ask in vain for the ledger, which is gone as well.
        assert (worker.returncode, took <= 52) == (3, True), f"after {took:.0f} s: {said}"
    until("the servers have noticed too", lambda: not backends(lab), seconds=60)


def open_sessions(lab: Lab) -> int:
    return len([row for row in backends(lab) if "ledger" not in row["application_name"]])


def test_F49_a_statement_that_takes_its_time_is_not_taken_for_a_dead_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch asks, hears that the server works, and leaves it alone."""
    heard = []
    ask = liveness._ask
    monkeypatch.setattr(liveness, "QUIET_S", 0.5)
    monkeypatch.setattr(liveness, "_ask", lambda *a, **k: heard.append(ask(*a, **k)) or heard[-1])
    lab.hub(person("p1"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll")) as other:
        at(monkeypatch, "load.begun", lambda: other.execute("lock table lab.person in access exclusive mode"))
        release = until_waited(lab, other, seconds=3)
        assert lab.run("night").verdict is Verdict.MATCHED
        release.join()
    assert liveness.Said.WORKS in heard
    assert liveness.Said.WAITS_FOR_US not in heard
    settled(lab)


def until_waited(lab: Lab, other: psycopg.Connection, *, seconds: float) -> Any:
    """Let go of a lock once the line has waited for it that long."""

    def wait() -> None:
        until(
            "the load has waited",
            lambda: lab.sql(
                "payroll",
                "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like %s"
                " and clock_timestamp() - query_start > make_interval(secs => %s)",
                f"syncline {JOB} load",
                seconds,
            ),
        )
        other.commit()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread
