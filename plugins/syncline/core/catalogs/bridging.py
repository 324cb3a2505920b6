"""How values of one column come into another: steps and checks, and what sampled values say of both.

Sampled values go through what is proposed, so that a draft says how many would be rejected. They are looked at in
memory and forgotten. What of them may leave this module: how many there are, words for yes and no out of a fixed list,
and codes, where both columns hold codes and are about no person (`_to_codes`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, InvalidOperation

from syncline.core.catalogs.naming import english, words_of
from syncline.core.catalogs.tables import Column
from syncline.core.sensitive import looks_personal
from syncline.core.transforms.casts import PLAIN
from syncline.core.types import NUMERIC, TEXT, PgType

CODES_MAX, CODE_LENGTH_MAX, REPEATED_MIN = 20, 20, 5  # a column of codes: few, short, each several times
CODE = re.compile(r"(?!.*[0-9]{5})[A-Za-z0-9_+-]+")  # so many digits are a number of somebody or something
WANTED_CODE = re.compile(r"(?!.*[0-9]{5})[\w+./-]+(?: [\w+./-]+)*")  # the table's owner may have put a space into one
CODED = frozenset({"status", "type", "code", "flag", "level", "mode", "unit", "currency", "country", "language"})
SHOWN_LENGTH_MAX = 4  # a longer text that means none of the target's values may be a name
MEANT_MIN = 0.5  # share of codes with a counterpart from which two columns hold the same codes
LOOKS_MIN = 0.8  # share of a sample that must look like a format
DATE_FORMATS = {
    "iso": re.compile(r"(?P<y>[0-9]{4})-(?P<m>0[1-9]|1[0-2])-(?P<d>0[1-9]|[12][0-9]|3[01])"),
    "yyyymmdd": re.compile(r"(?P<y>(?:19|20)[0-9]{2})(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12][0-9]|3[01])"),
    "dd.mm.yyyy": re.compile(r"(?P<d>[0-3][0-9])\.(?P<m>[01][0-9])\.(?P<y>[0-9]{4})"),
    "dd/mm/yyyy": re.compile(r"(?P<d>[0-3][0-9])/(?P<m>[01][0-9])/(?P<y>[0-9]{4})"),
    "mm/dd/yyyy": re.compile(r"(?P<m>[01][0-9])/(?P<d>[0-3][0-9])/(?P<y>[0-9]{4})"),
}
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")
# Sign before the decimals, sign between thousands; the plainest first.
NUMBER_FORMATS = ((".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (".", "'"))
CASTS = frozenset({"boolean", "smallint", "integer", "bigint", "uuid"})
CAST_BOOLEANS = frozenset({"true", "false", "t", "f", "1", "0"})
# Words for true and for false, side by side; a column holds one pair, in letters of any case.
YES_NO = (
    ("yes", "no"), ("y", "n"), ("ja", "nein"), ("j", "n"), ("oui", "non"), ("o", "n"), ("si", "no"), ("sí", "no"),
    ("s", "n"), ("sim", "não"), ("on", "off"), ("x", ""), ("x", "-"), ("wahr", "falsch"), ("vrai", "faux"),
)  # fmt: skip
MINOR = {
    "minor": "EUR", "cents": "EUR", "cent": "EUR", "pennies": "GBP", "penny": "GBP", "pence": "GBP", "rappen": "CHF",
}  # fmt: skip
MINOR_DECIMALS, DECIMALS_MAX = 2, 4  # of those currencies; of any
WHOLE = frozenset({"smallint", "integer", "bigint"})
COUNTRY_CODE_MAX = 3
LISTED_MIN = 3  # different values, from which one can tell that they are the codes of a list
# What leads from one type to another where no step is drafted, by names or families; "" is any. The first hit counts.
NEEDED = (
    ("", "json", "a target column of type jsonb: json has no equality"),
    ("float", "number", "cast and round"), ("number", "boolean", "parse_boolean"), ("boolean", "number", "cast"),
    ("text", "timestamp", "parse_timestamp"), ("text", "timestamptz", "parse_timestamp and in_zone"),
    ("text", "jsonb", "parse_json"), ("text", "array", "split_to_array"), ("array", "text", "join"),
    ("text", "bytea", "cast with its encoding"), ("text", "time", "cast"), ("text", "interval", "cast"),
    ("text", "inet", "cast"), ("timestamptz", "timestamp", "local_time"), ("number", "timestamptz", "from_epoch"),
    ("timestamptz", "number", "to_epoch"), ("jsonb", "text", "json_path"),
)  # fmt: skip


@dataclass(frozen=True)
class Bridge:
    """How values of one type come into a column of another.

    Attributes:
        steps: As written in a mapping.
        fit: 1.0 as it is, less with steps.
        decide: What a person must say about it.
        reads: Other columns of the source that the steps read.
        takes: Whether a value, as text, would pass steps, type and checks; None where every value does.
        misfits: Share of sampled values that would not.
    """

    steps: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    fit: float = 1.0
    said: str = "types fit"
    decide: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    takes: Callable[[str], bool] | None = field(default=None, compare=False)
    misfits: float = 0.0


@dataclass(frozen=True)
class Known:
    """What stands beside two columns and may help.

    Attributes:
        currencies: Columns of the source that seem to say the currency of its amounts.
        lists: Code lists of the project -> their codes and counterparts, of those without periods.
    """

    currencies: tuple[str, ...] = ()
    lists: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


NOTHING = Known()


def bridge_between(source: Column, target: Column, values: list[str], known: Known = NOTHING) -> Bridge | None:
    """The steps from one column to another, tried on values; None where no word of ours leads there."""
    bridge = bridge_of_types(source, target, values, known)
    if bridge is None:
        return None
    tried = _tried(bridge, values)
    if tried.misfits and (better := _listed(source, target, values, known, tried)) is not None:
        return better
    return tried


def bridge_of_types(source: Column, target: Column, values: list[str], known: Known = NOTHING) -> Bridge | None:
    """The same before any value is tried; they are looked at where a step has forms to choose from."""
    if source.type is None or target.type is None or target.type.name == "json":
        return None
    return _minor(source, target, values, known) or _bridge(source, target, values)


def _bridge(source: Column, target: Column, values: list[str]) -> Bridge | None:
    given, wanted = (source.type or TEXT).as_read, TEXT if target.values is not None else target.type or TEXT
    if target.values is not None and (target.type or TEXT).family == "text":
        return _to_codes(source, target, values) if given.family == "text" else None
    match given.becomes(wanted):
        case "lossless":
            if wanted.family == "text" and given.family != "text":
                return Bridge(fit=0.6, said=f"{given} becomes text")
            return Bridge()
        case "guarded":
            said = "types fit, what is too large is rejected"
            return Bridge(fit=0.95, said=said, takes=_holder(wanted))
        case "lossy" if given.family == wanted.family == "number":
            return _rounded(wanted)
    return _parsed(source, target, given, wanted, values)


def _tried(bridge: Bridge, values: list[str]) -> Bridge:
    """The bridge, and what it would do to the sample."""
    refused = sum(not bridge.takes(value) for value in values) if bridge.takes is not None else 0
    if not refused:
        return bridge
    said = f"{refused} of {len(values)} sampled values do not fit"
    decide = f"{said} and would be rejected: mend the steps or the type; `syncline preview` shows the rows"
    return replace(
        bridge, misfits=refused / len(values), said=f"{bridge.said}, but {said}", decide=(*bridge.decide, decide)
    )


def _holder(kind: PgType) -> Callable[[str], bool]:
    """Whether a type holds what a text says."""
    if kind.is_array:
        return lambda value: True
    if kind.family == "text":
        return lambda value: kind.length is None or len(value) <= kind.length
    if kind.family != "number" or (kind.name == "numeric" and kind.precision is None):
        return lambda value: True
    return lambda value: (number := _number(value)) is not None and _is_within(number, kind)


def _is_within(number: Decimal, kind: PgType) -> bool:
    low, high = kind.bounds
    if kind.name in WHOLE:
        return low <= number <= high
    return low < number.quantize(Decimal(1).scaleb(-(kind.scale or 0))) < high if abs(number) < high else False


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _rounded(wanted: PgType) -> Bridge:
    scale = wanted.scale or 0
    return Bridge(
        steps=(f"{{round: {{scale: {scale}, mode: half_even}}}}",),
        fit=0.9,
        said=f"rounded to {scale} decimals",
        decide=(f"how is it rounded to {scale} decimals? half_even, half_up, floor, ceiling or truncate",),
        takes=_holder(wanted),
    )


def _parsed(source: Column, target: Column, given: PgType, wanted: PgType, values: list[str]) -> Bridge | None:
    """Text that is read, and times that need a zone."""
    if given.family == "text" and not wanted.is_array:
        if wanted.name == "date":
            return _date(values)
        if wanted.name == "boolean":
            return _boolean(values, is_personal=about_person(source.name, target.name))
        if wanted.name == "numeric" or wanted.name in WHOLE:
            return _numeric(wanted, values)
        if wanted.name in CASTS:
            shape = re.compile(PLAIN[wanted.name])
            said = f"text is read as {wanted}"
            return Bridge((f"{{cast: {wanted.name}}}",), fit=0.7, said=said, takes=lambda v: bool(shape.fullmatch(v)))
    match given.name, wanted.name:
        case "timestamp", "timestamptz":
            asked = "in which time zone is the source's clock? UTC is a guess"
            return Bridge(("{in_zone: {zone: UTC}}",), fit=0.7, said="a zone is given", decide=(asked,))
        case "timestamptz", "date":
            asked = "the day in which time zone? UTC is a guess"
            return Bridge(("{date_in: UTC}",), fit=0.7, said="the day of the instant", decide=(asked,))
    return None


def why_none(source: Column, target: Column) -> str:
    """Why two columns that one would pair have no bridge: what their types need."""
    if source.type is None or target.type is None:
        unknown = source if source.type is None else target
        return f"{unknown.shown} is a type that mappings do not know; have a view make it text"
    given, wanted = source.type.as_read, target.type
    pair = f"{source.shown} -> {target.shown}"
    for one, other, needed in NEEDED:
        if one in ("", given.name, given.family) and other in ("", wanted.name, wanted.family):
            return f"{pair} needs {needed}"
    if given.becomes(wanted) == "lossy":
        return f'{pair} loses something: say why that is right, lossy: "<the reason>"'
    return f"no step leads from {pair}; have a view make it"


# --- dates ----------------------------------------------------------------------------------------------------------


def _date(values: list[str]) -> Bridge:
    said = [value for value in values if value.strip()]
    looks = {name: sum(1 for value in said if shape.fullmatch(value)) for name, shape in DATE_FORMATS.items()}
    best = max(looks, key=lambda name: looks[name])
    if said and looks[best] >= LOOKS_MIN * len(said):
        rivals = [name for name in looks if name != best and looks[name] == looks[best]]
        asked = (f"03/04/2026 is two days: {best} or {rivals[0]}?",) if rivals else ()
        text = f"text that looks like {best} dates is read"
        return Bridge((f"{{parse_date: {best}}}",), fit=0.85, said=text, decide=asked, takes=lambda v: _is_day(v, best))
    asked = ("which date format has the text? no format fits most of the sample" if said else
             "which date format has the text? there is no sample to look at",)  # fmt: skip
    takes: Callable[[str], bool] = lambda v: _is_day(v, "iso")  # noqa: E731
    return Bridge(("{parse_date: iso}",), fit=0.6, said="text is read as a date", decide=asked, takes=takes)


def _is_day(value: str, form: str) -> bool:
    shape = DATE_FORMATS[form].fullmatch(value)
    if shape is None:
        return False
    try:
        date(int(shape["y"]), int(shape["m"]), int(shape["d"]))
    except ValueError:
        return False
    return True


# --- numbers and amounts --------------------------------------------------------------------------------------------


def _numeric(wanted: PgType, values: list[str]) -> Bridge:
    """Text that is read as a number, in the form that most of the sample has."""
    marks, asked = _number_format(values)
    decimal, thousands = marks
    is_plain = marks == NUMBER_FORMATS[0]
    parse = "parse_number" if is_plain else f"{{parse_number: {{decimal: {quoted(decimal)}{_grouped(thousands)}}}}}"
    said = "text is read as a number" + ("" if is_plain else f" with decimal '{decimal}'")
    holds = _holder(wanted)

    def takes(value: str) -> bool:
        number = _read(value, *marks)
        is_whole = wanted.name not in WHOLE or (number is not None and number == number.to_integral_value())
        return number is not None and is_whole and holds(str(number))

    if wanted.name in WHOLE:
        cast = f"{{cast: {wanted.name}}}"
        if is_plain:
            return Bridge((cast,), fit=0.7, said=f"text is read as {wanted}", takes=_of_digits(takes))
        return Bridge((parse, cast), fit=0.7, said=said, decide=asked, takes=takes)
    if wanted.precision is None:
        return Bridge((parse,), fit=0.7, said=said, decide=asked, takes=takes)
    rounded = _rounded(wanted)
    return Bridge((parse, *rounded.steps), fit=0.7, said=said, decide=(*asked, *rounded.decide), takes=takes)


def _grouped(thousands: str) -> str:
    return f", thousands: {quoted(thousands)}" if thousands else ""


def _of_digits(takes: Callable[[str], bool]) -> Callable[[str], bool]:
    """A cast reads whole numbers of digits alone."""
    return lambda value: bool(re.fullmatch(r"[+-]?[0-9]{1,19}", value)) and takes(value)


def _number_format(values: list[str]) -> tuple[tuple[str, str], tuple[str, ...]]:
    """The signs of the form that most values have, and what to ask where another form reads them otherwise."""
    said = [value for value in values if value.strip()]
    looks = {marks: sum(_read(value, *marks) is not None for value in said) for marks in NUMBER_FORMATS}
    best = max(NUMBER_FORMATS, key=lambda marks: looks[marks])
    if not looks[best]:
        return NUMBER_FORMATS[0], ()
    for rival in NUMBER_FORMATS:
        if looks[rival] == looks[best] and any(_read(value, *rival) != _read(value, *best) for value in said):
            sign = best[0] if best[0] != rival[0] else rival[1] or best[1]
            return best, (f"does '{sign}' stand before decimals or between thousands? The sample has either meaning",)
    return best, ()


def _read(value: str, decimal: str, thousands: str) -> Decimal | None:
    """A text as `parse_number` reads it."""
    mark, group = re.escape(decimal), re.escape(thousands)
    whole = rf"(?:[0-9]{{1,30}}|[0-9]{{1,3}}(?:{group}[0-9]{{3}}){{1,9}})" if thousands else "[0-9]{1,30}"
    if not re.fullmatch(rf"[+-]?{whole}(?:{mark}[0-9]{{1,30}})?", value):
        return None
    return _number((value.replace(thousands, "") if thousands else value).replace(decimal, "."))


def _minor(source: Column, target: Column, values: list[str], known: Known) -> Bridge | None:
    """Amounts into minor units of their currency, or out of them; None where no name says so."""
    given, wanted = (source.type or TEXT).as_read, target.type or TEXT
    was, becomes = _minor_word(source.name), _minor_word(target.name)
    if bool(was) == bool(becomes) or wanted.family != "number":
        return None
    if becomes and wanted.name in WHOLE:
        return _to_minor(given, wanted, values, _currency(becomes, known))
    if was and given.name in WHOLE:
        return _from_minor(source.name, given, wanted, _currency(was, known))
    return None


def _minor_word(name: str) -> str:
    return next((word for word in words_of(name) if word in MINOR), "")


@dataclass(frozen=True)
class _Currency:
    """What a draft says of the currency of amounts."""

    said: str
    asked: str
    reads: tuple[str, ...]
    decimals: int


def _currency(word: str, known: Known) -> _Currency:
    if len(known.currencies) == 1:
        column = known.currencies[0]
        said = f"{{currency_from: {quoted(column)}}}"
        return _Currency(said, f"does {column} say the currency of each amount?", (column,), DECIMALS_MAX)
    others = f", or each row's own, {{currency_from: {' or '.join(known.currencies)}}}" if known.currencies else ""
    asked = f"which currency? {MINOR[word]} is a guess{others}"
    return _Currency(f"{{currency: {MINOR[word]}}}", asked, (), MINOR_DECIMALS)


def _to_minor(given: PgType, wanted: PgType, values: list[str], currency: _Currency) -> Bridge | None:
    if given.name in WHOLE:
        plain = _bridge_of_numbers(given, wanted)
        asked = "does the source count minor units too, or is to_minor_units missing here?"
        return replace(plain, fit=0.6, decide=(*plain.decide, asked))
    before: tuple[str, ...] = ()
    asked_too: tuple[str, ...] = ()
    marks = NUMBER_FORMATS[0]
    if given.family == "text":
        marks, asked_too = _number_format(values)
        before = _numeric(NUMERIC, values).steps
    elif given.family == "float":
        before = ("{cast: numeric}",)
    elif given.family != "number":
        return None
    holds, unit = _holder(wanted), Decimal(10) ** currency.decimals

    def takes(value: str) -> bool:
        number = _read(value, *marks) if given.family == "text" else _number(value)
        return number is not None and number * unit == (number * unit).to_integral_value() and holds(str(number * 100))

    return Bridge(
        (*before, f"{{to_minor_units: {currency.said}}}"), fit=0.9, said="becomes minor units of its currency",
        decide=(*asked_too, currency.asked), reads=currency.reads, takes=takes,
    )  # fmt: skip


def _from_minor(name: str, given: PgType, wanted: PgType, currency: _Currency) -> Bridge:
    if wanted.name in WHOLE:
        plain = _bridge_of_numbers(given, wanted)
        return replace(plain, fit=0.6, decide=(*plain.decide, f"are these minor units, as {name} says?"))
    is_narrow = wanted.scale is not None and wanted.scale < currency.decimals
    rounded = _rounded(wanted) if is_narrow else Bridge()
    holds = _holder(wanted)
    return Bridge(
        (f"{{from_minor_units: {currency.said}}}", *rounded.steps), fit=0.9,
        said="becomes an amount from minor units", decide=(currency.asked, *rounded.decide), reads=currency.reads,
        takes=lambda value: (number := _number(value)) is not None and holds(str(number / 100)),
    )  # fmt: skip


def _bridge_of_numbers(given: PgType, wanted: PgType) -> Bridge:
    if given.becomes(wanted) == "lossless":
        return Bridge()
    return Bridge(fit=0.95, said="types fit, what is too large is rejected", takes=_holder(wanted))


# --- codes ----------------------------------------------------------------------------------------------------------


def _boolean(values: list[str], *, is_personal: bool) -> Bridge:
    """Text that is read as true or false; spellings are written out of our own list only."""
    said = {value for value in values if value.strip()}
    folded = {value.casefold() for value in values}
    if folded <= CAST_BOOLEANS or not said:
        asked = () if said else ("which texts stand for true and false? there is no sample to look at",)
        return Bridge(
            ("{cast: boolean}",), fit=0.7, said="text is read as boolean", decide=asked,
            takes=lambda value: value.casefold() in CAST_BOOLEANS,
        )  # fmt: skip
    pairs = [pair for pair in YES_NO if folded <= set(pair)]
    if is_personal or not pairs:
        asked_for = (
            "which texts stand for true and false? say steps: [{parse_boolean: {true_is: [...], false_is: [...]}}]"
        )
        return Bridge(
            ("{cast: boolean}",), fit=0.5, said="text is read as boolean", decide=(asked_for,),
            takes=lambda value: value.casefold() in CAST_BOOLEANS,
        )  # fmt: skip
    yes, no = pairs[0]
    asks = (
        ("is each spelling meant so?",)
        if folded == set(pairs[0])
        else ("the sample has one of them only: is the other right?",)
    )
    step = f"{{parse_boolean: {{true_is: [{quoted(yes)}], false_is: [{quoted(no)}], ignore_case: true}}}}"
    return Bridge((step,), fit=0.8, said="two spellings are read as boolean", decide=asks,
                  takes=lambda value: value.casefold() in pairs[0])  # fmt: skip


def _to_codes(source: Column, target: Column, values: list[str]) -> Bridge:
    """Into a column of certain values: as they are where all fit, else by a map of those that are plainly meant."""
    wanted = target.labels or target.allowed or ()
    if about_person(source.name, target.name) or not _are_codes(wanted):
        return _silent(wanted, values)
    declared = source.labels or source.allowed or ()
    codes = declared or codes_in(values)
    listed = ", ".join(quoted(value) for value in wanted)
    only = Bridge(checks=(f"{{one_of: [{listed}]}}",), takes=lambda value: value in wanted)
    if codes and set(codes) <= set(wanted):
        return replace(only, said="codes are the same")
    are_called_codes = all(CODED & set(english(column.name)) for column in (source, target))
    often = {code for code in codes if values.count(code) >= REPEATED_MIN or code in declared}
    counterparts = {
        code: meant
        for code in codes
        if (meant := _meant(code, wanted)) and (_is_short_for(code, meant) or (are_called_codes and code in often))
    }
    are_codes = _are_codes(codes, CODE) and (are_called_codes or len(counterparts) >= MEANT_MIN * len(codes))
    if not are_codes:
        counterparts = {}
    unmeant = (set(codes) or set(values)) - set(counterparts) - (set() if counterparts else set(wanted))
    shown = sorted(code for code in unmeant & often if are_codes and len(code) <= SHOWN_LENGTH_MAX)
    rejected = _rejected(shown, len(unmeant) - len(shown))
    if not counterparts:
        asked = f"which code stands for which of {', '.join(wanted)}? say steps: [{{map: {{...}}}}]{rejected}"
        return replace(only, fit=0.6, said="codes differ", decide=(asked,))
    pairs = ", ".join(f"{quoted(code)}: {quoted(meant)}" for code, meant in counterparts.items())
    return Bridge(
        (f"{{map: {{values: {{{pairs}}}}}}}",), fit=0.8, said="codes are mapped",
        decide=(f"is each code meant so? one of: {', '.join(wanted)}{rejected}",),
        takes=lambda value: value in counterparts,
    )  # fmt: skip


def _rejected(shown: list[str], hidden: int) -> str:
    """What a map does not know: short codes that occur often by name, all others by their number."""
    others = f"{hidden} {'other' if shown else 'different'} values have no counterpart; `syncline preview` shows them"
    named = f"Rejected as yet: {', '.join(shown)}" if shown else ""
    return "".join(f". {said}" for said in (named, others if hidden else "") if said)


def _is_short_for(code: str, meant: str) -> bool:
    """Whether a code says nothing but what the target's own value says."""
    return meant.casefold().startswith(code.casefold())


def _silent(wanted: tuple[str, ...], values: list[str]) -> Bridge:
    """Into certain values of which none is written here: what is about people stays in the databases."""
    lacking, different = len(set(values) - set(wanted)), len(set(values))
    asked = f"the table takes {len(wanted)} values only, which its constraint says; none is shown here"
    asked += f". {lacking} of {different} different values have no counterpart" if lacking else ""
    asked += "; say steps: [{map: {...}}] or checks: [{one_of: [...]}]. `syncline preview` shows what is rejected"
    return Bridge(fit=0.6, said="only certain values fit", decide=(asked,), takes=lambda value: value in wanted)


def codes_in(values: list[str]) -> tuple[str, ...]:
    """The codes of a column that holds codes; nothing of one that holds anything else."""
    different = tuple(sorted(set(values)))
    is_repeated = len(values) >= REPEATED_MIN * len(different)
    return different if different and is_repeated and _are_codes(different, CODE) else ()


def _are_codes(values: Iterable[str], shape: re.Pattern[str] = WANTED_CODE) -> bool:
    """Whether these are few and short."""
    listed = list(values)
    is_short = all(len(value) <= CODE_LENGTH_MAX and shape.fullmatch(value) for value in listed)
    return bool(listed) and len(listed) <= CODES_MAX and is_short


def about_person(*names: str) -> bool:
    """Whether no value of columns of these names may be written anywhere."""
    said = [spelt for name in names for spelt in (name, "_".join(english(name)))]
    words = {word for name in said for word in name.lower().split("_")}
    is_pay = any({"salary", "wage", "gehalt"} & set(name.lower().split("_")) for name in names)  # not pay_status
    return any(map(looks_personal, said)) or is_pay or bool(words & {"name", "comment", "note"})


def _listed(source: Column, target: Column, values: list[str], known: Known, plain: Bridge) -> Bridge | None:
    """Texts that a type does not take, and that are the codes of a list of the project; or names of countries."""
    given, wanted = (source.type or TEXT).as_read, target.type or TEXT
    different = {value for value in values if value.strip()}
    if given.family != "text" or wanted.family != "text" or target.values is not None:
        return None
    holds = _holder(wanted)
    hits = {
        name: sum(value in codes for value in different)
        for name, codes in known.lists.items()
        if all(map(holds, codes.values()))
    }
    best = max(sorted(hits), key=lambda name: hits[name], default="")
    if best and len(different) >= LISTED_MIN and hits[best] >= LOOKS_MIN * len(different):
        codes = known.lists[best]
        asked = f"is code list {best} meant (include/code_lists/{best}.yaml)?"
        found = Bridge(
            (f"{{code_list: {best}}}",), fit=0.85, said=f"texts are codes of the list {best}", decide=(asked,),
            takes=lambda value: value in codes,
        )  # fmt: skip
        return _tried(found, values)
    is_country = "country" in english(source.name) + english(target.name)
    if is_country and (wanted.length or COUNTRY_CODE_MAX + 1) <= COUNTRY_CODE_MAX:
        asked = (
            "these look like names of countries: keep a code list, include/code_lists/country_names.yaml, and say"
            " steps: [{code_list: country_names}]"
        )
        return replace(plain, decide=(*plain.decide, asked))
    return None


def _meant(code: str, wanted: Iterable[str]) -> str:
    """The one value that a code equals or abbreviates; '' where none or several are."""
    folded = code.casefold()
    equal = [value for value in wanted if value.casefold() == folded]
    begun = [value for value in wanted if value.casefold().startswith(folded) or folded.startswith(value.casefold())]
    return equal[0] if equal else begun[0] if len(begun) == 1 else ""


def quoted(value: str) -> str:
    """A text that YAML reads as itself, whatever it looks like."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
