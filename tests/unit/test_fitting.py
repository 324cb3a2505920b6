"""What a catalog says against what a job says: every misfit, its place and its remedy, without a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.core.catalogs.fitting import Misfit
from syncline.core.catalogs.fitting_source import fit_source, source_tables
from syncline.core.catalogs.fitting_target import fit_target
from syncline.core.catalogs.tables import Catalog, Column, Constraint, Index, Table, allowed_values, type_named
from syncline.core.files.documents import KEY
from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from syncline.core.types import PgType
from tests.unit.project_files import JOB, MANIFEST, MAPPING, write_project


def column(name: str, kind: str = "text", **said: Any) -> Column:
    """A column of a plain type, NOT NULL unless said otherwise."""
    return Column(name, kind, type_named(kind), **{"is_nullable": False, **said})


def table(name: str, *columns: Column, key: tuple[str, ...], **said: Any) -> Table:
    indexes = (Index("pkey", key, is_unique=True, is_primary=True), *said.pop("indexes", ()))
    return Table(name, {one.name: one for one in columns}, indexes=indexes, **said)


SOURCE = table(
    "mdm.worker",
    column("tenant_id"), column("worker_id"), column("given_name", is_nullable=True),
    column("family_name", is_nullable=True), column("iban", is_nullable=True), column("hired_on", is_nullable=True),
    column("annual_salary", "numeric(14,4)", is_nullable=True), column("updated_at", "timestamp with time zone"),
    column("is_deleted", "boolean"), column("country_code"), column("never_read", "xml"),
    key=("tenant_id", "worker_id"), indexes=(Index("by_time", ("updated_at",)),),
)  # fmt: skip
TARGET = table(
    "hr.employee",
    column("tenant_id"), column("employee_no", "character varying(20)"), column("full_name", "character varying(140)"),
    column("bank_iban", "character varying(34)"), column("start_date", "date", is_nullable=True),
    column("annual_salary", "numeric(12,2)", is_nullable=True), column("source_event_at", "timestamp with time zone"),
    column("loaded_at", "timestamp with time zone"), column("sync_batch_id", "bigint"),
    column("more", is_nullable=True), column("filled", has_default=True),
    key=("tenant_id", "employee_no"), has_row_security=True, forces_row_security=True,
)  # fmt: skip
NO = "employee_no: {from: worker_id, type: text, checks: [required]}"
BOUNDED = MAPPING.replace(NO, "employee_no: {from: worker_id, type: text, checks: [required, {max_length: 20}]}")


@pytest.fixture
def job(tmp_path: Path) -> SyncJob:
    return load_job(write_project(tmp_path, mapping=BOUNDED), JOB)


def bent(tmp_path: Path, *changes: tuple[str, str]) -> SyncJob:
    """The job with some of its text changed, in whichever file has it."""
    manifest, mapping = MANIFEST, BOUNDED
    for old, new in changes:
        assert (manifest + mapping).count(old) == 1, old
        manifest, mapping = manifest.replace(old, new), mapping.replace(old, new)
    return load_job(write_project(tmp_path, manifest, mapping), JOB)


def with_columns(given: Table, *columns: Column, without: str = "") -> Table:
    changed = {**given.columns, **{one.name: one for one in columns}}
    return replace(given, columns={name: one for name, one in changed.items() if name != without})


def of_source(job: SyncJob, *tables: Table, server: int = 18) -> list[Misfit]:
    names = tuple(one.name for one in tables)
    return fit_source(job, Catalog(server, {one.name: one for one in tables}, role="reader", table_names=names))


def of_target(job: SyncJob, *tables: Table, server: int = 18) -> list[Misfit]:
    names = tuple(one.name for one in tables)
    return fit_target(job, Catalog(server, {one.name: one for one in tables}, role="tenant", table_names=names))


def mistakes(found: list[Misfit]) -> list[Misfit]:
    return [misfit for misfit in found if misfit.weight != "noted"]


def notes(found: list[Misfit]) -> list[str]:
    return [misfit.found for misfit in found if misfit.weight == "noted"]


def only(found: list[Misfit]) -> Misfit:
    (misfit,) = mistakes(found)
    return misfit


def test_a_job_fits_its_tables_and_whatever_they_have_beyond_it(job: SyncJob) -> None:
    assert mistakes(of_source(job, SOURCE)) == []
    assert mistakes(of_target(job, TARGET)) == []


def test_a_missing_table_is_told_with_the_nearest_one(job: SyncJob) -> None:
    misfit = only(of_source(job, replace(SOURCE, name="hub.worker")))

    assert (misfit.where, misfit.code, misfit.found) == (("source", "table"), "M20", "table mdm.worker does not exist")
    assert (misfit.nearest, misfit.weight) == ("hub.worker", "certain")
    assert only(of_target(job, replace(TARGET, name="hr.employees"))).nearest == "hr.employees"


def test_a_renamed_source_column_is_told_with_its_new_name(job: SyncJob) -> None:
    misfit = only(of_source(job, with_columns(SOURCE, column("hired"), without="hired_on")))

    assert (misfit.file, misfit.where, misfit.code) == ("mapping", ("source", "hired_on", KEY), "M20")
    assert misfit.said == "column hired_on is missing (is it hired now?)"


@pytest.mark.parametrize(
    ("duty", "where"),
    [
        ("is_deleted", ("source", "deleted")),
        ("country_code", ("source", "filter", "country_code")),
    ],
)
def test_a_column_that_only_the_manifest_names_is_missed_there(job: SyncJob, duty: str, where: tuple[str, ...]) -> None:
    misfit = only(of_source(job, with_columns(SOURCE, without=duty)))

    assert (misfit.file, misfit.where, misfit.found) == ("manifest", where, f"column {duty} is missing")


@pytest.mark.parametrize(
    ("declared", "real", "fits"),
    [
        ("text", "character varying(40)", True),
        ("text", "citext", True),
        ("text", "character(3)", True),
        ("varchar(40)", "character varying(20)", True),
        ("varchar(20)", "character varying(40)", False),  # read so, it would be cut without a word
        ("varchar(20)", "text", False),
        ("numeric(14,4)", "numeric(12,2)", True),
        ("numeric(12,2)", "numeric(14,4)", False),
        ("numeric", "numeric(14,4)", True),
        ("numeric", "integer", False),  # 7 / 2 is another number there
        ("bigint", "integer", False),
        ("text", "integer", False),
        ("timestamptz", "timestamp(3) with time zone", True),
        ("timestamptz", "timestamp without time zone", False),
        ("text[]", "text[]", True),
        ("text", "xml", False),
    ],
)
def test_what_a_column_may_be_declared_as(tmp_path: Path, declared: str, real: str, fits: bool) -> None:
    job = bent(
        tmp_path,
        ("  updated_at: timestamptz\n", f"  updated_at: timestamptz\n  odd: {declared!r}\n"),
        ("  source_event_at:", f"  odd: {{from: odd, type: {declared!r}}}\n  source_event_at:"),
    )

    found = mistakes(of_source(job, with_columns(SOURCE, column("odd", real))))

    assert (found == []) is fits
    assert all((misfit.where, misfit.weight) == (("source", "odd"), "certain") for misfit in found)


def test_the_remedy_of_a_wrong_type_is_the_line_to_write(job: SyncJob) -> None:
    misfit = only(of_source(job, with_columns(SOURCE, column("annual_salary", "numeric(18,6)"))))

    assert misfit.found == "column annual_salary is numeric(18,6), declared numeric(14,4)"
    assert misfit.allowed == "declare `annual_salary: numeric(18,6)`"


@pytest.mark.parametrize("index", [
    Index("u", ("worker_id",), is_unique=True, is_valid=False),  # a failed `concurrently`
    Index("u", ("tenant_id", "worker_id"), is_unique=True, is_partial=True),
    Index("u", ("tenant_id", ""), is_unique=True),  # an expression
    Index("u", ("tenant_id", "worker_id", "iban"), is_unique=True),  # unique only together with more
    Index("u", ("tenant_id", "worker_id")),
])  # fmt: skip
def test_a_key_that_nothing_keeps_unique_is_refused(job: SyncJob, index: Index) -> None:
    indexes = (index, Index("by_time", ("updated_at",)))

    misfit = only(of_source(job, replace(SOURCE, indexes=indexes)))

    assert (misfit.where, misfit.code) == (("source", "key"), "M19")
    assert "create unique index concurrently on mdm.worker (tenant_id, worker_id);" in misfit.allowed


def test_a_part_of_the_key_that_is_unique_alone_is_enough(job: SyncJob) -> None:
    indexes = (Index("u", ("worker_id",), is_unique=True), Index("by_time", ("updated_at",)))

    assert mistakes(of_source(job, replace(SOURCE, indexes=indexes))) == []


def test_a_key_that_may_be_null_is_refused_with_the_alter(job: SyncJob) -> None:
    misfit = only(of_source(job, with_columns(SOURCE, column("worker_id", is_nullable=True))))

    assert (misfit.where, misfit.code) == (("source", "key", 1), "M19")
    assert misfit.allowed == "alter table mdm.worker alter column worker_id set not null;"
    assert only(of_source(job, with_columns(SOURCE, column("tenant_id", is_nullable=True)))).code == "M18"


def test_a_cursor_without_an_index_is_refused_with_the_statement(job: SyncJob) -> None:
    misfit = only(of_source(job, replace(SOURCE, indexes=SOURCE.indexes[:1], estimated_rows=1_200_000)))

    assert (misfit.where, misfit.code) == (("source", "cursor"), "M19")
    assert "about 1,200,000 rows" in misfit.found
    assert misfit.allowed == "create index concurrently on mdm.worker (updated_at);"


@pytest.mark.parametrize("index", [
    Index("i", ("updated_at",), is_valid=False),
    Index("i", ("updated_at",), is_partial=True),
    Index("i", ("tenant_id", "updated_at")),
    Index("i", ("updated_at",), method="hash"),
])  # fmt: skip
def test_an_index_that_finds_no_range_of_the_cursor_does_not_count(job: SyncJob, index: Index) -> None:
    found = of_source(job, replace(SOURCE, indexes=(SOURCE.indexes[0], index)))

    assert only(found).allowed == "create index concurrently on mdm.worker (updated_at);"


def test_a_cursor_of_another_type_or_with_nulls_is_refused(tmp_path: Path) -> None:
    bends = [("  cursor: updated_at\n", "  cursor: changed\n"), ("  version: source_event_at\n", "")]
    job = bent(tmp_path, *bends)
    indexed = replace(SOURCE, indexes=(*SOURCE.indexes, Index("c", ("changed",))))
    naive = only(of_source(job, with_columns(indexed, column("changed", "timestamp without time zone"))))
    empty = only(of_source(job, with_columns(indexed, column("changed", "timestamp with time zone", is_nullable=True))))

    assert naive.allowed == (
        "alter table mdm.worker alter column changed type timestamptz using changed at time zone 'UTC';"
    )
    assert (naive.weight, empty.weight) == ("certain", "likely")
    assert empty.allowed == "alter table mdm.worker alter column changed set not null;"


@pytest.mark.parametrize("kind", ["view", "materialized view", "foreign table"])
def test_what_has_no_row_versions_cannot_be_read_incrementally(job: SyncJob, kind: Any) -> None:
    found = of_source(job, replace(SOURCE, kind=kind, indexes=()))

    assert (only(found).where, only(found).weight) == (("source", "cursor"), "certain")
    assert "drop `source.cursor`" in only(found).allowed
    assert any("nothing keeps" in said for said in notes(found))  # of a view nobody can know


def test_the_flag_of_deleted_rows_must_be_a_boolean(job: SyncJob) -> None:
    misfit = only(of_source(job, with_columns(SOURCE, column("is_deleted", "integer"))))

    assert (misfit.where, misfit.code) == (("source", "deleted"), "M19")


def test_a_filter_names_labels_of_an_enumeration(job: SyncJob) -> None:
    countries = Column("country_code", "country", PgType("varchar", length=2), is_nullable=False, labels=("UK", "FR"))

    misfit = only(of_source(job, with_columns(SOURCE, countries)))

    assert (misfit.where, misfit.weight) == (("source", "filter", "country_code"), "certain")
    assert "'GB' is no label" in misfit.found


def test_a_right_that_is_missing_is_named_with_its_grant(job: SyncJob) -> None:
    no_usage = only(of_source(job, replace(SOURCE, rights=frozenset())))
    one_column = only(of_source(job, with_columns(SOURCE, column("iban", is_nullable=True, is_readable=False))))
    no_write = only(of_target(job, replace(TARGET, rights=frozenset({"usage", "select"}))))

    assert no_usage.allowed == "grant usage on schema mdm to reader;"
    assert one_column.allowed == "grant select (iban) on mdm.worker to reader;"
    assert no_write.allowed == "grant insert, update, delete on hr.employee to tenant;"
    assert {no_usage.code, one_column.code, no_write.code} == {"D01"}


LOOKUP = (
    "country: {lookup: {table: mdm.organisation, match: {tenant_id: tenant_id, name: iban}, take: country_code},"
    " type: text, pii: none}\n"
)
ORGANISATION = table("mdm.organisation", column("tenant_id"), column("name"), column("country_code"),
                     key=("tenant_id", "name"))  # fmt: skip


@pytest.mark.parametrize(
    ("organisation", "place", "said"),
    [
        (replace(ORGANISATION, name="mdm.org"), "table", "does not exist"),
        (with_columns(ORGANISATION, without="name"), "name", "column name is missing"),
        (with_columns(ORGANISATION, column("name", "integer")), "name", "they never match"),
        (with_columns(ORGANISATION, column("country_code", "integer")), "take", "is integer, declared text"),
        (replace(ORGANISATION, rights=frozenset({"usage"})), "table", "may not read"),
    ],
)
def test_a_lookup_must_find_its_table_and_columns(tmp_path: Path, organisation: Table, place: str, said: str) -> None:
    job = bent(tmp_path, ("  bank_iban:", f"  {LOOKUP}  bank_iban:"))
    misfit = only(of_source(job, SOURCE, organisation))

    assert source_tables(job) == ["mdm.worker", "mdm.organisation"]
    assert said in misfit.found
    assert place in misfit.where
    assert misfit.file == "mapping"


def test_a_lookup_that_may_find_several_rows_is_only_noted(tmp_path: Path) -> None:
    job = bent(tmp_path, ("  bank_iban:", f"  {LOOKUP}  bank_iban:"))
    found = of_source(job, SOURCE, replace(ORGANISATION, indexes=()))

    assert mistakes(found) == []
    assert "is not unique in mdm.organisation" in notes(found)[0]


def test_a_server_before_15_is_refused(job: SyncJob) -> None:
    assert only(of_source(job, SOURCE, server=14)).found == "the server is PostgreSQL 14"


def test_a_source_whose_texts_may_be_anything_is_told(job: SyncJob) -> None:
    catalog = Catalog(18, {SOURCE.name: SOURCE}, role="reader", encoding="SQL_ASCII", table_names=(SOURCE.name,))
    found = fit_source(job, catalog)

    assert "SQL_ASCII" in only(found).found


def test_a_word_that_the_sources_server_does_not_know_is_told(job: SyncJob, monkeypatch: pytest.MonkeyPatch) -> None:
    word = job.mapping.fields["start_date"].steps[0]
    monkeypatch.setattr(type(word), "server_min", 17)

    misfit = only(of_source(job, SOURCE, server=16))

    assert misfit.where == ("fields", "start_date", "steps", 0)
    assert misfit.found == "`parse_date` needs PostgreSQL 17; the source is 16"


# -- the target


def test_a_missing_target_column_is_told_at_its_field(job: SyncJob) -> None:
    renamed = column("started_date", "date", is_nullable=True)

    misfit = only(of_target(job, with_columns(TARGET, renamed, without="start_date")))

    assert misfit.where == ("fields", "start_date", KEY)
    assert misfit.said == "column start_date is missing (is it started_date now?)"


@pytest.mark.parametrize(
    ("field", "real", "weight"),
    [
        ("type: text", "text", None),
        ("type: text", "character varying(9)", "likely"),
        ("type: text, checks: [{max_length: 9}]", "character varying(9)", None),
        ("type: text, checks: [{max_length: 10}]", "character varying(9)", "likely"),
        ("type: text, steps: [{truncate: 9}]", "character varying(9)", None),
        ("type: text, steps: [{truncate: 9}, trim]", "character varying(9)", None),
        ("type: text, steps: [{map: {a: short, b: longer_one}}]", "character varying(9)", "likely"),
        ("type: text, steps: [{map: {a: short, b: long}}]", "character varying(9)", None),
        ("type: text, checks: [iso_country]", "character varying(3)", None),
        ("type: varchar(9)", "character varying(9)", None),  # the conversion itself rejects what is longer
        ("type: text", "integer", "certain"),  # PostgreSQL has no such assignment
        ("type: text", "jsonb", "certain"),
        ("type: text", "json", "certain"),
        ("type: text", "xml", "certain"),
        ("type: text", "citext", None),
    ],
)
def test_what_a_column_takes_of_a_text_field(tmp_path: Path, field: str, real: str, weight: str | None) -> None:
    job = bent(tmp_path, ("  source_event_at:", f"  more: {{from: iban, {field}, pii: none}}\n  source_event_at:"))

    found = mistakes(of_target(job, with_columns(TARGET, column("more", real, is_nullable=True))))

    assert [misfit.weight for misfit in found] == ([weight] if weight else [])
    assert all(misfit.where[:2] == ("fields", "more") for misfit in found)


@pytest.mark.parametrize(
    ("kind", "real", "weight"),
    [
        ("numeric(12,2)", "numeric(12,2)", None),
        ("numeric(12,2)", "numeric(14,2)", None),
        ("numeric(12,2)", "numeric(12,1)", "certain"),  # PostgreSQL rounds without a word
        ("numeric(12,2)", "numeric(10,2)", "likely"),  # 22003: refused by the target
        ("numeric(12,2)", "numeric", None),
        ("numeric(12,2)", "money", "certain"),
        ("numeric(12,2)", "text", "certain"),
        ("numeric(12,2)", "double precision", "certain"),
    ],
)
def test_what_a_column_takes_of_a_number(tmp_path: Path, kind: str, real: str, weight: str | None) -> None:
    job = bent(tmp_path)
    assert str(job.mapping.fields["annual_salary"].type) == kind

    found = mistakes(of_target(job, with_columns(TARGET, column("annual_salary", real, is_nullable=True))))

    assert [misfit.weight for misfit in found] == ([weight] if weight else [])


def test_a_json_column_cannot_be_compared_and_so_not_loaded(tmp_path: Path) -> None:
    job = bent(
        tmp_path,
        ("  iban: text\n", "  iban: text\n  doc: json\n"),
        ("  source_event_at:", "  more: {from: doc, type: json}\n  source_event_at:"),
    )
    misfit = only(of_target(job, with_columns(TARGET, column("more", "json", is_nullable=True))))

    assert (misfit.weight, misfit.allowed) == ("certain", "alter table hr.employee alter column more type jsonb;")


STATUS = Column("status", "hr.status", PgType("varchar", length=6), labels=("active", "left"))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("steps: [{map: {A: active, L: left}}]", ""),
        ("steps: [{map: {A: active, L: gone}}]", "'gone' is none of them"),
        ("steps: [{map: {values: {A: active}, otherwise: unknown}}]", "'unknown' is none of them"),
        ("steps: [{map: {A: active}}, {default: left}]", ""),
        ("checks: [{one_of: [active, left]}]", ""),
        ("checks: [{one_of: [active, on_leave]}]", "'on_leave' is none of them"),
        ("steps: [{map: {A: active, L: left}}, upper]", "may be anything"),
        ("steps: [trim]", "may be anything"),
    ],
)
@pytest.mark.parametrize("real", [STATUS, column("status", allowed=("active", "left"), is_nullable=True)])
def test_a_column_of_certain_values_takes_words_that_give_them(
    tmp_path: Path, field: str, said: str, real: Column
) -> None:
    job = bent(
        tmp_path,
        ("  source_event_at:", f"  status: {{from: iban, type: text, {field}, pii: none}}\n  source_event_at:"),
    )
    found = mistakes(of_target(job, with_columns(TARGET, real)))

    assert [misfit.where for misfit in found] == ([("fields", "status")] if said else [])
    assert said in "".join(misfit.found for misfit in found)


def test_generated_columns_are_refused(job: SyncJob) -> None:
    generated = column("start_date", "date", is_generated=True)
    always = column("annual_salary", "numeric(12,2)", identity="always")
    by_default = column("bank_iban", "character varying(34)", identity="by default")

    assert only(of_target(job, with_columns(TARGET, generated))).allowed == "leave the field out"
    assert "set generated by default" in only(of_target(job, with_columns(TARGET, always))).allowed
    assert mistakes(of_target(job, with_columns(TARGET, by_default))) == []


def test_a_required_column_that_nobody_fills_is_told_with_the_line(job: SyncJob) -> None:
    misfit = only(of_target(job, with_columns(TARGET, column("birth_date", "date"))))

    assert (misfit.where, misfit.code, misfit.weight) == (("fields",), "M20", "certain")
    assert misfit.allowed == "add `birth_date: {from: ..., type: date, checks: [required]}`"
    for filled in ({"has_default": True}, {"is_generated": True}, {"identity": "always"}, {"is_nullable": True}):
        assert mistakes(of_target(job, with_columns(TARGET, column("birth_date", "date", **filled)))) == []


@pytest.mark.parametrize(
    ("field", "fits"),
    [
        ("from: iban, type: text", False),
        ("from: iban, type: text, checks: [required]", True),
        ("from: iban, type: text, steps: [{default: none}]", True),
        ("from: iban, type: text, steps: [{default: none}, trim]", False),
        ("constant: GB, type: text", True),
        ("constant: GB, type: text, steps: [trim]", False),
    ],
)
def test_a_field_of_a_required_column_must_have_a_value(tmp_path: Path, field: str, fits: bool) -> None:
    job = bent(tmp_path, ("  source_event_at:", f"  more: {{{field}, pii: none}}\n  source_event_at:"))

    found = mistakes(of_target(job, with_columns(TARGET, column("more"))))

    assert [(misfit.where, misfit.allowed) for misfit in found] == (
        [] if fits else [(("fields", "more"), "say checks: [required]")]
    )


@pytest.mark.parametrize("key", [("tenant_id",), ("employee_no",), ("tenant_id", "employee_no", "bank_iban")])
def test_the_targets_key_is_its_primary_key_or_a_unique_index(job: SyncJob, key: tuple[str, ...]) -> None:
    index = Index("pkey", key, is_unique=True, is_primary=True)
    codes = {misfit.where: misfit for misfit in mistakes(of_target(job, replace(TARGET, indexes=(index,))))}

    assert codes[("target", "key")].code == "M19"
    assert "create unique index concurrently on hr.employee (tenant_id, employee_no);" in (
        codes[("target", "key")].allowed
    )


def test_a_unique_index_in_another_order_is_a_key_too(job: SyncJob) -> None:
    index = Index("u", ("employee_no", "tenant_id"), is_unique=True)

    assert mistakes(of_target(job, replace(TARGET, indexes=(index,)))) == []


def test_keys_that_compare_in_another_way_are_refused(job: SyncJob) -> None:
    citext = only(of_target(job, with_columns(TARGET, column("employee_no", "citext", ignores_case=True))))

    assert citext.where == ("target", "key", 1)
    assert "'A' and 'a'" in citext.found


def test_a_table_that_the_database_does_not_guard_is_refused(job: SyncJob) -> None:
    misfit = only(of_target(job, replace(TARGET, forces_row_security=False)))

    assert (misfit.where, misfit.code) == (("tenancy", "column"), "M18")
    assert misfit.allowed.startswith("alter table hr.employee force row level security;")


def test_without_tenants_nothing_has_to_be_guarded(tmp_path: Path) -> None:
    job = bent(
        tmp_path,
        ("tenancy: {column: tenant_id}", 'tenancy: {none: "one company only"}'),
        ("  tenant: tenant_id\n", ""),
    )

    assert mistakes(of_target(job, replace(TARGET, has_row_security=False, forces_row_security=False))) == []


def test_stamps_must_be_there_and_hold_what_the_loader_writes(job: SyncJob) -> None:
    missing = only(of_target(job, with_columns(TARGET, without="sync_batch_id")))
    text = only(of_target(job, with_columns(TARGET, column("sync_batch_id"))))
    narrow = only(of_target(job, with_columns(TARGET, column("sync_batch_id", "integer"))))

    assert missing.where == text.where == narrow.where == ("target", "stamps", "batch")
    assert (missing.weight, text.weight, narrow.weight) == ("certain", "certain", "likely")
    assert narrow.allowed == "alter table hr.employee alter column sync_batch_id type bigint;"


def test_a_flag_that_new_rows_leave_out_needs_a_default(tmp_path: Path) -> None:
    job = bent(tmp_path, ("on_delete: hard", "on_delete: soft\n  deleted: is_gone"))
    bare = only(of_target(job, with_columns(TARGET, column("is_gone", "boolean"))))

    assert bare.allowed == "alter table hr.employee alter column is_gone set default false;"
    assert mistakes(of_target(job, with_columns(TARGET, column("is_gone", "boolean", has_default=True)))) == []


def test_what_only_rows_can_break_is_noted(job: SyncJob) -> None:
    domain = column("start_date", "date", is_nullable=True, domain="hr.day", domain_checks=("CHECK (VALUE > now())",))
    constraints = (
        Constraint("fk", "foreign key", ("bank_iban",), "..."),
        Constraint("known", "check", ("full_name",), "CHECK (length(full_name) > 3)"),
    )
    other = (*TARGET.indexes, Index("u", ("bank_iban",), is_unique=True))
    found = of_target(job, replace(with_columns(TARGET, domain), constraints=constraints, indexes=other))

    assert mistakes(found) == []
    told = "\n".join(notes(found))
    assert "constraint fk (foreign key on bank_iban)" in told
    assert "constraint known (check on full_name)" in told
    assert "(bank_iban) is unique in hr.employee too" in told
    assert "of domain" not in told  # the field has a range of its own: somebody thought of it


def test_a_key_of_any_length_is_noted_once(job: SyncJob) -> None:
    assert [said for said in notes(of_target(job, TARGET)) if "unbounded" in said] == [
        "key of unbounded text (tenant_id): one of more than 2,704 bytes is refused by the target"
    ]


@pytest.mark.parametrize(
    ("spelling", "kind"),
    [
        ("character varying(40)", "varchar(40)"), ("character varying", "varchar"), ("character(3)", "char(3)"),
        ("bpchar", "text"), ("timestamp(3) with time zone", "timestamptz(3)"), ("time(2) without time zone", "time(2)"),
        ("timestamp without time zone[]", "timestamp[]"), ("numeric(12,2)", "numeric(12,2)"), ("numeric(5,-2)", None),
        ("character varying(5)[]", "varchar(5)[]"), ("xml", None), ('"char"', None), ("hr.status", None),
        ("interval year to month", None), ("double precision", "double precision"),
    ],
)  # fmt: skip
def test_what_a_server_spells_is_read_as_mappings_name_it(spelling: str, kind: str | None) -> None:
    assert type_named(spelling) == (None if kind is None else PgType.parse(kind))


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        ("CHECK ((c = ANY (ARRAY['a'::text, 'it''s'::text])))", ("a", "it's")),
        ("CHECK (((c)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))", ("a", "b")),
        ("CHECK ((VALUE = ANY (ARRAY['x'::text, 'y'::text])))", ("x", "y")),
        ("CHECK ((c = ANY (ARRAY['a'::text, 'b'::text])) OR c IS NULL)", None),
        ("CHECK ((lower(c) = ANY (ARRAY['a'::text])))", None),
        ("CHECK ((n > 0))", None),
    ],
)
def test_a_plain_list_of_values_is_read_from_a_check_and_nothing_else(
    definition: str, values: tuple[str, ...] | None
) -> None:
    assert allowed_values(definition) == values
