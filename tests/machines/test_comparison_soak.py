"""A writer changes both sides while they are compared: no false alarm, and no planted difference is missed (F53, Meta).

The ledger forgets the watermark, so nothing is excused as in flight: what is on its way must be told from drift by the
looks alone. The long form is `make soak`.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from syncline import steps
from syncline.adapters import ledger
from syncline.core.record_comparison import ComparisonRequest
from tests.integration.conftest import Lab

PEOPLE = 300
SETTLE_S = 0.5
ROUNDS, ROUNDS_LONG = 6, 1_000
TOUCHED_EVERY = 5  # so many rounds: somebody keeps writing the planted row as it is
PLANTED = {
    "mismatched": "update lab.person set name = 'planted' where tenant_id = 't1' and person_no = %s",
    "missing_in_target": "delete from lab.person where tenant_id = 't1' and person_no = %s",
    "missing_in_source": "insert into lab.person select tenant_id, 'x' || person_no, name, born, source_event_at"
    " from lab.person where tenant_id = 't1' and person_no = %s",
}
MEND = """
delete from lab.person where tenant_id = 't1' and person_no in (%(key)s, 'x' || %(key)s);
insert into lab.person (tenant_id, person_no, name, born, source_event_at) values ('t1', %(key)s, %(name)s, %(born)s, %(at)s)
"""


class Writer(threading.Thread):
    """Changes a person at one side, and a moment later at the other; never one of tenant t1, whose rows are planted.

    Rows of t1 that it is asked to touch, it writes again and again as they are.
    """

    def __init__(self, lab: Lab, seed: int) -> None:
        super().__init__(daemon=True)
        self.sides = [psycopg.connect(lab.conninfo(name), autocommit=True) for name in ("mdm", "payroll")]
        self.chance, self.ends = random.Random(seed), threading.Event()
        self.changes, self.lag_s_max, self.touched = 0, 0.0, ""

    def run(self) -> None:
        while not self.ends.is_set():
            key, name = f"p{self.chance.randrange(1, PEOPLE * 2)}", f"Ann {self.chance.random()}"
            kinds = [("person_id", self.sides[0]), ("person_no", self.sides[1])]
            self.chance.shuffle(kinds)
            does = self.chance.choice(("write", "write", "delete"))
            at = f"2024-01-01 00:00:{self.chance.randrange(60):02d}+00"
            began = time.monotonic()
            for column, session in kinds:
                self._do(session, column, does, key, name, at)
                time.sleep(self.chance.random() * 0.01)
            self.lag_s_max = max(self.lag_s_max, time.monotonic() - began)
            self.changes += 1
            for column, session in kinds if self.touched else ():
                touch = f"update lab.person set name = name where tenant_id = 't1' and {column} in (%s, 'x' || %s)"
                session.execute(touch.encode(), [self.touched] * 2)

    def _do(self, session: psycopg.Connection, column: str, does: str, key: str, name: str, at: str) -> None:
        if does == "delete":
            session.execute(f"delete from lab.person where tenant_id = 't2' and {column} = %s".encode(), [key])
            return
        version = "updated_at" if column == "person_id" else "source_event_at"
        session.execute(
            f"insert into lab.person (tenant_id, {column}, name, born, {version}) values ('t2', %s, %s, '1990-01-01', %s)"
            f" on conflict (tenant_id, {column}) do update set name = excluded.name, {version} = excluded.{version}".encode(),
            [key, name, at],
        )

    def stop(self) -> None:
        self.ends.set()
        self.join(10)
        for session in self.sides:
            session.close()


@pytest.fixture
def moving(lab: Lab) -> Iterator[tuple[Lab, Writer]]:
    lab.sql(
        "mdm",
        "insert into lab.person (tenant_id, person_id, name, born, updated_at)"
        " select 't' || 1 + n %% 2, 'p' || n, 'Ann ' || n, '1990-01-01', '2024-01-01' from generate_series(1, %s) as n",
        PEOPLE,
    )
    lab.run()
    lab.ledger("delete from ledger.watermark")
    writer = Writer(lab, 1)
    writer.start()
    yield lab, writer
    writer.stop()


def compare_with_one_planted(lab: Lab, writer: Writer, number: int) -> None:
    kind, key = list(PLANTED)[number % 3], f"p{2 * (number % (PEOPLE // 2)) + 2}"
    (row,) = lab.sql(
        "payroll", "select name, born, source_event_at from lab.person where person_no = %s and tenant_id = 't1'", key
    )
    lab.sql("payroll", PLANTED[kind], key)
    writer.touched = key if number % TOUCHED_EVERY == TOUCHED_EVERY - 1 else ""
    writer.lag_s_max = 0.0

    done = steps.compare_records(lab.job, ComparisonRequest(uuid.uuid4().hex), settle_s=SETTLE_S)

    with ledger.opened("test") as book:
        found = [
            (str(one.record_class), one.target_key[1])
            for one in book.differences(done.comparison_id)
            if not one.is_excused
        ]
    planted = [(kind, f"x{key}" if kind == "missing_in_source" else key)]
    if writer.lag_s_max < SETTLE_S:  # a machine that stands still for half a second makes a writer's lag a difference
        assert found == planted, (number, writer.lag_s_max)
    else:
        assert set(planted) <= set(found)
    writer.touched = ""
    lab.sql("payroll", "begin; " + psycopg.ClientCursor(writer.sides[1]).mogrify(
        MEND, {"key": key, "name": row["name"], "born": row["born"], "at": row["source_event_at"]}) + "; commit")  # fmt: skip


def test_a_moving_pair_raises_no_alarm_and_hides_no_planted_row(moving: tuple[Lab, Writer]) -> None:
    lab, writer = moving
    for number in range(ROUNDS):
        compare_with_one_planted(lab, writer, number)
    assert writer.changes > ROUNDS


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_a_thousand_rounds(moving: tuple[Lab, Writer]) -> None:
    lab, writer = moving
    for number in range(ROUNDS_LONG):
        compare_with_one_planted(lab, writer, number)
        if number % 50 == 49:
            print(f"{number + 1} of {ROUNDS_LONG} rounds, {writer.changes} changes", flush=True)
