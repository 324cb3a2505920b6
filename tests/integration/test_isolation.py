"""A row that the target refuses is a dead letter, and all others are loaded; no row is blamed for its company."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from syncline import steps
from syncline.adapters import ledger
from syncline.adapters.target import isolating
from syncline.core.errors import BatchHeld, TerminalError, TransientError
from syncline.core.values import Counts, RunRequest, State, Verdict
from syncline.steps import isolating as isolating_step
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import person, states

TRIGGER = """
create function lab.refuse() returns trigger language plpgsql as $$ begin {body} return new; end $$;
create trigger refuse before insert or update on lab.person for each row execute function lab.refuse();
"""
LATE = """
create table lab.known (name text primary key); insert into lab.known values ('Ann'), ('Bea');
alter table lab.person add constraint knows foreign key (name) references lab.known deferrable initially deferred;
"""
SOBER = "alter table lab.person add constraint sober check (name <> 'Zed')"
ALLOWED = {"rejected_ratio_max": 1.0, "deleted_ratio_max": 1.0}
# Of a table with a constraint of each kind: a person's name -> what the dead letter says of its row.
KINDS: dict[str, dict[str, str]] = {
    "fk": {"column": "place", "code": "foreign_key", "by": "placed"},
    "fk at commit": {"column": "later", "code": "foreign_key", "by": "placed_later"},
    "check": {"column": "name", "code": "check", "by": "sober"},
    "check of two": {"column": "", "code": "check", "by": "sober_or_old"},
    "unique": {"column": "badge", "code": "unique", "by": "only_one"},
    "not null": {"column": "initial", "code": "not_null", "by": "23502"},
    "exclusion": {"column": "stay", "code": "exclusion", "by": "alone"},
    "domain": {"column": "", "code": "check", "by": "one_word"},
    "overflow": {"column": "", "code": "out_of_range", "by": "22003"},
    "raise": {"column": "", "code": "refused", "by": "P0001"},
    "raise own": {"column": "", "code": "refused", "by": "LB001"},
}
EVERY_KIND = """
create table lab.place (place text primary key); insert into lab.place values ('here');
create domain lab.word as text constraint one_word check (value !~ ' ');
alter table lab.person add place text constraint placed references lab.place,
    add later text constraint placed_later references lab.place deferrable initially deferred,
    add badge integer, add initial text not null default '-', add stay daterange, add word lab.word, add size smallint,
    add constraint sober check (name <> 'check'),
    add constraint sober_or_old check (name <> 'check of two' or born < '1900-01-01'),
    add constraint alone exclude using gist (stay with &&);
create unique index only_one on lab.person (badge);
insert into lab.person (tenant_id, person_no, name, badge, stay) values ('t3', 'x', 'Xan', 1, '[2020-01-01,2021-01-01]');
""" + TRIGGER.format(
    body="""
    case new.name when 'fk' then new.place = 'nowhere'; when 'fk at commit' then new.later = 'nowhere';
        when 'unique' then new.badge = 1; when 'not null' then new.initial = null;
        when 'exclusion' then new.stay = '[2020-06-01,2020-07-01]'; when 'domain' then new.word = 'two words';
        when 'overflow' then new.size = 6000 * length(new.name);
        when 'raise' then raise exception 'never %', new.name;
        when 'raise own' then raise exception 'never %', new.name using errcode = 'LB001';
        else null;
    end case;"""
)
# Columns of another type than the mapping's.
TYPES: dict[str, tuple[str, str, dict[str, str]]] = {
    "enumeration": (
        "create type lab.friend as enum ('Ann', 'Bea'); alter table lab.person alter name type lab.friend using 'Ann'",
        "Zed",
        {"column": "", "code": "bad_format", "by": "22P02"},
    ),
    "domain": (
        "create domain lab.word as text constraint one_word check (value !~ ' ');"
        " alter table lab.person alter name type lab.word",
        "Zed Zod",
        {"column": "", "code": "check", "by": "one_word"},
    ),
    "length": (
        "alter table lab.person alter name type varchar(5)",
        "Zed Zod",
        {"column": "", "code": "too_long", "by": "22001"},
    ),
    "too large for an index": (
        "create index on lab.person (name)",
        "Z" + "".join(chr(0x4E00 + n % 20_000) for n in range(0, 120_000, 7)),
        {"column": "", "code": "too_large", "by": "54000"},
    ),
}


def loaded(lab: Lab, **request: Any) -> Counts:
    """Open, extract and load: whether a row is refused is seen before anything is reconciled."""
    job = lab.job
    batch_id = steps.open_batch(job, RunRequest(run_key=uuid.uuid4().hex, **request))
    steps.load(job, steps.extract_and_map(job, batch_id))
    with ledger.opened("test") as book:
        counts = book.summary(batch_id).counts
    assert counts.imbalance() is None
    return counts


def letters(lab: Lab) -> dict[str, Any]:
    """Open dead letters: person -> errors."""
    rows = lab.ledger("select source_key, errors from ledger.dead_letter where state = 'open' order by source_key")
    return {row["source_key"][1]: row["errors"] for row in rows}


def test_rows_refused_by_constraints_of_every_kind_become_dead_letters_and_the_others_are_published(lab: Lab) -> None:
    lab.sql("payroll", EVERY_KIND)
    lab.manifest["errors"] |= ALLOWED
    lab.hub(*(person(f"bad {name}", name=name) for name in KINDS))
    lab.hub(person("a"), person("bb"), person("z", tenant_id="t2"), person("unread", born="never"))

    done = lab.run()

    assert (done.verdict, done.state, done.counts.imbalance()) == (Verdict.MATCHED, State.PUBLISHED, None)
    assert (done.counts.extracted_rows, done.counts.rejected_rows, done.counts.inserted_rows) == (15, 12, 3)
    assert lab.people() == {"t1/a": "Ann", "t1/bb": "Ann", "t2/z": "Ann", "t3/x": "Xan"}
    unread = {"unread": [{"column": "born", "code": "parse_date"}]}
    assert letters(lab) == {f"bad {name}": [said] for name, said in KINDS.items()} | unread
    assert lab.sql("payroll", f"select to_regclass('staged.{JOB}__1') as left_over") == [{"left_over": None}]


@pytest.mark.parametrize("kind", TYPES)
def test_a_value_that_the_targets_type_refuses_is_one_rows_matter(lab: Lab, kind: str) -> None:
    ddl, name, said = TYPES[kind]
    lab.sql("payroll", ddl)
    lab.hub(person("p1"), person("p2", name=name), person("p3"))

    counts = loaded(lab)

    assert (counts.inserted_rows, counts.rejected_rows) == (2, 1)
    assert (list(lab.people()), letters(lab)) == (["t1/p1", "t1/p3"], {"p2": [said]})


def test_a_refused_change_leaves_the_row_as_it_was_and_settles_once_it_passes(lab: Lab) -> None:
    lab.sql("payroll", SOBER)
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.hub(person("p1", name="Zed"), person("p2", name="Bea"))

    done = lab.run()

    assert (done.verdict, done.counts.updated_rows, done.counts.rejected_rows) == (Verdict.MATCHED, 1, 1)
    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Bea"}
    lab.hub(person("p1", name="Zoe"))
    assert lab.run().verdict is Verdict.MATCHED
    assert (lab.people()["t1/p1"], letters(lab)) == ("Zoe", {})


def test_a_row_that_others_still_refer_to_is_not_deleted(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"), person("p3"))
    loaded(lab)
    lab.sql(
        "payroll",
        "create table lab.pay (tenant_id text, person_no text, constraint pays foreign key (tenant_id, person_no)"
        " references lab.person); insert into lab.pay values ('t1', 'p2')",
    )
    lab.manifest["errors"] |= ALLOWED
    lab.hub(person("p1", is_deleted=True), person("p2", is_deleted=True))

    counts = loaded(lab)

    assert (counts.deleted_rows, counts.rejected_rows) == (1, 1)
    assert lab.people() == {"t1/p2": "Ann", "t1/p3": "Ann"}
    assert letters(lab) == {"p2": [{"column": "", "code": "foreign_key", "by": "pays"}]}


# -- company ------------------------------------------------------------------------------------------------------

BOSS = """
alter table lab.person add boss text;
create function lab.boss() returns trigger language plpgsql as $$ begin
    new.boss = nullif(split_part(new.name, ' ', 2), ''); return new; end $$;
create trigger boss before insert or update on lab.person for each row execute function lab.boss();
alter table lab.person add constraint has_boss foreign key (tenant_id, boss) references lab.person {deferrable};
"""


@pytest.mark.parametrize("deferrable", ["", "deferrable initially deferred"])
def test_a_row_that_needs_another_of_the_batch_is_not_blamed_beside_one_that_is_bad(lab: Lab, deferrable: str) -> None:
    lab.sql("payroll", BOSS.format(deferrable=deferrable))
    # Each has the next one as its boss, so that no half of the batch can stand alone; two are each other's boss.
    lab.hub(
        *(person(f"p{n}", name=f"Ann p{n + 1}") for n in range(1, 7)), person("p7", name="Ann nobody"),
        *(person(f"q{n}", name=f"Ann q{n + 1}") for n in range(1, 7)), person("q7", name="Ann"),
        person("r1", name="Ann r2"), person("r2", name="Ann r1"),
    )  # fmt: skip
    lab.manifest["errors"] |= ALLOWED

    loaded(lab)

    assert sorted(letters(lab)) == [f"p{n}" for n in range(1, 8)]  # each of the chain hangs on the last one
    assert sorted(lab.people()) == [*(f"t1/q{n}" for n in range(1, 8)), "t1/r1", "t1/r2"]


UNIQUE = "alter table lab.person add constraint one_name unique (name) {deferrable}"


def renamed(lab: Lab, deferrable: str, *people: dict[str, Any]) -> Any:
    """Three people with names of their own, then changed so; beside them one that is bad."""
    lab.sql("payroll", UNIQUE.format(deferrable=deferrable))
    lab.sql("payroll", SOBER)
    lab.hub(person("p1", name="x"), person("p2", name="y"), person("p3", name="z"))
    loaded(lab)
    lab.hub(*people, person("p9", name="Zed"))
    lab.manifest["errors"] |= ALLOWED
    return loaded(lab)


@pytest.mark.parametrize("deferrable", ["deferrable", "deferrable initially deferred"])
def test_two_rows_that_swap_a_unique_value_pass_together(lab: Lab, deferrable: str) -> None:
    renamed(lab, deferrable, person("p1", name="z"), person("p2", name="x"), person("p3", name="x"))

    assert lab.people() == {"t1/p1": "z", "t1/p2": "y", "t1/p3": "x"}
    assert {name: errors[0]["by"] for name, errors in letters(lab).items()} == {"p2": "one_name", "p9": "sober"}


def test_a_change_may_refer_to_a_row_that_only_this_batch_inserts(lab: Lab) -> None:
    lab.sql("payroll", BOSS.format(deferrable=""))
    lab.hub(person("p1"))
    loaded(lab)
    lab.hub(person("p1", name="Ann q1"), person("q1"))

    counts = loaded(lab)

    assert (counts.updated_rows, counts.inserted_rows, letters(lab)) == (1, 1, {})


def test_constraints_that_may_be_put_off_are_looked_at_after_the_rows_that_need_each_other(lab: Lab) -> None:
    lab.sql("payroll", BOSS.format(deferrable="deferrable"))
    lab.sql("payroll", "create unique index one_first_name on lab.person (split_part(name, ' ', 1))")
    lab.hub(person("p1", name="Ann p2"), person("p2", name="Bea"), person("p3", name="Cleo"))
    loaded(lab)
    lab.manifest["errors"] |= ALLOWED
    # p1 takes the name of p2, which cannot go while p1 refers to it.
    lab.hub(person("p1", name="Bea"), person("p2", is_deleted=True), person("p4", name="Zed nobody"))

    loaded(lab)

    assert lab.people() == {"t1/p1": "Bea", "t1/p3": "Cleo"}
    assert list(letters(lab)) == ["p4"]


def test_a_swap_that_no_order_can_write_is_refused_on_both_sides(lab: Lab) -> None:
    renamed(lab, "", person("p1", name="y"), person("p2", name="x"), person("p3", name="zz"))

    assert lab.people() == {"t1/p1": "x", "t1/p2": "y", "t1/p3": "zz"}
    assert sorted(letters(lab)) == ["p1", "p2", "p9"]


def test_a_value_that_another_row_gives_up_may_be_taken_in_whatever_order(lab: Lab) -> None:
    renamed(
        lab, "", person("p0", name="x"), person("p1", name="y"), person("p2", name="z"), person("p3", is_deleted=True)
    )

    assert lab.people() == {"t1/p0": "x", "t1/p1": "y", "t1/p2": "z"}
    assert sorted(letters(lab)) == ["p9"]


def test_of_two_new_rows_that_exclude_each_other_the_smaller_key_stays(lab: Lab) -> None:
    lab.sql("payroll", UNIQUE.format(deferrable=""))
    lab.hub(person("p2", name="x"), person("p3", name="x"), person("p1", name="x"))
    lab.manifest["errors"] |= ALLOWED

    loaded(lab)

    assert (lab.people(), sorted(letters(lab))) == ({"t1/p1": "x"}, ["p2", "p3"])
    loaded(lab)
    assert (lab.people(), sorted(letters(lab))) == ({"t1/p1": "x"}, ["p2", "p3"])


def test_a_statement_that_is_refused_without_any_row_blames_none(lab: Lab) -> None:
    lab.hub(person("p1"))
    loaded(lab)
    lab.sql(
        "payroll",
        "create function lab.closed() returns trigger language plpgsql as $$ begin raise 'closed'; end $$;"
        " create trigger closed before insert on lab.person for each statement execute function lab.closed()",
    )
    lab.hub(person("p1", name="Bea"), person("p2"))

    with pytest.raises(TerminalError, match=r"P0001.*without a row, so no row is to blame"):
        loaded(lab)

    assert (lab.people(), letters(lab)) == ({"t1/p1": "Ann"}, {})


# -- limits -------------------------------------------------------------------------------------------------------


def test_more_refused_rows_than_the_manifest_allows_hold_the_batch_and_write_nothing(lab: Lab) -> None:
    lab.sql("payroll", SOBER)
    lab.manifest["errors"]["rejected_ratio_max"] = 0.4
    lab.hub(person("p1"), person("p2", name="Zed"))

    with pytest.raises(BatchHeld, match=r"1 of 2 rows were rejected \(50.00%\); 40.00% is allowed. Most: name:check"):
        lab.run()

    assert (lab.people(), states(lab), list(letters(lab))) == ({}, ["held"], ["p2"])
    assert [row["control"] for row in lab.ledger("select control from ledger.alert")] == ["rejected-rows"]


def test_more_rows_than_can_be_told_one_by_one_hold_the_batch(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating, "REFUSED_MAX", 3)
    lab.sql("payroll", SOBER)
    lab.hub(*(person(f"p{n}", name="Zed") for n in range(4)), *(person(f"q{n}") for n in range(90)))

    with pytest.raises(BatchHeld, match=r"more rows than can be told one by one.*by sober"):
        lab.run()

    assert (lab.people(), states(lab), letters(lab)) == ({}, ["held"], {})


def test_few_bad_rows_among_many_are_found_with_few_statements(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    write_part = isolating.Isolating._write_part
    monkeypatch.setattr(
        isolating.Isolating,
        "_write_part",
        lambda self, rows, sorting: tries.append(1) or write_part(self, rows, sorting),
    )
    lab.sql("payroll", "alter table lab.person add constraint sober check (name not like 'Ann %7777')")
    lab.sql(
        "mdm",
        "insert into lab.person (tenant_id, person_id, name, born)"
        " select 't1', 'p' || n, 'Ann ' || n, '1990-01-01' from generate_series(1, 30000) as n",
    )

    assert loaded(lab).inserted_rows == 29_997
    assert sorted(letters(lab)) == ["p17777", "p27777", "p7777"]
    assert len(tries) < 3 * 4 * 8 + 3 * 8


# -- dry runs, crashes --------------------------------------------------------------------------------------------


def test_a_dry_run_sees_the_rows_that_the_target_would_refuse_and_leaves_nothing(lab: Lab) -> None:
    lab.sql("payroll", LATE)
    lab.hub(person("p1"))
    loaded(lab)
    lab.hub(person("p1", name="Bea"), person("p2", name="Zed"), person("p3"))

    done = lab.run(dry_run=True)

    assert done.state is State.DRY_RUN
    assert (done.counts.updated_rows, done.counts.inserted_rows, done.counts.rejected_rows) == (1, 1, 1)
    assert (lab.people(), letters(lab)) == ({"t1/p1": "Ann"}, {})
    assert len(lab.sql("payroll", "select 1 as n from syncline.marker")) == 1
    assert loaded(lab) == done.counts


@pytest.mark.parametrize("is_mended", [False, True], ids=["still refused", "mended meanwhile"])
def test_a_crash_between_ledger_and_target_leaves_counts_that_the_next_try_puts_right(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, is_mended: bool
) -> None:
    lab.sql("payroll", SOBER)
    lab.hub(person("p1"), person("p2", name="Zed"), person("bad", born="never"))
    lab.manifest["errors"] |= ALLOWED
    job = lab.job
    batch_id = steps.extract_and_map(job, steps.open_batch(job, RunRequest(run_key="night")))

    def crash(*_: object) -> None:
        raise TransientError("cut after the ledger was told, before the target committed")

    with monkeypatch.context() as broken:
        broken.setattr(isolating_step, "hold_if_too_many_rejected", crash)
        with pytest.raises(TransientError):
            steps.load(job, batch_id)
    assert (lab.people(), list(letters(lab))) == ({}, ["bad", "p2"])
    if is_mended:
        lab.sql("payroll", "alter table lab.person drop constraint sober")

    steps.reconcile(job, steps.load(job, batch_id))
    done = steps.publish(job, batch_id)

    assert (done.verdict, done.counts.imbalance()) == (Verdict.MATCHED, None)
    assert (done.counts.rejected_rows, list(letters(lab))) == ((1, ["bad"]) if is_mended else (2, ["bad", "p2"]))
    assert sorted(lab.people()) == (["t1/p1", "t1/p2"] if is_mended else ["t1/p1"])


def test_a_load_that_nobody_refuses_is_written_as_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the good path does not isolate")

    monkeypatch.setattr(isolating.Isolating, "load_apart", never)
    monkeypatch.setattr(isolating.Isolating, "_tried", never)
    lab.hub(person("p1"), person("bad", born="never"))

    assert loaded(lab).inserted_rows == 1


def test_a_replacing_job_isolates_too(lab: Lab) -> None:
    lab.manifest["errors"] |= ALLOWED
    lab.manifest["target"] |= {"write": "replace", "on_delete": "ignore"}
    del lab.manifest["source"]["deleted"]
    lab.sql("payroll", SOBER)
    lab.hub(person("p1"), person("p2"))
    loaded(lab)
    lab.sql("mdm", "delete from lab.person where person_id = 'p1'")
    lab.hub(person("p2", name="Bea"), person("p3", name="Zed"), person("p4"))

    loaded(lab)

    assert (lab.people(), list(letters(lab))) == ({"t1/p2": "Bea", "t1/p4": "Ann"}, ["p3"])


def test_status_tells_the_reasons(lab: Lab) -> None:
    lab.sql("payroll", LATE)
    lab.hub(person("p1"), person("p2", name="Zed"), person("p3"))
    loaded(lab)

    assert "name:foreign_key" in lab.shell("status", JOB).stdout
