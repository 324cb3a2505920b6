"""Equality is declared, not guessed: when two values of a field are the same value, in SQL for both sides.

From the types of both sides comes what always holds; what a field adds to it stands under `equal` in the mapping. Two
expressions come out: a spelling, the same for equal values, that both servers can hash; and a condition that judges two
values in one server. Values whose spellings agree are equal; values whose spellings differ may still be (a tolerance).

Without `equal`, equal is what the loader calls unchanged: else a run would rewrite for ever what a comparison calls
equal, or leave what it calls different. A copy's column may be of another type than the field, as far as a job may have
that (`comparable` of catalogs/fitting.py): no cast here fails on any value of such a column, or makes two values one.
"""

from __future__ import annotations

from decimal import Decimal

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.equal_words import Equality
from syncline.core.mapping import FieldMap, Mapping
from syncline.core.text_forms import json_form, similarity, text_form, words_form
from syncline.core.transforms import template
from syncline.core.transforms.codes import looked_up
from syncline.core.transforms.text import once
from syncline.core.types import NUMERIC, TEXT, PgType

INTERVAL, TIMESTAMP, BYTEA = (PgType(name) for name in ("interval", "timestamp", "bytea"))
# Types whose equality calls two spellings equal that the loader tells apart, or that have none.
BY_TEXT = frozenset({"json", "interval"})
# Elements of an array, by family: what every column of it can be cast to without a loss.
ELEMENTS = {"text": "text", "number": "numeric", "money": "numeric", "float": "double precision", "inet": "inet"}
# A float becomes numeric by its shortest text: the cast itself keeps 15 digits, and would make two values one.
# (oids of bigint, smallint, integer, numeric; of a domain the text is taken too, which is slower and right.)
AS_NUMBER = "case when pg_typeof({v})::oid in (20, 21, 23, 1700) then ({v})::numeric else ({v})::text::numeric end"
# Floats are hashed by their bytes: PostgreSQL's own hash takes NULL for zero.
BYTES_OF_FLOAT = "float8send(case when ({v}) = 'NaN' then 'NaN' else ({v})::double precision + 0 end)"  # -0 + 0 is 0
# A copy may be a timestamp. Days after the last one get moments that no day is: dates reach further.
AS_TIMESTAMP = (
    "case when ({v}) <= date '294276-12-31' or not isfinite({v}) then ({v})::timestamp"
    " else timestamp '4713-01-01 BC' + (({v})::date - date '294276-12-31') * interval '1 microsecond' end"
)
# char(n) against varchar: PostgreSQL compares both as char, to which blanks at the end are nothing.
CHAR, VARCHAR = 1042, 1043  # oids
ARE_PADDED = (
    f"array[pg_typeof({{a}})::oid, pg_typeof({{b}})::oid] <@ '{{{{{CHAR},{VARCHAR}}}}}'::oid[]"
    f" and {CHAR} in (pg_typeof({{a}})::oid, pg_typeof({{b}})::oid)"
)


def spelled(value: Composable, field: FieldMap, stored: PgType | None = None) -> tuple[Composable, PgType]:
    """A value's spelling, with its type, for a checksum: equal spellings are equal values, on any supported server.

    Two things may be spelled differently and be equal, which costs a second look: what lies on both sides of a
    tolerance's bucket, and letters that two servers normalise by Unicode of different years.

    Args:
        stored: Type of the copy's column, told for both sides: where it is of the field's family nothing is converted.
    """
    equal, kind = field.equal, field.type
    is_as_declared = stored is not None and stored.family == kind.family
    is_bounded = stored is not None and (stored.precision is not None or stored.name != "numeric")
    if (tolerance := _tolerance(equal)) is not None:
        # div is exact, and cuts towards zero: buckets of half the width, of which the middle one is a whole wide.
        bucket = "div({v}, {half})"
        if any(one is None or (one.name, one.precision) == ("numeric", None) for one in (kind, stored)):
            # Of a number that is too large the quotient would have more digits than a numeric can: its own bucket.
            bucket = f"case when abs({{v}}) < 1e1000 then {bucket} else {{v}} end"
        return template(bucket, v=_measured(value, kind), half=sql.Literal(tolerance / 2)), NUMERIC
    if equal.is_json:
        return template("({v})::text", v=_form(value, field)), TEXT
    if equal.words:
        form = _form(value, field)
        return form, TEXT if kind.family == "text" else NUMERIC
    if kind.is_array:  # by text: the hash of an array knows neither its bounds nor its dimensions
        return template("({v})::{t}::text", v=value, t=_elements(kind)), TEXT
    match kind.family:
        case "number" if is_as_declared:  # what a column without limits stores may be infinite, whatever is declared
            return value, kind if is_bounded else NUMERIC
        case "date" | "time" if is_as_declared:
            return value, kind
        case "number" | "money":
            return _measured(value, kind), NUMERIC
        case "float":
            return template(BYTES_OF_FLOAT, v=value), BYTEA
        case "date":
            return template(AS_TIMESTAMP, v=value), TIMESTAMP
        case "time":  # a copy may be an interval
            return template("({v})::interval", v=value), INTERVAL
        case "jsonb":  # nor does the hash of a jsonb know how deep its arrays are
            return template("({v})::text", v=value), TEXT
    return value, kind


def spelled_as_loaded(value: Composable, field: FieldMap) -> tuple[Composable, PgType]:
    """The same by what the loader calls unchanged, whatever the field declares."""
    return spelled(value, field.model_copy(update={"equal": Equality()}))


def differs(here: Composable, there: Composable, field: FieldMap) -> Composable:
    """Whether two values of a field differ; never NULL. Both are evaluated by one server."""
    equal, kind = field.equal, field.type
    if equal.alike is not None:
        return _unlike(_form(here, field), _form(there, field), _exactly(equal.alike))
    if (tolerance := _tolerance(equal)) is not None:
        return _apart(_measured(here, kind), _measured(there, kind), tolerance)
    if equal.words:
        return _distinct(_form(here, field), _form(there, field))
    if kind.family in ("number", "money"):
        return _distinct(_measured(here, kind), _measured(there, kind))
    if kind.is_array:
        elements = _elements(kind)
        return _distinct(template("({v})::{t}", v=here, t=elements), template("({v})::{t}", v=there, t=elements))
    if kind.family == "text":
        return _texts_differ(here, there, kind)
    if kind.name in BY_TEXT:
        return _distinct(template("({v})::text", v=here), template("({v})::text", v=there))
    return _distinct(here, there)


def is_exact(field: FieldMap) -> bool:
    """Whether equal values always have one spelling: then checksums of two servers decide alone.

    Not where a column of another kind may hold it (padding, numbers of another scale within, a day of 24 hours), nor
    where servers may spell by different rules. A collation that calls two texts equal is known to `differs` alone.
    """
    equal, kind = field.equal, field.type
    is_respelled = kind.family in ("array", "time", "jsonb") or kind.name in ("char", "varchar")
    is_by_server = equal.is_json or not {"normalization", "compatibility"}.isdisjoint(equal.ignore)
    return not (is_respelled or is_by_server or equal.alike is not None or _tolerance(equal) is not None)


def profile(mapping: Mapping) -> dict[str, list[str]]:
    """Target column -> what "equal" means for it, in plain sentences: what is declared, then what always holds."""
    return {name: [*_declared(field.equal), *_always(field)] for name, field in mapping.fields.items()}


def _form(value: Composable, field: FieldMap) -> Composable:
    """A value without the differences that its field declares as none."""
    equal, kind = field.equal, field.type
    if equal.decimals is not None:
        return template("round({v}, {n})", v=_measured(value, kind), n=sql.Literal(equal.decimals))
    if equal.second_digits is not None:
        factor = sql.Literal(10**equal.second_digits)
        return template("floor({v} * {factor})", v=_measured(value, kind), factor=factor)
    if equal.is_json:
        return json_form(_or_null(value, equal))
    form = words_form(value) if equal.alike is not None else text_form(value, equal.ignore)
    if meanings := equal.meanings:
        form = once(form, lambda v: template("coalesce({meant}, {v})", meant=looked_up(v, meanings), v=v))
    return _or_null(form, equal)


def _or_null(value: Composable, equal: Equality) -> Composable:
    return template("nullif(({v})::text, '')", v=value) if equal.empty_is_null else value


def _measured(value: Composable, kind: PgType) -> Composable:
    """A number or a moment as an exact numeric."""
    match kind.family:
        case "number":
            return template(AS_NUMBER, v=value)
        case "float":  # first as wide as any copy
            return template("({v})::double precision::text::numeric", v=value)
        case "money":
            return template("({v})::numeric", v=value)
    return template("extract(epoch from ({v}))", v=value)


def _tolerance(equal: Equality) -> Decimal | None:
    said = equal.within if equal.within is not None else equal.within_s
    return None if said is None else _exactly(said)


def _exactly(said: float) -> Decimal:
    """As it is written: 0.1 is a tenth."""
    return Decimal(str(said)).normalize()


def _elements(kind: PgType) -> Composable:
    return sql.SQL(("text" if kind.name in BY_TEXT else ELEMENTS.get(kind.element.family, kind.name)) + "[]")


def _distinct(here: Composable, there: Composable) -> Composable:
    return template("({a}) is distinct from ({b})", a=here, b=there)


def _apart(here: Composable, there: Composable, tolerance: Decimal) -> Composable:
    """NaN and infinities are equal to themselves alone."""
    return template(
        "(({a}) is distinct from ({b}) and coalesce(abs(({a}) - ({b})) > {most}, true))",
        a=here, b=there, most=sql.Literal(tolerance),
    )  # fmt: skip


def _unlike(here: Composable, there: Composable, least: Decimal) -> Composable:
    one, other = sql.Identifier("0p", "a"), sql.Identifier("0p", "b")
    return template(
        "(select {a} is distinct from {b} and coalesce({similarity} < {least}, true)"
        " from (select {here}, {there} offset 0) as {p} (a, b))",
        a=one, b=other, similarity=similarity(one, other), least=sql.Literal(least), here=here, there=there,
        p=sql.Identifier("0p"),
    )  # fmt: skip


def _texts_differ(here: Composable, there: Composable, kind: PgType) -> Composable:
    """Enumerations and citext by their text, under the column's own collation, as the loader's statement does."""
    a, b = template("({v})::text", v=here), template("({v})::text", v=there)
    if kind.name == "text":
        return _distinct(a, b)
    padded = template(ARE_PADDED, a=here, b=there)
    blunt = _distinct(template("rtrim({v}, ' ')", v=a), template("rtrim({v}, ' ')", v=b))
    return template(
        "case when {padded} then {blunt} else {exact} end", padded=padded, blunt=blunt, exact=_distinct(a, b)
    )


# --- in words -------------------------------------------------------------------------------------------------------

ALWAYS = {
    "number": "numbers are equal whatever their scale: 1.10 and 1.1; NaN equals NaN",
    "float": "floats are equal to the last bit; 0 equals -0, NaN equals NaN",
    "money": "amounts are equal as numbers",
    "date": "a day and its midnight are equal",
    "timestamptz": "moments are equal in whatever zone they are written, to the microsecond",
    "timestamp": "time stamps are equal to the microsecond",
    "interval": "intervals are equal part by part: a month is not 30 days",
    "json": "documents are equal letter by letter",
    "jsonb": "documents are equal by value: neither order of keys nor spelling of numbers counts",
    "text": "texts are equal letter by letter; blanks that pad a char(n) do not count",
    "inet": "addresses are equal with their masks",
    "array": "arrays are equal element by element, with their bounds",
}
IGNORED = {
    "case": "upper and lower case", "whitespace": "white space at the ends, and how much stands between words",
    "padding": "blanks at the end", "normalization": "how Unicode composes letters (NFC)",
    "compatibility": "how Unicode composes letters, ligatures and widths (NFKC)",
}  # fmt: skip


def _declared(equal: Equality) -> list[str]:
    said = {
        "decimals": f"numbers are compared rounded to {equal.decimals} decimals",
        "within": f"numbers at most {_exactly(equal.within or 0):f} apart are equal",
        "within_s": f"times at most {_exactly(equal.within_s or 0):f} s apart are equal",
        "second_digits": f"times are compared cut to {equal.second_digits} digits of a second",
        "ignore": f"these do not count: {'; '.join(IGNORED[word] for word in equal.ignore)}",
        "empty_is_null": "an empty text equals NULL",
        "codes": f"values of one group mean the same ({len(equal.codes)} declared here)",
        "code_list": f"codes and counterparts of the list {equal.code_list} mean the same",
        "is_json": "a text that is JSON is compared by its value",
        "alike": f"names are equal that share at least {equal.alike} of their trigrams",
    }
    return [said[word] for word in equal.words]


def _always(field: FieldMap) -> list[str]:
    """What holds without being declared, where nothing declared takes its place."""
    replaced = {"alike", "is_json", "second_digits", "within_s"} & set(field.equal.words)
    return ["NULL equals NULL alone" if not field.equal.empty_is_null else "NULL equals NULL", *(
        [ALWAYS[field.type.family]] if field.type.family in ALWAYS and not replaced else []
    )]  # fmt: skip
