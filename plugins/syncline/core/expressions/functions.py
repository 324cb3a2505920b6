"""The functions that expressions may call: one entry each, nothing else exists.

To add one: an entry of FUNCTIONS with its builder; its line in docs/expressions.md comes from here. Its SQL must be
immutable, must not fail on any operand that its builder lets through, and gives text of the collation "C".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from syncline.core.expressions import rules
from syncline.core.expressions.nodes import Call, Coalesce, Constant, Known, Node
from syncline.core.expressions.refused import ExpressionRefused
from syncline.core.types import INTEGER, PgType

Args = tuple[Node, ...]
Builder = Callable[[Args, int], Node]
PAD_MAX = 1_000  # letters
PARTS_MAX = 1_000  # of split_part
DECIMALS_MAX = 30
ANY = 50  # operands; PostgreSQL calls with 100 at most


@dataclass(frozen=True)
class Function:
    """A function: how it is written, what it gives, and what an author has to know."""

    usage: str
    gives: str
    note: str
    fewest: int
    most: int
    build: Builder

    def __call__(self, args: Args, position: int) -> Node:
        if not self.fewest <= len(args) <= self.most:
            raise ExpressionRefused(position, f"{len(args)} operands", f"write {self.usage}")
        return self.build(args, position)


# -- choosing -----------------------------------------------------------------------------------------------------


def _coalesce(args: Args, position: int) -> Node:
    kind, known = rules.unified(args, "coalesce")
    return Coalesce(kind, known, position, tuple(rules.typed(arg, kind) for arg in args))


def _extreme(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        for arg in args:
            rules.require(arg, rules.ORDERED, name)
        kind, known = rules.unified(args, name)
        places = ", ".join(f"{{{n}}}" for n in range(len(args)))
        return Call(kind, known, position, f"{name}({places})", args, passes_on=True)

    return build


def _nullif(args: Args, position: int) -> Node:
    rules.comparable("nullif", *args)
    both, _ = rules.unified(args, "nullif")  # PostgreSQL compares an integer with a numeric as numerics
    kind = both if both.name == "numeric" else args[0].type
    return Call(kind, args[0].known, position, "nullif({0}, {1})", args, passes_on=True)


# -- texts --------------------------------------------------------------------------------------------------------


def _case_of_letters(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        told = f'{name}({{0}} collate pg_catalog."default") collate pg_catalog."C"'
        operand = rules.text(args[0], name)
        return rules.grown(told, 4 * operand.known.octets, position, operand)

    return build


def _trim(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        operands = rules.texts(args, name)
        told = f"{name}({{0}})" if len(args) == 1 else f"{name}({{0}}, {{1}})"
        return rules.grown(told, operands[0].known.octets, position, *operands)

    return build


def _length(args: Args, position: int) -> Node:
    operand = rules.text(args[0], "length")
    return Call(INTEGER, _count(operand), position, "char_length({0})", (operand,))


def _count(operand: Node) -> Known:
    """What is known of a number of letters."""
    return Known(len(str(operand.known.octets)), 0)


def _substring(args: Args, position: int) -> Node:
    operand, start = rules.text(args[0], "substring"), rules.whole(args[1], "substring")
    octets = operand.known.octets
    if len(args) == 2:
        return rules.grown("substr({0}, {1})", octets, position, operand, start)
    count = rules.whole(args[2], "substring")
    if isinstance(args[2], Constant):
        rules.literal_whole(args[2], "the count of substring", 0, 10**9 - 1)
        return rules.grown("substr({0}, {1}, {2})", octets, position, operand, start, count)
    told = "case when {2} >= 0 then substr({0}, {1}, {2}) end"
    fault = "{2} < 0 and {0} is not null and {1} is not null"
    return rules.grown(told, octets, position, operand, start, count, fault=fault)


def _end(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        operand, count = rules.text(args[0], name), rules.whole(args[1], name)
        return rules.grown(f"{name}({{0}}, {{1}})", operand.known.octets, position, operand, count)

    return build


def _replace(args: Args, position: int) -> Node:
    operand, old = rules.text(args[0], "replace"), rules.text(args[1], "replace")
    new = rules.literal_text(args[2], "the new text of replace")
    octets = operand.known.octets * max(1, len(new.encode()))
    return rules.grown("replace({0}, {1}, {2})", octets, position, operand, old, args[2])


def _concat(args: Args, position: int) -> Node:
    operands = rules.texts(args, "concat")
    told = " || ".join(f"coalesce({{{n}}}, '')" for n in range(len(operands)))
    return rules.grown(told, sum(arg.known.octets for arg in operands), position, *operands)


def _concat_ws(args: Args, position: int) -> Node:
    separator = rules.literal_text(args[0], "the separator of concat_ws")
    operands = rules.texts(args[1:], "concat_ws")
    octets = sum(arg.known.octets for arg in operands) + len(operands) * len(separator.encode())
    places = ", ".join(f"{{{n}}}" for n in range(len(args)))
    return rules.grown(f"concat_ws({places})", octets, position, args[0], *operands)


def _pad(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        operand = rules.text(args[0], name)
        length = rules.literal_whole(args[1], f"the length of {name}", 0, PAD_MAX)
        told = f"{name}({{0}}, {length})"
        if len(args) == 3:
            if not rules.literal_text(args[2], f"the filling of {name}"):
                rules.refuse(args[2], f"{name} with nothing")
            told = f"{name}({{0}}, {length}, {{1}})"
        return rules.grown(told, 4 * PAD_MAX, position, operand, *args[2:])

    return build


def _starts_with(args: Args, position: int) -> Node:
    return rules.condition("starts_with({0}, {1})", *rules.texts(args, "starts_with"))


def _strpos(args: Args, position: int) -> Node:
    operand, part = rules.texts(args, "strpos")
    return Call(INTEGER, _count(operand), position, "strpos({0}, {1})", (operand, part))


def _split_part(args: Args, position: int) -> Node:
    operand = rules.text(args[0], "split_part")
    rules.literal_text(args[1], "the separator of split_part")
    part = rules.literal_whole(args[2], "the part of split_part", -PARTS_MAX, PARTS_MAX)
    if part == 0:
        rules.refuse(args[2], "there is no part 0", "1 is the first part, -1 the last")
    return rules.grown(f"split_part({{0}}, {{1}}, {part})", operand.known.octets, position, operand, args[1])


# -- numbers ------------------------------------------------------------------------------------------------------


def _rounded(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        operand = rules.number(args[0], name)
        decimals = rules.literal_whole(args[1], f"the decimals of {name}", 0, DECIMALS_MAX) if len(args) == 2 else 0
        known = Known(operand.known.whole + 1, decimals)
        return rules.calculated(f"{name}({{0}}::numeric, {decimals})", known, position, operand)

    return build


def _to_whole(name: str) -> Builder:
    def build(args: Args, position: int) -> Node:
        operand = rules.number(args[0], name)
        return rules.calculated(f"{name}({{0}}::numeric)", Known(operand.known.whole + 1, 0), position, operand)

    return build


def _abs(args: Args, position: int) -> Node:
    operand = rules.number(args[0], "abs")
    return rules.calculated("abs({0}::numeric)", operand.known, position, operand)


def _sign(args: Args, position: int) -> Node:
    return rules.calculated("sign({0}::numeric)", Known(1, 0), position, rules.number(args[0], "sign"))


def _mod(args: Args, position: int) -> Node:
    return rules.arithmetic("%", *args)


# -- days and moments ---------------------------------------------------------------------------------------------

UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
DATE_UNITS = UNITS[:5]
FIELDS = ("year", "isoyear", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute", "second")
DATE_FIELDS = FIELDS[:9]


def extract(name: str, position: int, moment: Node) -> Node:
    """`extract(year from x)`: a whole number, seconds with their fraction."""
    rules.require(moment, ("date", "timestamp"), "extract")
    allowed = DATE_FIELDS if moment.type.family == "date" else FIELDS
    if name not in allowed:
        raise ExpressionRefused(position, f"no '{name}' of a {moment.type}", f"one of {' '.join(allowed)}")
    moment = moment.guarded()
    if name == "second":
        return rules.calculated("extract(second from {0})", Known(2, 6), position, moment)
    return Call(INTEGER, Known(7, 0), position, f"extract({name} from {{0}})::integer", (moment,))


def _date_trunc(args: Args, position: int) -> Node:
    unit = rules.literal_text(args[0], "the unit of date_trunc")
    moment = rules.require(args[1], ("date", "timestamp"), "date_trunc").guarded()
    allowed = DATE_UNITS if moment.type.family == "date" else UNITS
    if unit not in allowed:
        rules.refuse(args[0], f"no '{unit}' of a {moment.type}", f"one of {' '.join(allowed)}")
    told, kind = f"date_trunc('{unit}', {{0}})", PgType("timestamp")
    if moment.type.family == "date":
        told, kind = f"date_trunc('{unit}', {{0}}::timestamp)::date", moment.type
    known = Known(first=moment.known.first - 366, last=moment.known.last)
    return Call(kind, known, position, told, (moment,))


def _to_char(args: Args, position: int) -> Node:
    moment = rules.in_calendar(args[0], "to_char", ("date", "timestamp"))
    form = rules.literal_text(args[1], "the format of to_char")
    if not rules.FORMAT.fullmatch(form) or len(form) > rules.FORMAT_MAX:
        told = "YYYY MM DD DDD IYYY IW ID Q HH24 MI SS MS US and - / . : , _ between them"
        rules.refuse(args[1], "the format of to_char", told)
    told = 'to_char({0}::timestamp, {1}) collate pg_catalog."C"'
    return rules.grown(told, 4 * rules.FORMAT_MAX, position, moment, args[1])


_TRIM_NOTE = "Without signs: spaces alone"
_CASE_NOTE = "By the rules of the database that maps; its locale decides whether it knows more than a to z"
FUNCTIONS: dict[str, Function] = {
    "coalesce": Function("coalesce(a, b, ...)", "as a, b", "The first that is not NULL", 2, ANY, _coalesce),
    "nullif": Function("nullif(a, b)", "as a", "NULL where both are equal", 2, 2, _nullif),
    "greatest": Function("greatest(a, b, ...)", "as a, b", "NULL ones are left out", 2, ANY, _extreme("greatest")),
    "least": Function("least(a, b, ...)", "as a, b", "NULL ones are left out", 2, ANY, _extreme("least")),
    "lower": Function("lower(text)", "text", _CASE_NOTE, 1, 1, _case_of_letters("lower")),
    "upper": Function("upper(text)", "text", _CASE_NOTE, 1, 1, _case_of_letters("upper")),
    "trim": Function("trim(text [, signs])", "text", _TRIM_NOTE, 1, 2, _trim("btrim")),
    "btrim": Function("btrim(text [, signs])", "text", "As trim", 1, 2, _trim("btrim")),
    "ltrim": Function("ltrim(text [, signs])", "text", "At the beginning only", 1, 2, _trim("ltrim")),
    "rtrim": Function("rtrim(text [, signs])", "text", "At the end only", 1, 2, _trim("rtrim")),
    "length": Function("length(text)", "integer", "In characters", 1, 1, _length),
    "substring": Function("substring(text, start [, count])", "text",
                          "Counts from 1; a negative count rejects the row", 2, 3, _substring),
    "substr": Function("substr(text, start [, count])", "text", "As substring", 2, 3, _substring),
    "left": Function("left(text, count)", "text", "A negative count: all but so many at the end", 2, 2, _end("left")),
    "right": Function("right(text, count)", "text", "A negative count: all but so many at the beginning", 2, 2,
                      _end("right")),
    "replace": Function("replace(text, old, 'new')", "text", "Every one; the new text is a literal", 3, 3, _replace),
    "concat": Function("concat(text, text, ...)", "text", "NULL ones are left out; all NULL gives ''", 2, ANY, _concat),
    "concat_ws": Function("concat_ws('separator', text, text, ...)", "text", "NULL ones are left out", 3, ANY,
                          _concat_ws),
    "lpad": Function("lpad(text, length [, 'filling'])", "text",
                     f"Literals; at most {PAD_MAX}. A longer text is cut", 2, 3, _pad("lpad")),
    "rpad": Function("rpad(text, length [, 'filling'])", "text",
                     f"Literals; at most {PAD_MAX}. A longer text is cut", 2, 3, _pad("rpad")),
    "starts_with": Function("starts_with(text, beginning)", "boolean", "", 2, 2, _starts_with),
    "strpos": Function("strpos(text, part)", "integer", "Counts from 1; 0 where it is not found", 2, 2, _strpos),
    "split_part": Function("split_part(text, 'separator', part)", "text",
                           "Literals; 1 is the first part, -1 the last; '' where there is none", 3, 3, _split_part),
    "abs": Function("abs(number)", "numeric", "", 1, 1, _abs),
    "sign": Function("sign(number)", "numeric", "-1, 0 or 1", 1, 1, _sign),
    "round": Function("round(number [, decimals])", "numeric", "The half away from zero; the step `round` knows more",
                      1, 2, _rounded("round")),
    "trunc": Function("trunc(number [, decimals])", "numeric", "Towards zero", 1, 2, _rounded("trunc")),
    "floor": Function("floor(number)", "numeric", "", 1, 1, _to_whole("floor")),
    "ceil": Function("ceil(number)", "numeric", "", 1, 1, _to_whole("ceil")),
    "mod": Function("mod(a, b)", "numeric", "As a % b", 2, 2, _mod),
    "date_trunc": Function("date_trunc('month', date)", "as the operand",
                           f"{' '.join(UNITS)}; of a date to day, and it stays a date", 2, 2, _date_trunc),
    "to_char": Function("to_char(date, 'YYYY-MM-DD')", "text",
                        "Digits only, no names of months; a year outside of 1 to 9999 rejects the row", 2, 2, _to_char),
}  # fmt: skip
