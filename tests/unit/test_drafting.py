"""A draft from two catalogs: what is proposed, with which confidence, and what is left to a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from syncline.core.catalogs import bridging, pairing
from syncline.core.catalogs.bridging import Bridge, bridge_between, codes_in
from syncline.core.catalogs.drafting import Draft, Side, Surroundings, draft
from syncline.core.catalogs.naming import name_likeness
from syncline.core.catalogs.pairing import Sample
from syncline.core.catalogs.tables import Column, Index, Table
from syncline.core.checking import check_project
from syncline.core.files.findings import Finding
from syncline.core.job_files import examine_mapping
from syncline.core.mapping import PII
from syncline.core.reference_files import ProjectReferences
from syncline.core.sensitive import PERSONAL, looks_personal
from tests.conftest import ROOT
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
    monkeypatch.setattr(bridging, "_rounded", lambda wanted: Bridge(("{no_such_word: 1}",)))

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
        "# 0.93: names mean the same, text that looks like iso dates is read",
        "# DECIDE: 1 of 3 sampled rows have no hired_on, and start_date is NOT NULL: reject them, or fill them with "
        "steps: [{default: ...}]?",
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
            assert "impossible: column" in drafted(given, held).mapping


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


# -- values of people never reach a file ---------------------------------------------------------------------


def pair_of(source: Column, target: Column, values: Sequence[str | None] = ()) -> Draft:
    """A draft of two tables of one column beside the key."""
    given = table("s.a", column("pk", "uuid"), source, key=("pk",))
    held = table("t.b", column("pk", "uuid"), target, key=("pk",))
    return draft(JOB, side(given, **{source.name: list(values)}), side(held), AROUND_PROJECT)


AROUND_PROJECT = Surroundings(ProjectReferences(ROOT), {"iso_3166_alpha_3": {"GB": "GBR", "DE": "DEU", "FR": "FRA"}})
LISTED = ("active", "leave", "left")
SURNAMES, PHONES = ["Kowalski", "Nowak", "Lefebvre"], ["+491701234567", "+491709876543", "+441632960"]


@pytest.mark.parametrize(
    ("source", "target", "values"),
    [
        ("family_name", "status", SURNAMES), ("kunde", "status", SURNAMES), ("status", "surname", SURNAMES),
        ("account_status", "inhaber", SURNAMES), ("phone", "phone", PHONES), ("status", "status", PHONES),
        ("religion", "religion", ["catholic", "jedi"]), ("diagnosis", "status", ["F32"]),
        ("ethnicity", "status", ["roma"]), ("disability", "code", ["blind"]),
        ("union_member", "status", ["verdi"]), ("sexual_orientation", "type", ["gay"]),
        ("health_status", "status", ["sick"]), ("political_party", "code", ["greens"]),
        ("nachname", "code", SURNAMES), ("gender", "type", ["female"]), ("salary", "code", ["low"]),
        ("sick_leave_type", "type", ["cancer"]), ("inhaber", "besitzer", SURNAMES),
    ],
)  # fmt: skip
def test_no_value_of_a_person_is_ever_written(source: str, target: str, values: list[str]) -> None:
    rows = [*values, "left", "active"] * 10
    bridge = bridge_between(column(source), column(target, allowed=LISTED), rows)

    assert bridge is not None
    said = " ".join((bridge.said, *bridge.steps, *bridge.checks, *bridge.decide))
    assert [value for value in values if re.search(rf"\b{re.escape(value)}\b", said)] == []
    made = drafted(**dict.fromkeys(SOURCE.columns, rows))  # type: ignore[arg-type]
    assert [value for value in (*SURNAMES, *PHONES) if value in made.mapping + made.manifest] == []


@pytest.mark.parametrize(
    ("source", "target", "rows", "hidden"),
    [
        ("status", "status", ["active", "left"] * 50 + ["Li"], "Li"),  # once: a slip, not a code
        ("inhaber", "besitzer", ["active", "Li", "Ng"] * 10, "Li"),  # neither name says code, and few are meant
        ("status", "zustand", ["active", "leave", "leftover"] * 10, "leftover"),  # more than the target's own value
    ],
)
def test_what_may_be_no_code_is_only_counted(source: str, target: str, rows: list[str], hidden: str) -> None:
    bridge = bridge_between(column(source), column(target, allowed=LISTED), rows)

    assert bridge is not None
    assert hidden not in " ".join((*bridge.steps, *bridge.checks, *bridge.decide))
    assert "values have no counterpart; `syncline preview` shows them" in " ".join(bridge.decide)


def test_what_has_no_counterpart_is_counted_where_it_may_not_be_shown() -> None:
    made = pair_of(column("religion"), column("religion", allowed=("catholic", "none")), ["catholic", "jedi"] * 10)

    (asked,) = [said for said in above(made, "religion") if "the table takes" in said]
    assert "takes 2 values only" in asked
    assert "1 of 2 different values have no counterpart" in asked
    assert "`syncline preview` shows" in asked
    assert "catholic" not in made.mapping
    assert "jedi" not in made.mapping


def test_values_that_fit_no_code_are_counted_where_neither_name_nor_values_say_code() -> None:
    made = pair_of(column("betreuer"), column("betreuer", allowed=LISTED), SURNAMES * 10)

    assert any("3 different values have no counterpart" in said for said in above(made, "betreuer"))
    assert not any(name in made.mapping for name in SURNAMES)


@pytest.mark.parametrize(
    "values", [[f"K{n}" for n in range(30)] * 10, ["a rather long sentence of words"] * 10, ["active", "leave"]]
)
def test_a_column_that_is_no_column_of_codes_is_never_listed(values: list[str]) -> None:
    made = pair_of(column("status"), column("status", allowed=("active", "on leave", "left")), [*values])

    assert "map: {values" not in made.mapping
    assert "Rejected as yet" not in made.mapping


def test_many_allowed_values_are_no_codes_and_none_is_written() -> None:
    many = tuple(f"Person{n}" for n in range(40))
    made = pair_of(column("owner_ref"), column("owner_ref", allowed=many), ["Person1", "Other"] * 10)

    assert "Person1" not in made.mapping
    assert "Other" not in made.mapping


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("postcode", "contact"), ("zip", "contact"), ("zip_code", "contact"), ("postal_code", "contact"),
        ("plz", "contact"), ("home_address", "contact"), ("email2", "contact"), ("lastname", "name"), ("bic", "financial"),
        ("religion", "special"), ("diagnosis_code", "special"), ("marital_status", "special"),
    ],
)  # fmt: skip
def test_the_draft_gives_a_class_to_whatever_the_check_wants_one_for(name: str, kind: str) -> None:
    assert looks_personal(name)
    assert line_of(pair_of(column(name), column(name)), name).endswith(f"pii: {kind}}}")


def test_every_class_that_a_draft_may_give_is_one_of_mappings() -> None:
    assert set(PERSONAL) <= set(PII)


def test_a_special_category_asks_whether_it_may_be_copied_at_all() -> None:
    asked = above(pair_of(column("religion"), column("religion")), "religion")

    assert any("special category of personal data: may it be copied at all?" in said for said in asked)


# -- keys that cannot be one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["oid", "int4range", "name"])
def test_a_key_of_a_type_that_mappings_do_not_know_is_asked_about(kind: str) -> None:
    given = table("s.a", column("relkey", kind), column("note"), key=("relkey",))
    held = table("t.b", column("k"), column("note"), key=("k",))
    made = drafted(given, held)

    said = f"key column relkey is {kind}, a type that mappings do not know; decide a key"
    assert any(said in one for one in made.decisions)
    assert any("k (text) is NOT NULL without a default" in one for one in made.decisions)
    assert any(said in one for one in drafted(held, given).decisions)


def test_a_key_of_known_types_is_taken_before_another() -> None:
    given = table("s.a", column("oid", "oid"), column("code"), key=("oid",),
                  indexes=(Index("by_code", ("code",), is_unique=True),))  # fmt: skip

    assert "  key: [code]" in drafted(given, TARGET).manifest


def test_a_key_that_may_be_filled_although_the_target_counts_itself_is_asked_about() -> None:
    held = table("t.b", column("worker_id", "bigint", identity="by default"), key=("worker_id",))
    given = table("s.a", column("worker_id", "bigint"), key=("worker_id",))
    made = drafted(given, held)

    assert any("worker_id is generated by default as identity: it may be filled" in one for one in made.decisions)
    assert line_of(made, "worker_id") == "worker_id: {from: worker_id, type: bigint, checks: [required]}"


@pytest.mark.parametrize(
    ("said", "how"),
    [({"identity": "always"}, "generated always as identity"), ({"is_generated": True}, "a generated column")],
)
def test_a_key_that_only_the_target_may_fill_is_no_key(said: dict[str, Any], how: str) -> None:
    given = table("s.a", column("code"), key=("code",))
    alone = drafted(given, table("t.b", column("row_no", "bigint", **said), column("code"), key=("row_no",)))
    beside = table("t.b", column("row_no", "bigint", **said), column("code"), key=("row_no",),
                   indexes=(Index("by_code", ("code",), is_unique=True),))  # fmt: skip

    (asked,) = [one for one in alone.decisions if f"row_no is {how}" in one]
    assert "cannot be a sync key; have the owner add one of the business key" in asked
    assert "  key: []" in alone.manifest
    (asked,) = [one for one in drafted(given, beside).decisions if f"row_no is {how}" in one]
    assert "the business key [code] is proposed" in asked
    assert drafted(given, beside).manifest.count("  key: [code]") == 2


# -- amounts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["minor", "cents", "pennies", "pence", "rappen"])
def test_an_amount_becomes_minor_units_and_the_currency_is_asked_for(word: str) -> None:
    made = pair_of(column("amount", "numeric(12,2)"), column(f"amount_{word}", "bigint"), ["12.34", "-1"])

    assert "steps: [{to_minor_units: {currency: " in line_of(made, f"amount_{word}")
    assert "round" not in made.mapping
    assert any("DECIDE: which currency?" in said for said in above(made, f"amount_{word}"))


def test_minor_units_become_an_amount() -> None:
    made = pair_of(column("amount_pence", "integer"), column("amount", "numeric(12,2)"))

    assert "steps: [{from_minor_units: {currency: GBP}}]" in line_of(made, "amount")
    assert any("DECIDE: which currency? GBP is a guess" in said for said in above(made, "amount"))


def test_the_rows_own_currency_is_taken_where_a_column_says_it() -> None:
    given = table("s.a", column("pk", "uuid"), column("amount", "numeric(12,2)"), column("currency"), key=("pk",))
    held = table("t.b", column("pk", "uuid"), column("amount_minor", "bigint"), key=("pk",))
    made = draft(JOB, side(given), side(held), AROUND_PROJECT)

    assert 'steps: [{to_minor_units: {currency_from: "currency"}}]' in line_of(made, "amount_minor")
    assert "  currency: text" in made.mapping


def test_a_project_without_the_list_of_minor_units_is_told_so() -> None:
    given, held = (
        table("s.a", column("pk", "uuid"), column("amount", "numeric(12,2)"), key=("pk",)),
        table("t.b", column("pk", "uuid"), column("amount_minor", "bigint"), key=("pk",)),
    )
    (asked,) = [one for one in draft(JOB, side(given), side(held)).decisions if "amount_minor" in one]

    assert "to_minor_units" in asked
    assert "would be refused: this word needs the project's files" in asked


def test_whole_numbers_beside_minor_units_are_asked_about() -> None:
    made = pair_of(column("amount", "bigint"), column("amount_minor", "bigint"))

    assert "steps" not in line_of(made, "amount_minor")
    assert any("does the source count minor units too" in said for said in above(made, "amount_minor"))


# -- what the sample says of a proposal ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "values", "said"),
    [
        (column("ref"), column("ref", "character(2)"), ["USA", "Brazil", "UK"], "2 of 3 sampled values do not fit"),
        (column("mail_to"), column("mail_to", "character varying(10)"), ["a@example.org", "b@c.de"], "1 of 2 sampled"),
        (column("menge"), column("menge", "integer"), ["12", "a lot", "3"], "1 of 3 sampled values do not fit"),
        (column("anzahl", "bigint"), column("anzahl", "smallint"), ["1", "40000"], "1 of 2 sampled values do not fit"),
        (column("anzahl", "numeric"), column("anzahl", "numeric(4,2)"), ["1.5", "99.999"], "1 of 2 sampled values do not fit"),
        (column("on_day"), column("on_day", "date"), ["2024-01-31", "2024-02-30"], "1 of 2 sampled values"),
        (column("flag"), column("flag", "boolean"), ["maybe", "t", "1"], "1 of 3 sampled values do not fit"),
        (column("k"), column("k", "uuid"), ["1", "b2f9f0f6-25d4-4b6a-b2d4-0e5b6b0a9a11"], "1 of 2 sampled values"),
    ],
)  # fmt: skip
def test_what_would_be_rejected_is_counted_asked_about_and_lowers_the_confidence(
    source: Column, target: Column, values: list[str | None], said: str
) -> None:
    made, blind = pair_of(source, target, values), pair_of(source, target)

    assert any(said in one and "DECIDE" in one for one in above(made, target.name))
    assert float(above(made, target.name)[0][2:6]) < float(above(blind, target.name)[0][2:6])


@pytest.mark.parametrize(
    ("values", "kind", "steps"),
    [
        (["1,50", "2,75"], "numeric(12,2)", '{parse_number: {decimal: ","}}, {round: {scale: 2, mode: half_even}}'),
        (["1.234,50", "7,5"], "numeric", '{parse_number: {decimal: ",", thousands: "."}}'),
        (["1,234.50", "7.5"], "numeric", '{parse_number: {decimal: ".", thousands: ","}}'),
        (["1 234,50", "7,5"], "numeric", '{parse_number: {decimal: ",", thousands: " "}}'),
        (["1.5", "2"], "numeric", "parse_number"),
        (["1.234.567", "1.000,00"], "bigint", '{parse_number: {decimal: ",", thousands: "."}}, {cast: bigint}'),
        (["12", "7"], "integer", "{cast: integer}"),
    ],
)  # fmt: skip
def test_a_known_form_of_numbers_is_recognised(values: list[str | None], kind: str, steps: str) -> None:
    made = pair_of(column("menge"), column("menge", kind), values)

    assert f"steps: [{steps}]" in line_of(made, "menge")
    assert not any("do not fit" in said for said in above(made, "menge"))


def test_a_sign_that_may_stand_for_two_things_is_asked_about() -> None:
    asked = above(pair_of(column("menge"), column("menge", "numeric"), ["1,234", "5,678"]), "menge")

    assert any("does ',' stand before decimals or between thousands?" in said for said in asked)


@pytest.mark.parametrize(
    ("values", "spelt"),
    [(["yes", "no"], '[{parse_boolean: {true_is: ["yes"], false_is: ["no"], ignore_case: true}}]'),
     (["J", "N"], '[{parse_boolean: {true_is: ["j"], false_is: ["n"], ignore_case: true}}]'),
     (["t", "f"], "[{cast: boolean}]")],
)  # fmt: skip
def test_two_spellings_of_true_and_false_are_recognised(values: list[str | None], spelt: str) -> None:
    made = pair_of(column("is_open"), column("is_open", "boolean"), values * 3)

    assert f"steps: {spelt}" in line_of(made, "is_open")
    assert not any("do not fit" in said for said in above(made, "is_open"))


def test_spellings_of_what_is_personal_or_unknown_are_not_written() -> None:
    personal = pair_of(column("disability"), column("disability", "boolean"), ["ja", "nein"])
    unknown = pair_of(column("is_open"), column("is_open", "boolean"), ["Offen", "Zu"])

    assert '"ja"' not in personal.mapping
    assert "Offen" not in unknown.mapping
    for made, name in ((personal, "disability"), (unknown, "is_open")):
        assert any("which texts stand for true and false?" in said for said in above(made, name))
        assert any("2 of 2 sampled values do not fit" in said for said in above(made, name))


COUNTRIES: list[str | None] = ["USA", "Germany", "France", "USA"]


def test_texts_that_a_code_list_has_become_its_codes() -> None:
    names = {"country_names": {"USA": "US", "Germany": "DE", "France": "FR", "Chile": "CL"}}
    source, target = column("country"), column("country_code", "character(2)")
    given, held = (
        table("s.a", column("pk", "uuid"), source, key=("pk",)),
        table("t.b", column("pk", "uuid"), target, key=("pk",)),
    )
    around = Surroundings(ProjectReferences(ROOT / "examples" / "chinook"), names)
    made = draft(JOB, side(given, country=COUNTRIES), side(held), around)

    assert "steps: [{code_list: country_names}]" in line_of(made, "country_code")
    assert any("is code list country_names meant" in said for said in above(made, "country_code"))


def test_names_of_countries_without_a_list_are_told() -> None:
    asked = above(pair_of(column("country"), column("country_code", "character(2)"), COUNTRIES), "country_code")

    assert any("4 of 4 sampled values do not fit" in said for said in asked)
    assert any("keep a code list, include/code_lists/country_names.yaml" in said for said in asked)
    assert asked[0].startswith("# 0.4")


def test_parts_of_a_name_that_are_too_long_together_are_counted() -> None:
    made = drafted(given_name=["Zebulon" * 10, "Ann"], family_name=["Q" * 80, "Li"])

    assert any("1 of 2 sampled names do not fit varchar(140)" in said for said in above(made, "full_name"))


# -- what is left out says so --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CreatedBy", "größe", "with space", "ctid"])
def test_a_column_that_must_be_filled_and_cannot_be_named_is_asked_about(name: str) -> None:
    held = table("t.b", column("id", "integer"), column(name), column("Ruhig", is_nullable=True), key=("id",))
    made = drafted(table("s.a", column("id", "integer"), key=("id",)), held)

    (asked,) = [one for one in made.decisions if "impossible: column" in one]
    assert name in asked
    assert "NOT NULL without a default" in asked
    assert '  # impossible: column "Ruhig"' in made.mapping  # nobody owes it


@pytest.mark.parametrize(
    ("given", "wanted", "why"),
    [
        ("double precision", "numeric(5,1)", "double precision -> numeric(5,1) needs cast and round"),
        ("integer", "boolean", "integer -> boolean needs parse_boolean"),
        ("text", "timestamp with time zone", "text -> timestamptz needs parse_timestamp and in_zone"),
        ("timestamp without time zone", "date", 'timestamp -> date loses something: say why that is right, lossy: "'),
        ("jsonb", "json", "needs a target column of type jsonb"),
        ("uuid", "integer", "no step leads from uuid -> integer; have a view make it"),
        ("point", "text", "point is a type that mappings do not know; have a view make it text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_nullable", [True, False])
def test_a_column_of_the_same_name_that_is_left_out_says_why(
    given: str, wanted: str, why: str, is_nullable: bool
) -> None:
    made = pair_of(column("weight", given), column("weight", wanted, is_nullable=is_nullable))

    (asked,) = [one for one in made.decisions if ": weight" in one]
    assert why in asked


def test_what_cannot_be_a_pair_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide table would be tried with every column of another wide table."""
    tried: list[str] = []
    monkeypatch.setattr(pairing, "bridge_between", lambda one, *_: tried.append(one.name))
    given, held = (
        table("s.a", column("id", "integer"), *(column(f"{sign * 9}{n}") for n in range(20)), key=("id",))
        for sign in "qz"
    )
    drafted(given, held, **{name: [f"{name} {n}" for n in range(50)] for name in given.columns})

    assert set(tried) == {"id"}
