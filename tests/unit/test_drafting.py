"""A draft from two catalogs: what is proposed, with which confidence, and what is left to a person."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from syncline.core.catalogs import pairing
from syncline.core.catalogs.drafting import Draft, Side, draft
from syncline.core.catalogs.pairing import Bridge, Sample, bridge_between, codes_in, name_likeness
from syncline.core.catalogs.tables import Column, Table
from syncline.core.checking import check_project
from syncline.core.files.findings import Finding
from syncline.core.job_files import examine_mapping
from tests.unit.test_fitting import column, table

JOB = "mdm__payroll__worker"
ASKED = re.compile(r"^\s*# DECIDE:.*\n|^\s*# (?:tenant|cursor): .*\n|\s*# DECIDE:.*$", re.MULTILINE)
SOURCE = table(
    "mdm.worker",
    column("tenant_id"), column("worker_id"), column("given_name", is_nullable=True),
    column("family_name", is_nullable=True), column("hired_on", is_nullable=True),
    column("annual_salary", "numeric(14,4)", is_nullable=True), column("status_code", is_nullable=True),
    column("updated_at", "timestamp with time zone"), column("is_deleted", "boolean"), column("shape", "point"),
    key=("tenant_id", "worker_id"),
)  # fmt: skip
TARGET = table(
    "hr.employee",
    column("tenant_id"), column("employee_no"), column("full_name", "character varying(140)"),
    column("start_date", "date"), column("annual_salary", "numeric(12,2)", is_nullable=True),
    column("status", is_nullable=True, allowed=("active", "leave", "left")), column("shoe_size", "integer"),
    column("source_event_at", "timestamp with time zone"), column("loaded_at", "timestamp with time zone"),
    column("sync_batch_id", "bigint"), column("row_no", "bigint", identity="always"),
    key=("tenant_id", "employee_no"),
)  # fmt: skip
# What a person writes for the lines that only people can fill.
DECIDED = (
    ("criticality:", "criticality: high"), ("  team:", "  team: lab"), ("  oncall:", "  oncall: lab-oncall"),
    ("  business:", "  business: lab-owner"), ("  latency_p50_s_max:", "  latency_p50_s_max: 60"),
    ("  latency_p99_s_max:", "  latency_p99_s_max: 600"), ("tenancy:", "tenancy: {column: tenant_id}"),
    ("  # tenant: tenant_id", "  tenant: tenant_id"),
)  # fmt: skip
NO_TENANTS = (*DECIDED[:-2], ("tenancy:", 'tenancy: {none: "one company only"}'))


def side(given: Table, **values: list[str | None]) -> Side:
    return Side("c", given, Sample({name: tuple(said) for name, said in values.items()}))


def drafted(source: Table = SOURCE, target: Table = TARGET, **values: list[str | None]) -> Draft:
    return draft(JOB, Side("mdm", source, side(source, **values).sample), Side("payroll", target))


def line_of(made: Draft, field: str) -> str:
    return next(line.strip() for line in made.mapping.splitlines() if line.startswith(f"  {field}:") and "{" in line)


def above(made: Draft, field: str) -> list[str]:
    """The comments of a field."""
    lines = made.mapping.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"  {field}:") and "{" in line)
    begin = next(n for n in range(at - 1, -1, -1) if not lines[n].startswith("  #"))
    return [line.strip() for line in lines[begin + 1 : at]]


def check(root: Path, made: Draft) -> list[Finding]:
    for path, text in made.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return check_project(root)[1]


def decide(made: Draft, choices: tuple[tuple[str, str], ...] = DECIDED) -> Draft:
    """What a person does: say what was asked, and take the comments away."""
    lines = made.manifest.splitlines()
    for begin, decided in choices:
        lines = [decided if line.startswith(begin) else line for line in lines]
    manifest, mapping = (ASKED.sub("", text) for text in ("\n".join(lines) + "\n", made.mapping))
    return Draft(made.job_id, manifest, mapping)


def test_a_draft_stops_the_check_at_each_line_that_only_people_can_fill(tmp_path: Path) -> None:
    made = drafted()

    found = [(finding.path, made.manifest.splitlines()[finding.line - 1].split("#")[0].strip())
             for finding in check(tmp_path, made) if finding.code != "M24"]  # fmt: skip

    assert found == [
        (f"include/manifests/{JOB}.yaml", line)
        for line in ("criticality:", "team:", "oncall:", "business:", "tenancy:", "latency_p50_s_max:",
                     "latency_p99_s_max:")
    ]  # fmt: skip


def test_the_check_tells_everything_that_is_left_to_decide_at_its_place(tmp_path: Path) -> None:
    made = drafted()

    told = [finding for finding in check(tmp_path, made) if finding.code == "M24"]

    assert [f"{finding.path}:{finding.line}" for finding in told] == [
        said.rpartition(".yaml:")[0] + ".yaml:" + said.rpartition(".yaml:")[2].split(":")[0] for said in made.decisions
    ]
    assert len(told) > 5


def test_a_draft_that_people_have_finished_passes_the_check(tmp_path: Path) -> None:
    assert check(tmp_path, decide(drafted())) == []


def test_a_draft_without_tenants_passes_the_check_too(tmp_path: Path) -> None:
    assert check(tmp_path, decide(drafted(), NO_TENANTS)) == []


def test_a_proposal_that_the_check_would_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "_rounded", lambda wanted: Bridge(("{no_such_word: 1}",)))

    assert "no_such_word" not in drafted().mapping


def test_the_same_catalogs_give_the_same_draft() -> None:
    assert drafted() == drafted()


def test_both_files_begin_with_the_modeline_of_their_schema() -> None:
    made = drafted()

    for text, kind in ((made.manifest, "manifest"), (made.mapping, "mapping")):
        assert text.splitlines()[0] == f"# yaml-language-server: $schema=../schemas/{kind}.schema.json"


def test_everything_to_decide_is_listed_with_its_place() -> None:
    made = drafted()

    assert len(made.decisions) == (made.manifest + made.mapping).count("# DECIDE:")
    assert any(
        said.startswith(f"include/manifests/{JOB}.yaml:7: a team, the person on call") for said in made.decisions
    )
    assert all(said.count(":") >= 2 for said in made.decisions)


def test_keys_duties_and_stamps_are_found_by_what_they_are() -> None:
    manifest = drafted().manifest

    for line in (
        "  key: [tenant_id, worker_id]", "  cursor: updated_at", "  deleted: is_deleted",
        "  key: [tenant_id, employee_no]", "  version: source_event_at",
        "  stamps: {batch: sync_batch_id, loaded_at: loaded_at}",
    ):  # fmt: skip
        assert line in manifest.splitlines()
    assert line_of(drafted(), "employee_no") == ("employee_no: {from: worker_id, type: text, checks: [required]}")
    assert "row_no" not in drafted().mapping.replace("# ", "")  # PostgreSQL fills it


def test_a_pair_says_how_sure_it_is_and_why() -> None:
    days: list[str | None] = ["2024-01-31", "2020-02-29", None]

    assert above(drafted(hired_on=days), "start_date") == [
        "# 0.93: names mean the same, text that looks like iso dates is read"
    ]
    assert above(drafted(), "start_date")[1] == (
        "# DECIDE: which date format has the text? there is no sample to look at"
    )


def test_a_column_that_must_be_filled_and_has_no_pair_is_asked_for() -> None:
    text = drafted().mapping

    assert "# DECIDE: shoe_size (integer) is NOT NULL without a default. From one of: " in text
    assert "  # shoe_size: {from: ..., type: integer, checks: [required]}" in text


def test_a_narrower_number_is_rounded_and_asked_about() -> None:
    assert "steps: [{round: {scale: 2, mode: half_even}}]" in line_of(drafted(), "annual_salary")
    assert any("half_even, half_up" in said for said in above(drafted(), "annual_salary"))


def test_text_is_never_cut_without_a_person() -> None:
    assert "{truncate" not in drafted().mapping
    assert "type: varchar(140)" in line_of(drafted(), "full_name")  # what is longer is an error of its row


def test_parts_of_a_name_are_proposed_for_a_whole_one() -> None:
    assert "concat: {columns: [given_name, family_name]}" in line_of(drafted(), "full_name")
    assert line_of(drafted(), "full_name").endswith("pii: name}")


@pytest.mark.parametrize(
    ("name", "kind", "pii"),
    [
        ("email", "text", "contact"), ("birth_date", "date", "birth"), ("iban", "text", "financial"),
        ("tax_code", "text", "government_id"), ("first_name", "text", "name"), ("annual_salary", "numeric", "financial"),
        ("colour", "text", None), ("salary_currency", "text", None),
    ],
)  # fmt: skip
def test_what_looks_personal_gets_a_class_to_confirm(tmp_path: Path, name: str, kind: str, pii: str | None) -> None:
    both = (column("id", "integer"), column(name, kind))
    made = drafted(table("s.a", *both, key=("id",)), table("t.b", *both, key=("id",)))

    assert line_of(made, name).endswith(f"pii: {pii}}}" if pii else "checks: [required]}")
    assert any("pii: " in said and "DECIDE" in said for said in above(made, name)) is (pii is not None)
    check(tmp_path, decide(made))
    assert examine_mapping(tmp_path, JOB)[1] == []


def test_codes_that_are_plainly_meant_are_mapped_and_the_others_named() -> None:
    codes: list[str | None] = ["ACTIVE", "LEAVE", "TRM"] * 10

    assert 'steps: [{map: {values: {"ACTIVE": "active", "LEAVE": "leave"}}}]' in line_of(
        drafted(status_code=codes), "status"
    )
    assert any("Rejected as yet: TRM" in said for said in above(drafted(status_code=codes), "status"))


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (["A", "B"] * 10, ("A", "B")),
        (["Ann", "Bob", "Eve"], ()),  # each once: these are no codes
        (["Ann Lee"] * 10, ()),  # two words
        ([f"C{n}" for n in range(50)] * 10, ()),  # too many
        ([], ()),
    ],
)
def test_only_codes_ever_reach_a_file(values: list[str], codes: tuple[str, ...]) -> None:
    assert codes_in(values) == codes


def test_no_value_of_a_sample_reaches_a_file() -> None:
    people = [f"Zebulon{n}" for n in range(30)]
    made = drafted(**dict.fromkeys(SOURCE.columns, people))  # type: ignore[arg-type]

    assert "Zebulon" not in made.manifest + made.mapping


def test_values_that_both_sides_hold_raise_the_confidence_and_are_shown_as_a_share() -> None:
    a, b = column("ref_a"), column("quite_other")
    codes = [f"K{n}" for n in range(40)]
    given = table("s.a", column("id", "integer"), a, key=("id",))
    held = table("t.b", column("id", "integer"), b, key=("id",))

    blind = draft(JOB, side(given), side(held))
    seeing = draft(JOB, side(given, ref_a=[*codes]), side(held, quite_other=[*codes[:20]]))

    assert "quite_other: {from: ref_a" not in blind.mapping
    assert "quite_other: {from: ref_a" in seeing.mapping
    assert "100 % of sampled values occur on the other side" in above(seeing, "quite_other")[0]
    assert above(seeing, "quite_other")[1].startswith("# DECIDE: is ref_a meant")


@pytest.mark.parametrize(
    ("one", "other", "at_least"),
    [
        ("worker_id", "worker_id", 1.0), ("employee_no", "worker_id", 0.95), ("hired_on", "start_date", 0.95),
        ("currency_code", "currency", 0.6), ("iban", "bank_iban", 0.6),
    ],
)  # fmt: skip
def test_names_that_mean_the_same_are_close(one: str, other: str, at_least: float) -> None:
    assert name_likeness(one, other)[0] >= at_least


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("vorname", "first_name"), ("prenom", "given_name"), ("nombre", "first_name"), ("nachname", "last_name"),
        ("nom", "family_name"), ("apellido", "last_name"), ("geburtsdatum", "birth_date"), ("strasse", "street"),
        ("ort", "city"), ("ville", "town"), ("ciudad", "city"), ("plz", "postcode"), ("land", "country"),
        ("pays", "country"), ("pais", "country"), ("betrag", "amount"), ("montant", "amount"), ("importe", "amount"),
        ("waehrung", "currency"), ("devise", "currency"), ("moneda", "currency"), ("fecha", "date"), ("bis", "until"),
        ("beginn", "start"), ("mandant", "tenant"), ("beschreibung", "description"), ("bezeichnung", "description"),
        ("geaendert_am", "updated_on"), ("geloescht", "deleted"), ("kunde", "client"), ("kundennummer", "client_id"),
        ("mitarbeiter_nr", "employee_no"), ("rechnungsdatum", "invoice_date"), ("rechnungsnummer", "invoice_no"),
        ("von", "start"),
    ],
)  # fmt: skip
def test_names_of_other_languages_mean_the_same(one: str, other: str) -> None:
    assert name_likeness(one, other)[0] >= 0.95


@pytest.mark.parametrize(
    ("one", "other"),
    [("filename", "full_name"), ("nachname", "vorname"), ("ort", "port"), ("land", "landed_on"), ("bis", "bic"),
     ("rechnungsdatum", "geburtsdatum"), ("kundennummer", "rechnungsnummer")],
)  # fmt: skip
def test_foreign_words_do_not_pair_what_means_another_thing(one: str, other: str) -> None:
    assert name_likeness(one, other)[0] < 0.7


GERMAN = table(
    "alt.mitarbeiter",
    column("mandant", "integer"), column("personalnummer", "integer"), column("abteilung", "integer"),
    column("vorname", "character varying(40)"), column("kst", "character varying(8)"),
    column("geburtsdatum", "date"), column("betrag", "numeric(12,2)"), column("bemerkung", is_nullable=True),
    column("angelegt", "timestamp with time zone"), column("geaendert_am", "timestamp with time zone"),
    column("gesehen", "timestamp with time zone", is_nullable=True),
    key=("mandant", "personalnummer"),
)  # fmt: skip


def suggestions(wanted: Column, source: Table = GERMAN, **values: list[str | None]) -> list[str]:
    made = drafted(source, table("t.b", column("xx", "uuid"), wanted, key=("xx",)), **values)
    asked = next(said for said in made.mapping.splitlines() if f"DECIDE: {wanted.name} (" in said)
    return asked.rpartition("From one of: ")[2].rstrip("?").split(", ") if "From one of" in asked else []


def test_what_is_suggested_fits_the_type_and_what_is_nearest_comes_first() -> None:
    assert suggestions(column("cost_centre", "character varying(8)"))[0] == "kst"
    assert suggestions(column("fte", "numeric(12,2)"))[0] == "betrag"
    assert set(suggestions(column("grade", "smallint"))) == {"abteilung", "mandant", "personalnummer"}
    assert suggestions(column("where_at", "uuid")) == []


def test_a_date_is_suggested_from_dates() -> None:
    assert suggestions(column("contract_end", "date"))[0] == "geburtsdatum"
    assert set(suggestions(column("contract_end", "date"))) <= {"geburtsdatum", "angelegt", "geaendert_am", "gesehen"}
    texts = table("s.a", column("id", "integer"), column("frist"), column("kst"), key=("id",))
    assert suggestions(column("contract_end", "date"), texts) == []
    assert suggestions(column("contract_end", "date"), texts, frist=["2024-01-31"]) == ["frist"]


def test_a_text_of_numbers_may_be_a_number() -> None:
    texts = table("s.a", column("pk"), column("menge"), column("wort"), key=("pk",))

    assert suggestions(column("pieces", "integer"), texts, menge=["1", "25"], wort=["a", "b"]) == ["menge"]


def test_a_column_of_the_targets_key_is_suggested_from_the_sources_key() -> None:
    wanted = table("t.b", column("xx", "integer"), column("yy", "integer"), column("abteilung", "integer"),
                   key=("xx", "yy"))  # fmt: skip
    asked = [said for said in drafted(GERMAN, wanted).decisions if "NOT NULL" in said]

    assert [said.rpartition(": ")[2] for said in asked] == ["mandant, personalnummer?"] * 2


def test_the_tenant_is_seen_in_both_keys_under_names_of_their_own() -> None:
    held = table("t.b", column("tenant_id"), column("employee_no", "integer"), key=("tenant_id", "employee_no"))
    made = drafted(GERMAN, held)

    assert "tenancy:  # DECIDE: {column: tenant_id}, or " in made.manifest
    assert "  # tenant: mandant  # DECIDE: with tenancy {column: tenant_id}" in made.manifest
    assert line_of(made, "tenant_id").startswith("tenant_id: {from: mandant,")
    assert line_of(made, "employee_no").startswith("employee_no: {from: personalnummer,")


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        (("tenant_id", "no"), "tenant_id"), (("no", "mandant"), "mandant"), (("client_id", "no"), "client_id"),
        (("no", "client_id"), None), (("client_id",), None), (("mandanten_nr", "client_id"), "mandanten_nr"),
    ],
)  # fmt: skip
def test_what_looks_like_a_tenant_in_the_targets_key_is_proposed(key: tuple[str, ...], tenant: str | None) -> None:
    made = drafted(GERMAN, table("t.b", *(column(name) for name in key), key=key))

    assert f"DECIDE: {{column: {tenant or '<a column of target.key>'}}}, or" in made.manifest


def test_an_instant_that_is_never_empty_is_proposed_as_the_cursor_and_not_taken(tmp_path: Path) -> None:
    made = drafted(GERMAN, TARGET)

    assert "  # cursor: geaendert_am  # DECIDE: is it set by every change, or is angelegt? " in made.manifest
    assert not re.search(r"^  cursor:", made.manifest, re.MULTILINE)
    (told,) = [finding for finding in check(tmp_path, made) if "is it set by every change" in finding.found]
    assert told.code == "M24"


@pytest.mark.parametrize("name", ["sync_batch", "batch_id", "sync_batch_id"])
def test_the_batch_is_stamped_where_a_column_is_called_so(name: str) -> None:
    held = table("t.b", column("id", "integer"), column(name, "bigint"), key=("id",))

    assert f"  stamps: {{batch: {name}}}" in drafted(SOURCE, held).manifest


def test_where_nothing_pairs_the_lines_can_be_taken_out_of_their_comments(tmp_path: Path) -> None:
    given = table("s.a", column("kst", "uuid"), column("ff", "uuid"), key=("kst", "ff"))
    held = table("t.b", column("yy", "uuid"), column("xx", "uuid"), key=("yy", "xx"))
    made = drafted(given, held)

    assert "{}" not in made.mapping
    lines = decide(made, NO_TENANTS).mapping.replace("  # ", "  ").replace("{from: ...", "{from: kst", 1)
    done = Draft(made.job_id, decide(made, NO_TENANTS).manifest, lines.replace("{from: ...", "{from: ff"))
    assert check(tmp_path, done) == []


@pytest.mark.parametrize(("name", "pii"), [("geburtsdatum", "birth"), ("vorname", "name"), ("apellido", "name")])
def test_what_is_personal_in_another_language_is_asked_about_too(name: str, pii: str) -> None:
    both = (column("id", "integer"), column(name))
    made = drafted(table("s.a", *both, key=("id",)), table("t.b", *both, key=("id",)))

    assert line_of(made, name).endswith(f"pii: {pii}}}")


@pytest.mark.parametrize(
    ("one", "other"), [("country_code", "status_code"), ("tenant_id", "worker_id"), ("city", "iban")]
)
def test_names_that_share_only_a_common_word_are_far(one: str, other: str) -> None:
    assert name_likeness(one, other)[0] < 0.4


@pytest.mark.parametrize(
    ("given", "wanted", "steps"),
    [
        ("text", "integer", ("{cast: integer}",)),
        ("text", "numeric(12,2)", ("parse_number", "{round: {scale: 2, mode: half_even}}")),
        ("numeric(12,2)", "integer", ("{round: {scale: 0, mode: half_even}}",)),
        ("timestamp without time zone", "timestamp with time zone", ("{in_zone: {zone: UTC}}",)),
        ("timestamp with time zone", "date", ("{date_in: UTC}",)),
        ("date", "text", ()),
        ("bigint", "integer", ()),  # what is too large is an error of its row
        ("boolean", "date", None),
        ("text", "json", None),
        ("xml", "text", None),
    ],
)
def test_the_bridge_between_two_types(given: str, wanted: str, steps: tuple[str, ...] | None) -> None:
    bridge = bridge_between(column("a", given), column("b", wanted), [])

    assert (None if bridge is None else bridge.steps) == steps


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (["31/12/2024", "01/02/2024"], "{parse_date: dd/mm/yyyy}"),
        (["12/31/2024", "01/02/2024", "02/28/2024", "03/30/2024", "04/29/2024"], "{parse_date: mm/dd/yyyy}"),
        (["20241231", "20240101"], "{parse_date: yyyymmdd}"),
        (["31.12.2024"], "{parse_date: dd.mm.yyyy}"),
    ],
)
def test_a_date_format_is_seen_in_the_sample(values: list[str], step: str) -> None:
    bridge = bridge_between(column("a"), column("b", "date"), values)

    assert bridge is not None
    assert (bridge.steps, bridge.decide) == ((step,), ())


def test_an_ambiguous_date_is_asked_about() -> None:
    bridge = bridge_between(column("a"), column("b", "date"), ["03/04/2024"])

    assert bridge is not None
    assert "two days" in bridge.decide[0]


ODD_TABLES: dict[str, Any] = {
    "names that need quotes": [column("id", "integer"), column("Mixed"), column("with space"), column("ünï"), column("_deleted")],
    "names that YAML reads otherwise": [column("id", "integer"), *(column(name) for name in ("no", "y", "null", "on", "true"))],
    "reserved words of SQL": [column("id", "integer"), *(column(name) for name in ("select", "order", "user", "table"))],
    "types that nobody knows": [column("id", "integer"), column("at", "point"), column("doc", "xml"), column("j", "json")],
    "300 columns": [column("id", "integer"), *(column(f"c{n}", "numeric(12,2)") for n in range(299))],
    "arrays, enumerations and times": [
        column("id", "integer"), column("tags", "text[]"), column("seen", "timestamp(3) with time zone"),
        Column("state", "s.state", None, labels=()), column("span", "interval"), column("m", "money"),
    ],
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("columns", ODD_TABLES.values(), ids=list(ODD_TABLES))
def test_a_draft_of_an_odd_table_passes_the_check_or_says_why_not(tmp_path: Path, columns: list[Column]) -> None:
    key = ("id",) if columns else ()
    given, held = table("s.odd", *columns, key=key), table("t.odd", *columns, key=key)
    made = decide(drafted(given, held), NO_TENANTS)

    found = check(tmp_path, made)

    if columns:
        assert found == []
    else:
        assert {finding.code for finding in found} == {"M02"}  # key, source and fields are empty
    for name in ("Mixed", "with space", "_deleted", "doc"):
        if name in given.columns:
            assert "# Cannot be read: column" in made.mapping
            assert "impossible: column" in made.mapping


def test_a_table_without_a_key_asks_for_one(tmp_path: Path) -> None:
    keyless = Table("s.log", {"a": column("a"), "b": column("b")})
    made = drafted(keyless, keyless)

    assert made.manifest.count("# DECIDE: s.log has no primary key") == 2
    assert made.manifest.count("  key: []") == 2
    assert {finding.code for finding in check(tmp_path, decide(made))} == {"M02"}


def test_a_nullable_unique_index_is_no_key() -> None:
    given = table("s.a", column("id", "integer", is_nullable=True), key=("id",))

    assert "  key: []" in drafted(given, given).manifest


def test_a_view_gets_no_cursor() -> None:
    view = Table("s.v", dict(SOURCE.columns), kind="view")

    assert "\n  cursor:" not in drafted(view).manifest
    assert "every batch reads the whole table" in drafted(view).manifest
