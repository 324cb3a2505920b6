"""What a mapping document may say: every field has one source, every pair of types a step that loses nothing unsaid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg import sql
from pydantic import ValidationError

from syncline.core.compile import TRAILER, compile_mapping
from syncline.core.job_files import load_job
from syncline.core.mapping import RESERVED, Mapping
from syncline.core.transforms import WORD_MODULES, Check, Transform
from syncline.core.transforms.patterns import why_not_portable
from syncline.core.types import EVERY_FAMILY, FAMILIES
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MAPPING, findings_of, write_project

SOURCE = {
    "a": "text", "b": "text", "n": "numeric(14,4)", "i": "integer", "d": "date", "t": "timestamptz", "f": "boolean",
}  # fmt: skip


def mapping(**fields: Any) -> Mapping:
    """A mapping of the given fields; its source declares just the columns that they read."""
    read = {column for field in fields.values() for column in _columns(field)}
    source = {name: kind for name, kind in SOURCE.items() if name in read} or {"a": "text"}
    return Mapping.model_validate({"version": "1.0.0", "source": source, "fields": fields})


def _columns(field: dict[str, Any]) -> list[str]:
    if "from" in field:
        return [field["from"]]
    if "lookup" in field:
        return list(field["lookup"]["match"].values())
    return list(field.get("concat", {}).get("columns", ()))


def faults(**field: Any) -> list[str]:
    """The mistakes of a mapping with one field `x`."""
    spoken = mapping(x=field, y={"from": "a", "type": "text"}).faults()
    return [f"{code} {found} {allowed}".strip() for _, code, found, allowed in spoken]


@pytest.mark.parametrize(
    "field",
    [
        {"from": "a", "type": "text"},
        {"from": "a", "type": "text", "steps": ["trim", "upper", {"truncate": 5}], "checks": ["required"]},
        {"from": "a", "type": "date", "steps": [{"parse_date": "dd/mm/yyyy"}]},
        {"from": "a", "type": "numeric(12,2)",
         "steps": [{"parse_number": {"decimal": ","}}, {"round": {"scale": 2, "mode": "floor"}}]},
        {"from": "a", "type": "integer", "steps": ["trim", {"cast": "integer"}]},
        {"from": "a", "type": "text", "steps": [{"map": {"A": "active", "values": "x"}}]} | {
            "steps": [{"map": {"values": {"values": "x"}}}]},
        {"from": "n", "type": "numeric(12,2)", "steps": [{"round": {"scale": 2, "mode": "half_even"}}]},
        {"from": "n", "type": "text"},
        {"from": "d", "type": "integer", "steps": ["year"]},
        {"from": "t", "type": "date", "steps": [{"date_in": "Europe/London"}]},
        {"from": "f", "type": "boolean", "steps": [{"default": False}], "checks": ["required"]},
        {"constant": 5, "type": "integer"},
        {"constant": False, "type": "boolean"},
        {"concat": {"columns": ["a", "b", "i"]}, "type": "text"},
        {"lookup": {"table": "hub.t", "match": {"k": "a"}, "take": "v"}, "type": "text"},
    ],
)  # fmt: skip
def test_an_honest_field_has_no_faults(field: dict[str, Any]) -> None:
    assert faults(**field) == []


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"from": "a", "type": "date"}, "text does not become date say how in steps: [{parse_date: iso}]"),
        ({"from": "a", "type": "integer"}, "text does not become integer say how in steps: [{cast: integer}]"),
        ({"from": "n", "type": "numeric(12,2)"}, "[{round: {scale: 2, mode: half_even}}]"),
        ({"from": "a", "type": "numeric(12,2)"}, "[parse_number, {round: {scale: 2, mode: half_even}}]"),
        ({"from": "n", "type": "numeric(12,2)", "steps": [{"round": {"scale": 3, "mode": "floor"}}]}, "without loss"),
        ({"from": "d", "type": "text", "steps": ["trim"]}, "`trim` takes text, not date"),
        ({"from": "n", "type": "date", "steps": [{"parse_date": "iso"}]}, "`parse_date` takes text, not numeric(14,4)"),
        ({"from": "i", "type": "integer", "checks": ["iban"]}, "`iban` takes text, not integer"),
        ({"from": "f", "type": "boolean", "checks": [{"range": {"min": 0}}]}, "`range` takes"),
        ({"from": "i", "type": "uuid", "steps": [{"cast": "uuid"}]}, "`cast` makes no uuid of a integer"),
        ({"from": "t", "type": "date", "steps": [{"date_in": "Europe/Londn"}]}, "'Europe/Londn' is not a time zone"),
        ({"from": "t", "type": "date", "steps": [{"date_in": "localtime"}]}, "'localtime' is not a time zone"),
        ({"from": "a", "type": "numeric",
          "steps": [{"parse_number": {"decimal": ",", "thousands": ","}}]}, "one sign for decimals and thousands"),
        ({"constant": "2026-02-30", "type": "date"}, "'2026-02-30' is not a date"),
        ({"constant": "abc", "type": "varchar(2)"}, "'abc' is not a varchar(2) write a value that the type holds"),
        ({"constant": "1.005", "type": "numeric(12,2)"}, "'1.005' is not a numeric(12,2)"),
        ({"constant": 70000, "type": "smallint"}, "'70000' is not a smallint"),
        ({"constant": True, "type": "integer"}, "'true' is not a integer"),
        ({"from": "i", "type": "integer", "steps": [{"default": "none"}]}, "'none' is not a integer"),
        ({"from": "i", "type": "integer", "steps": [{"default": 2**31}]}, "is not a integer"),
        ({"from": "d", "type": "date", "checks": [{"range": {"min": "1900"}}]}, "'1900' is not a date"),
        ({"from": "t", "type": "timestamptz", "checks": [{"range": {"max": "2100-01-01 00:00"}}]}, "write the zone too"),
        ({"from": "i", "type": "integer", "checks": [{"range": {"min": 5, "max": 4}}]}, "min 5 above max 4"),
        ({"from": "d", "type": "date", "checks": [{"range": {"min": "2000-01-01", "max": "1999-12-31"}}]}, "above max"),
    ],
)  # fmt: skip
def test_what_would_lose_misread_or_fail_is_refused_with_the_way_out(field: dict[str, Any], said: str) -> None:
    (fault,) = faults(**field)

    assert fault.startswith("M20 ")
    assert said in fault


TYPES = (
    *FAMILIES, "varchar(40)", "char(3)", "numeric(12,2)", "numeric(10,0)", "numeric(38,20)", "time(3)", "timestamp(3)",
    "timestamptz(0)", "timestamptz(4)", "text[]", "integer[]", "numeric(12,2)[]", "json[]", "money[]", "varchar(5)[]",
)  # fmt: skip
SUGGESTED = re.compile(
    r"say how in steps: (?P<steps>\[.*?\])(?P<lossy>, and why something may be lost: lossy: .*)?(?:; or .*)?"
)


def test_what_is_suggested_for_any_two_types_passes_the_check(tmp_path: Path) -> None:
    source = {f"s{n}": kind for n, kind in enumerate(TYPES)}
    fields = {f"f_{n}_{m}": {"from": f"s{n}", "type": kind} for n in range(len(TYPES)) for m, kind in enumerate(TYPES)}
    refused = Mapping.model_validate({"version": "1.0.0", "source": source, "fields": fields}).faults()
    read, mended, hopeless = set(), [], set()
    for (_, name, *_), _, found, allowed, *_ in refused:
        given, kind = str(fields[name]["from"]), str(fields[name]["type"])
        if match := SUGGESTED.fullmatch(allowed):
            lossy = ", lossy: the shop needs no more" if match["lossy"] else ""
            steps = match["steps"].replace("<zone>", "Europe/London")
            mended.append(f'  {name}: {{from: {given}, type: "{kind}", steps: {steps}{lossy}}}')
            read.add(given)
        else:
            assert allowed.startswith("no step makes "), (found, allowed)
            hopeless.add((source[given], kind))
    declared = "".join(f"  {name}: {kind}\n" for name, kind in source.items() if name in read)
    text = "version: 1.0.0\nsource:\n" + declared + "fields:\n" + "\n".join(mended) + "\n"

    root = write_project(tmp_path)
    (root / "include" / "mappings" / "mended.yaml").write_text(text)

    assert findings_of(root) == []
    assert len(mended) > 500
    assert not {given for given, kind in hopeless if kind in ("text", "jsonb")}
    assert (
        not {kind for given, kind in hopeless if given == "text"}
        - {"money", "timetz"}
        - {k for k in TYPES if "[]" in k}
    )


@pytest.mark.parametrize(
    ("given", "kind", "steps"),
    [
        ("text", "numeric(12,2)", "[parse_number, {round: {scale: 2, mode: half_even}}]"),
        ("text", "timestamptz", "[{parse_timestamp: {zone: in_text}}]"),
        ("text", "jsonb", "[parse_json]"),
        ("text", "text[]", '[{split_to_array: ","}]'),
        ("text[]", "text", '[{join: {separator: ", ", nulls: reject}}]'),
        ("double precision", "numeric(6,3)", "[{cast: numeric}, {round: {scale: 3, mode: half_even}}]"),
        ("timestamp", "date", "[to_date]"),
        ("timestamptz", "date", "[{date_in: <zone>}]"),
        ("timestamp", "timestamptz", "[{in_zone: <zone>}]"),
        ("date", "timestamptz", "[start_of_day, {in_zone: <zone>}]"),
        ("numeric", "integer", "[{cast: integer}]"),
        ("numeric", "boolean", "[{cast: integer}, {parse_boolean: {true_is: [1], false_is: [0]}}]"),
        ("uuid", "integer", "no step makes integer of uuid"),
    ],
)
def test_the_steps_that_are_suggested_are_the_ones_of_these_types(given: str, kind: str, steps: str) -> None:
    document = {"version": "1.0.0", "source": {"a": given}, "fields": {"x": {"from": "a", "type": kind}}}
    ((_, _, _, allowed),) = Mapping.model_validate(document).faults()  # type: ignore[misc]

    assert steps in allowed


def test_steps_that_are_there_already_stay() -> None:
    (fault,) = faults(**{"from": "a", "type": "date", "steps": ["trim"]})

    assert "add at the end of steps: [{parse_date: iso}]" in fault


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"type": "text"}, "found none"),
        ({"from": "a", "constant": "x", "type": "text"}, "found from and constant"),
        ({"from": "a", "concat": {"columns": ["a", "b"]}, "type": "text"}, "found from and concat"),
        ({"from": "a", "type": "text", "steps": [{"round": {"scale": 2}}]}, "Field required"),
        ({"from": "a", "type": "text", "steps": [{"trim": 5}]}, "`trim` takes no value; write `trim`"),
        ({"from": "a", "type": "text", "steps": [{"round": 2}]}, "write `{round: {scale: 2, mode: half_even}}`"),
        ({"from": "a", "type": "text", "steps": [{"word": "trim"}]}, "Input tag 'word'"),
        ({"from": "a", "type": "text", "steps": [{"word": "truncate", "length": 5}]}, "valid"),
        ({"from": "a", "type": "text", "steps": [{"trim": None, "upper": None}]}, "valid"),
        ({"from": "a", "type": "text", "steps": [7]}, "valid"),
        ({"from": "a", "type": "text", "steps": ["trim"] * 21}, "at most 20"),
        ({"from": "a", "type": "text", "steps": [{"truncate": "5"}]}, "valid integer"),
        ({"from": "a", "type": "text", "steps": [{"truncate": 0}]}, "greater than or equal to 1"),
        ({"from": "a", "type": "text", "steps": [{"default": None}]}, "Field required"),
        ({"from": "a", "type": "text", "steps": [{"default": ["x"]}]}, "one value is wanted"),
        ({"from": "a", "type": "text", "checks": [{"range": {}}]}, "`range` needs min, max or both"),
        ({"from": "a", "type": "text", "checks": [{"one_of": "GBP"}]}, "valid tuple"),
        ({"from": "a", "type": "text", "checks": [{"pattern": "(a"}]}, "the pattern cannot run"),
        ({"constant": ["x"], "type": "text"}, "one value is wanted"),
        ({"constant": {"a": 1}, "type": "text"}, "one value is wanted"),
        ({"concat": {"columns": ["a"]}, "type": "text"}, "at least 2"),
        ({"from": "A", "type": "text"}, "'A' is not a name"),
        ({"from": 'a"; drop table x;--', "type": "text"}, "is not a name"),
        ({"lookup": {"table": "t", "match": {"k": "a"}, "take": "v"}, "type": "text"}, "write schema.table"),
        ({"lookup": {"table": 'h.t"', "match": {"k": "a"}, "take": "v"}, "type": "text"}, "write schema.table"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_read_is_refused(field: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=r"(?s).*") as refused:
        Mapping.model_validate({"version": "1.0.0", "source": SOURCE, "fields": {"x": field}})

    assert said in str(refused.value)


def test_a_mapping_cannot_be_changed_after_it_was_read() -> None:
    read = mapping(x={"from": "a", "type": "text"})

    with pytest.raises(ValidationError, match="frozen"):
        read.version = "2.0.0"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        read.fields["x"].type = read.source["a"]  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_column_that_postgres_or_the_statement_has_already_is_refused(name: str) -> None:
    codes = [code for _, code, _, _ in mapping(**{name: {"from": "a", "type": "text"}}).faults()]

    assert codes == ["M22"]


def test_the_columns_of_the_compiled_statement_are_reserved() -> None:
    assert RESERVED.issuperset(TRAILER)


@pytest.mark.parametrize(
    ("target", "source", "is_personal"),
    [
        ("bank_iban", "x", True), ("iban", "x", True), ("x", "billing_email", True), ("email", "x", True),
        ("birth_date", "x", True), ("birthday", "x", True), ("phone_no", "x", True), ("mobile_phone", "x", True),
        ("tax_code", "x", True), ("passport_no", "x", True), ("ssn", "x", True), ("nino", "x", True),
        ("family_name", "x", True), ("national_insurance_no", "x", True), ("x", "date_of_birth", True),
        ("country_code", "x", False), ("legal_name", "x", False), ("taxonomy", "x", False), ("account_no", "x", False),
        ("mailing_list_id", "x", False), ("libanon", "x", False), ("syntax", "x", False), ("status", "x", False),
    ],
)  # fmt: skip
def test_a_column_that_looks_personal_must_have_a_class(target: str, source: str, is_personal: bool) -> None:
    def codes(**pii: str) -> list[str]:
        document = {"version": "1.0.0", "source": {source: "text"}}
        document["fields"] = {target: {"from": source, "type": "text", **pii}}  # type: ignore[assignment]
        return [code for _, code, _, _ in Mapping.model_validate(document).faults()]

    assert codes() == (["M21"] if is_personal else [])
    assert codes(pii="contact") == []
    assert codes(pii="none") == []  # somebody looked


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({}, "medium"), ({"pii": "none"}, "medium"), ({"pii": "financial"}, "critical"), ({"pii": "name"}, "critical"),
        ({"pii": "name", "severity": "low"}, "low"), ({"severity": "critical"}, "critical"),
    ],
)  # fmt: skip
def test_what_is_about_a_person_or_money_is_critical_unless_the_field_says_otherwise(
    said: dict[str, str], severity: str
) -> None:
    assert mapping(x={"from": "a", "type": "text", **said}).fields["x"].severity == severity


def test_what_a_lookup_takes_may_be_personal_too() -> None:
    lookup = {"table": "hub.person", "match": {"k": "a"}, "take": "email"}

    assert [fault[:3] for fault in faults(lookup=lookup, type="text")] == ["M21"]


# -- the language as a whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [*Transform.known.values(), *Check.known.values()], ids=lambda kind: kind.__name__)
def test_a_word_explains_itself_and_names_what_it_takes(word: type[Any]) -> None:
    name = word.model_fields["word"].default

    assert word.__doc__, f"{name}: say in the class's docstring what it does to a value"
    assert word.__module__ in {module.__name__ for module in WORD_MODULES}
    assert set(word.takes) <= set(EVERY_FAMILY)
    assert word.examples, f"{name}: give an example; the schema, the catalogue and test_every_word.py need it"
    assert word.shorthand is None or word.shorthand in word.model_fields


def test_no_word_is_both_a_step_and_a_check() -> None:
    assert not set(Transform.known) & set(Check.known)


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        ("[A-Z]{3}", None), ("[A-Z0-9]{1,7}", None), (r"\d+(?:-\d+)*", None), (r"a|b", None), (r"\.\*\+", None),
        (r"[^ ]+@[a-z.-]+", None), (r"", None), (r"(ab)+?", None), (r"x{2,}", None),
        ("(a", "unterminated"), ("[a", "brackets"), ("a)|(b", "unbalanced"), ("*a", "one sign"), ("a**", "one sign"),
        ("(?i)abc", "groups are"), ("(?=a)", "groups are"), ("(?P<x>a)", "groups are"), ("a++", "one sign repeats"),
        (r"(a)\1", "backslash"), (r"\bword", "backslash"), (r"\mword", "backslash"), (r"\x41", "backslash"),
        ("a{300}", "255"), ("(a{200}){200}", "too many"), ("a{,5}", "brace"), ("[[:alpha:]]", "brackets"),
        ("[a&&b]", "side by side"), ("[]a]", "brackets"), ("[^]]", "brackets"), ("a]", "brackets"), ("a{5}{6}", "one sign"), ("^*", "one sign"), ("|*", "one sign"),
    ],
)  # fmt: skip
def test_a_pattern_is_what_python_and_postgres_read_alike(regex: str, why: str | None) -> None:
    said = why_not_portable(regex)

    assert (said is None) if why is None else (said is not None and why in said), said


# -- as files ------------------------------------------------------------------------------------------------


def test_every_word_of_the_real_mappings_is_read(tmp_path: Path) -> None:
    for path in sorted((ROOT / "include" / "mappings").glob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        assert set(Mapping.model_validate(document).fields) == set(document["fields"])


def test_unknown_columns_have_the_line_of_the_word_that_names_them(tmp_path: Path) -> None:
    spoilt = MAPPING.replace("columns: [given_name, family_name]", "columns: [given_name, familyname]")
    (said,) = findings_of(write_project(tmp_path, mapping=spoilt))

    at = spoilt[: spoilt.index("familyname")].count("\n") + 1
    assert f"include/mappings/{JOB}.yaml:{at}:36: M20 'familyname' is not declared under `source`. " in str(said)
    assert str(said).endswith("Did you mean 'family_name'?")  # and not also that nobody reads that one


def test_a_column_that_no_field_reads_is_told_at_its_name(tmp_path: Path) -> None:
    spoilt = MAPPING.replace("columns: [given_name, family_name]", "columns: [given_name, given_name]")
    (said,) = findings_of(write_project(tmp_path, mapping=spoilt))

    at = spoilt[: spoilt.index("  family_name:")].count("\n") + 1
    assert (said.line, said.column, said.found) == (at, 3, "source column 'family_name' is read by no field")


@pytest.mark.parametrize("name", ["concat", "lookup", "steps", "round", "iban", "fields"])
def test_a_field_may_be_called_like_a_key_of_ours_and_is_still_helped(tmp_path: Path, name: str) -> None:
    field = f"  {name}: {{form: iban, type: text, steps: [{{truncate: {{lenght: 5}}}}], pii: financial}}\n"

    said = [str(finding) for finding in findings_of(write_project(tmp_path, mapping=MAPPING + field))]

    assert any("unknown key 'form'; one of: from, constant, " in line and "'from'?" in line for line in said), said
    assert any("unknown key 'lenght'; one of: length. Did you mean 'length'?" in line for line in said), said


def test_a_mapping_of_many_columns_compiles(tmp_path: Path) -> None:
    fields = {
        f"c{n}": {"from": f"c{n}", "type": "numeric(12,2)", "checks": ["required", {"range": {"min": 0}}],
                  "steps": ["trim", "parse_number", {"round": {"scale": 2, "mode": "half_even"}}]}
        for n in range(120)
    }  # fmt: skip
    document = {"version": "1.0.0", "source": {f"c{n}": "text" for n in range(120)}, "fields": fields}

    compiled = compile_mapping(Mapping.model_validate(document), sql.Identifier("t"))

    assert len(compiled.columns) == 120
    assert len(compiled.select.as_string(None)) < 500_000


def test_partial_steps_upon_each_other_do_not_multiply_the_statement() -> None:
    def size(steps: int) -> int:
        rounding = [{"round": {"scale": 2, "mode": "half_even"}}] * steps
        x = mapping(x={"from": "n", "type": "text", "steps": rounding})
        return len(compile_mapping(x, sql.Identifier("t")).select.as_string(None))

    assert size(20) < size(2) * 15  # each step once; nested into each other they would be 7 to the power of 20


def test_the_same_files_have_the_same_hash_whatever_their_comments_and_layout(tmp_path: Path) -> None:
    plain = load_job(write_project(tmp_path / "a"), JOB).manifest_hash
    commented = "# a comment\n" + MAPPING.replace("{from: tenant_id, type: text", "{type: text,   from: tenant_id")
    changed = MAPPING.replace("truncate: 140", "truncate: 139")

    assert load_job(write_project(tmp_path / "b", mapping=commented), JOB).manifest_hash == plain
    assert load_job(write_project(tmp_path / "c", mapping=changed), JOB).manifest_hash != plain


def test_more_steps_than_one_statement_has_columns_are_told() -> None:
    fields = {
        f"f{n}": {"from": "a", "type": "text", "steps": [{"truncate": 5}, {"extract": "[a-z]"}] * 8} for n in range(180)
    }
    (fault,) = Mapping.model_validate({"version": "1.0.0", "source": {"a": "text"}, "fields": fields}).faults()

    assert fault[:2] == (("fields",), "M23")


def test_the_text_of_a_list_of_money_is_a_locales(tmp_path: Path) -> None:
    mapping = {"version": "1.0.0", "source": {"a": "money[]", "b": "text"}}
    fields = {"x": {"concat": {"columns": ["a", "b"]}, "type": "text"}}

    (fault,) = Mapping.model_validate({**mapping, "fields": fields}).faults()

    assert "`concat` does not take money[] column 'a'" in fault[2]
