"""The dbt project on a real server: what analysts may see while batches are published, held and on their way."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from syncline.core.freshness import freshness
from syncline.core.values import State
from tests.integration.dbt_world import EVENT, SLA_S, World, at, messages, worker

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning:dbt_common")


# --- what is shown --------------------------------------------------------------------------------------


def test_every_model_builds_passes_its_tests_and_a_published_row_carries_its_stamps(world: World) -> None:
    batch_id = world.batch("published", as_of=at(1))
    world.load(batch_id, worker("w1"))

    result = world.build(at(1.5))

    assert result.success, messages(result)
    assert world.fetch("select * from pub.pub_warehouse__worker") == [
        {
            **worker("w1"),
            "sync_batch_id": batch_id,
            "source_system": "mdm",
            "source_event_at": EVENT,
            "loaded_at": EVENT,
            "fresh_as_of": at(1),
            "freshness_state": "current",
        }
    ]


def test_a_held_batch_is_invisible_and_the_last_good_version_stands(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("old", status="active"), worker("same"))
    world.publish_tables(at(1))

    held = world.batch("held", as_of=at(2))
    world.load(held, worker("old", status="left"), worker("new"))
    world.publish_tables(at(2))

    assert world.workers("status", "fresh_as_of", "freshness_state") == {
        "old": ("active", at(1), "unreliable"),
        "same": ("active", at(1), "unreliable"),
    }


def test_rows_of_a_held_batch_appear_once_a_later_batch_covers_them(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("old"))
    world.publish_tables(at(1))
    held = world.batch("held", as_of=at(2))
    world.load(held, worker("old", status="left"), worker("new"))
    world.publish_tables(at(2))

    world.batch("published", as_of=at(3))
    world.publish_tables(at(3))

    assert world.workers("status", "sync_batch_id", "fresh_as_of", "freshness_state") == {
        "old": ("left", held, at(3), "current"),
        "new": ("active", held, at(3), "current"),
    }


def test_a_batch_under_way_changes_nothing(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))

    world.load(world.batch("loaded", as_of=at(2)), worker("w1", status="left"))
    world.publish_tables(at(1.5))

    assert world.workers("status", "fresh_as_of", "freshness_state") == {
        "w1": ("active", at(1), "current"),
        "w2": ("active", at(1), "current"),
    }


def test_a_row_overwritten_before_it_was_taken_over_does_not_claim_the_newer_time(world: World) -> None:
    """Batch 2 is published and batch 3 is held before this table is built again: version 2 is nowhere any more."""
    world.load(world.batch("published", as_of=at(1)), worker("w1", status="active"), worker("w2"))
    world.publish_tables(at(1))

    world.load(world.batch("published", as_of=at(2)), worker("w1", status="leave"))
    world.load(world.batch("held", as_of=at(3)), worker("w1", status="left"))
    world.publish_tables(at(3))

    assert world.workers("status", "fresh_as_of") == {"w1": ("active", at(1)), "w2": ("active", at(2))}


def test_a_deletion_is_shown_when_its_batch_is_published_and_not_before(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))

    world.load(world.batch("held", as_of=at(2)), worker("w1"), is_deleted=True)
    world.publish_tables(at(2))
    assert set(world.workers()) == {"w1", "w2"}

    world.batch("published", as_of=at(3))
    world.publish_tables(at(3))
    assert set(world.workers()) == {"w2"}


def test_a_row_that_came_back_is_shown_again(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), is_deleted=True)
    world.publish_tables(at(1))
    assert world.workers() == {}

    world.load(world.batch("published", as_of=at(2)), worker("w1"))
    world.publish_tables(at(2))
    assert set(world.workers()) == {"w1"}


# --- how fresh it is ------------------------------------------------------------------------------------


def test_a_published_batch_confirms_the_rows_it_did_not_change(world: World) -> None:
    first = world.batch("published", as_of=at(1))
    world.load(first, worker("w1"))
    world.publish_tables(at(1))

    world.batch("published", as_of=at(2))
    world.publish_tables(at(2))

    assert world.workers("sync_batch_id", "fresh_as_of") == {"w1": (first, at(2))}


def test_a_batch_of_some_tenants_says_nothing_about_the_others(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1", "t1"), worker("w2", "t2"))
    some = world.batch("published", as_of=at(2), tenants=["t1"])
    world.load(some, worker("w1", "t1", status="left"))

    world.publish_tables(at(2))

    assert world.workers("fresh_as_of") == {"w1": (at(2),), "w2": (at(1),)}


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (-60, "current"),  # published after the run became due
        (SLA_S, "current"),  # the promise itself is kept
        (SLA_S + 1, "delayed"),
    ],
)
def test_a_row_is_delayed_when_it_is_older_than_the_manifest_promises(world: World, age_s: int, state: str) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"))

    world.publish_tables(at(1) + timedelta(seconds=age_s))

    assert world.workers("freshness_state") == {"w1": (state,)}


def test_rows_are_partial_where_their_tenant_has_rows_waiting_even_when_delayed(world: World) -> None:
    batch_id = world.batch("published", as_of=at(1))
    world.load(batch_id, worker("w1", "t1"), worker("w2", "t2"))
    world.dead_letter(batch_id, "t1")

    world.publish_tables(at(9))

    assert world.workers("freshness_state") == {"w1": ("partial",), "w2": ("delayed",)}


def test_unreliable_outweighs_partial(world: World) -> None:
    batch_id = world.batch("published", as_of=at(1))
    world.load(batch_id, worker("w1"))
    world.dead_letter(batch_id, "t1")
    world.batch("abandoned", as_of=at(2))  # it had changed the target, and nobody checked

    world.publish_tables(at(2))

    assert world.workers("freshness_state") == {"w1": ("unreliable",)}


def test_a_matched_window_does_not_excuse_the_batch_held_before_it(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))
    world.load(world.batch("held", as_of=at(2)), worker("w1", status="left"))
    world.load(world.batch("published", as_of=at(3), mode="window"), worker("w2", status="left"))

    world.publish_tables(at(3))

    assert world.workers("status", "fresh_as_of", "freshness_state") == {
        "w1": ("active", at(1), "unreliable"),
        "w2": ("left", at(3), "unreliable"),
    }


def test_the_board_has_one_line_for_each_job_of_every_target(world: World) -> None:
    workers = world.batch("published", as_of=at(1))
    clients = world.batch("published", as_of=at(1), job_id="mdm__warehouse__client")
    held = world.batch("held", as_of=at(2), job_id="mdm__warehouse__client")
    payroll = world.batch("published", as_of=at(-9), job_id="mdm__payroll__worker")
    world.dead_letter(workers, "t1")

    result = world.build(at(2), "--select", "stg_ledger__batch", "pub_sync_freshness")

    assert result.success, messages(result)
    board = world.fetch("select * from pub.pub_sync_freshness order by job_id")
    shown = ("job_id", "newest_batch_id", "verdict", "fresh_as_of", "freshness_state", "lag_s")
    assert [tuple(row[name] for name in shown) for row in board] == [
        ("mdm__payroll__worker", payroll, "matched", at(-9), "delayed", 11 * 3600),
        ("mdm__warehouse__client", held, "mismatched", at(1), "unreliable", 3600),
        ("mdm__warehouse__contract", None, "unverified", None, "unreliable", None),
        ("mdm__warehouse__worker", workers, "matched", at(1), "partial", 3600),
    ]
    assert {row["published_batch_id"] for row in board} == {payroll, clients, None, workers}
    assert {row["as_of"] for row in board} == {at(2)}
    assert [row["open_dead_letters"] for row in board] == [0, 0, 0, 1]


def test_the_board_and_the_command_line_use_the_four_words_alike(world: World) -> None:
    expected = {}
    for last_state, age_s, letters in product((None, State.PUBLISHED, State.HELD), (SLA_S, SLA_S + 1), (0, 1)):
        job_id = f"mdm__x__j{len(expected)}"
        world.job(job_id)
        if last_state:
            world.batch("published", as_of=at(9) - timedelta(seconds=age_s), job_id=job_id)
            batch_id = world.batch(last_state, as_of=at(9) - timedelta(seconds=age_s), job_id=job_id)
            for _ in range(letters):
                world.dead_letter(batch_id, "t1", job_id)
        expected[job_id] = freshness(
            is_proven=last_state is State.PUBLISHED,
            age_s=age_s if last_state else None,
            latency_s_max=SLA_S,
            open_dead_letters=letters if last_state else 0,
        )

    result = world.build(at(9), "--select", "stg_ledger__batch", "pub_sync_freshness")

    assert result.success, messages(result)
    board = world.fetch("select job_id, freshness_state from pub.pub_sync_freshness")
    assert {row["job_id"]: row["freshness_state"] for row in board if row["job_id"] in expected} == expected


@pytest.mark.parametrize("given", ["", "--vars={as_of: now}", "--vars={as_of: '2026-03-01T00:00:00'}"])
def test_a_build_without_a_stated_time_is_refused(world: World, given: str) -> None:
    result = world.run_dbt("run", "--select", "pub_sync_freshness", *([given] if given else []))

    assert not result.success
    assert "must be an ISO time with an offset" in messages(result)


# --- what cannot happen ---------------------------------------------------------------------------------


def test_a_full_refresh_while_a_batch_is_held_keeps_the_last_good_version(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1", status="active"))
    world.publish_tables(at(1))
    world.load(world.batch("held", as_of=at(2)), worker("w1", status="left"))

    world.publish_tables(at(2), "--full-refresh")

    assert world.workers("status") == {"w1": ("active",)}


def test_a_second_run_writes_nothing_and_what_analysts_built_on_top_survives(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"))
    world.publish_tables(at(1))
    world.admin.execute("create view pub.mine as select worker_id from pub.pub_warehouse__worker")
    written = "select ctid::text, xmin::text from pub.pub_warehouse__worker"
    before = world.fetch(written)

    world.publish_tables(at(1.1))

    assert world.fetch(written) == before
    assert world.fetch("select * from pub.mine") == [{"worker_id": "w1"}]


def test_a_changed_type_breaks_the_contract_and_the_old_table_stands(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"))
    world.publish_tables(at(1))
    world.load(world.batch("published", as_of=at(2)), worker("w2"))
    world.admin.execute("alter table dw.worker alter column annual_salary type double precision")
    try:
        result = world.build(at(2), "--select", "stg_ledger__batch", "pub_warehouse__worker")
    finally:
        world.admin.execute("alter table dw.worker alter column annual_salary type numeric(14, 2)")

    assert not result.success
    assert "enforced contract that failed" in messages(result)
    assert "annual_salary" in messages(result)
    assert world.workers("annual_salary") == {"w1": (1,)}


def test_a_target_that_shows_nothing_empties_no_table(world: World) -> None:
    """Without its row-level policy the role sees no row and gets no error. Also: no half of a build is ever visible."""
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))
    world.batch("published", as_of=at(2))
    world.admin.execute("drop policy dbt_reads on dw.worker")
    try:
        result = world.build(at(2), "--select", "stg_ledger__batch", "pub_warehouse__worker")
    finally:
        world.admin.execute("create policy dbt_reads on dw.worker for select to syncline_dbt using (true)")

    assert not result.success
    assert "2 of 2 published rows are no longer in dw.worker" in messages(result)
    assert f'{{as_of: "{at(2).isoformat()}", removed_ratio_max: 1}}' in messages(result)
    assert world.workers("fresh_as_of") == {"w1": (at(1),), "w2": (at(1),)}


def test_a_failed_build_takes_back_what_it_had_merged(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))
    world.load(world.batch("published", as_of=at(2)), worker("w3"))
    world.admin.execute("delete from dw.worker where worker_id <> 'w3'")

    result = world.build(at(2), "--select", "stg_ledger__batch", "pub_warehouse__worker")

    assert not result.success
    assert set(world.workers()) == {"w1", "w2"}


def test_a_row_erased_from_the_target_leaves_when_a_person_says_so(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))
    world.admin.execute("delete from dw.worker where worker_id = 'w1'")

    result = world.run_dbt(
        "build", "--select", "pub_warehouse__worker", "--vars",
        f"{{as_of: '{at(1).isoformat()}', removed_ratio_max: 1}}",
    )  # fmt: skip

    assert result.success, messages(result)
    assert set(world.workers()) == {"w2"}


def test_a_column_new_in_the_contract_is_filled_for_every_row(world: World) -> None:
    world.load(world.batch("published", as_of=at(1)), worker("w1"), worker("w2"))
    world.publish_tables(at(1))
    world.admin.execute("alter table pub.pub_warehouse__worker drop column annual_salary")
    world.load(world.batch("held", as_of=at(2)), worker("w2"))

    world.publish_tables(at(2))

    assert world.workers("annual_salary") == {"w1": (1,), "w2": (None,)}  # w2 stands: nothing vouches for the value
