"""Steps on text: trimming, case, cutting and joining, pieces and patterns, declared truncation, defaults.

Lengths are counted in characters, as PostgreSQL counts them: code points of Unicode. What a text is encoded with is
encoding.py's matter, what hides it protect.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.models import null_word
from syncline.core.transforms.base import Cost, NotApplicable, Scalar, Transform, lit, template
from syncline.core.transforms.literals import check_literal, spelt, untyped
from syncline.core.transforms.patterns import for_server, portable, read
from syncline.core.types import ARRAY, FAMILIES, LENGTH_MAX, TEXT, PgType

EVERYTHING = tuple(sorted(set(FAMILIES.values())))
CUT_MAX = 10_000  # a longer business field is a document
VALUES_MAX = 50
# All that Unicode calls White_Space but the plain space, as it stands in a bracket expression.
BLANKS = r"\u0009-\u000d\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Characters that values of a type need at most, where that is known.
SPELT_LENGTHS = {"boolean": 5, "smallint": 6, "integer": 11, "bigint": 20, "uuid": 36}
COLUMN = re.compile(r'\(?"[^"]+"\."[^"]+"\)?(::[a-z0-9(), ]+)?')  # a column, perhaps cast


def once(value: Composable, build: Callable[[Composable], Composable]) -> Composable:
    """What `build` makes of a value that it names several times: more than a column is computed once, in a sub-select.

    Without it twenty steps, each naming its value twice, would make a statement of a million copies.
    """
    if COLUMN.fullmatch(value.as_string(None)):
        return build(value)
    return template(
        "(select {body} from (select {v} offset 0) as {t} ({c}))",
        body=build(sql.Identifier("0v", "0")), v=value, t=sql.Identifier("0v"), c=sql.Identifier("0"),
    )  # fmt: skip


def text_type(length: int | None) -> PgType:
    """varchar of a known length, else text."""
    return TEXT if length is None or not 1 <= length <= LENGTH_MAX else PgType("varchar", length=length)


class Trim(Transform):
    """White space at both ends is removed; a text of white space alone becomes NULL.

    White space is space, tab, line feed, carriage return, the no-break space and the ideographic space; `collapse`
    before it turns all others into a space. NULL stays NULL; no value is an error.
    """

    word: Literal["trim"] = "trim"
    examples: ClassVar[tuple[str, ...]] = ("trim",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        # With the spaces of spreadsheets and of Japanese, but not all of Unicode's: each sign costs.
        return template(r"nullif(btrim({v}, E' \t\n\r\u00a0\u3000'), '')", v=value)


class Collapse(Transform):
    """Every run of white space becomes one space: `Anna   Lee` and a line feed between words too.

    White space is all that Unicode calls White_Space. A run at either end becomes a space as well; `trim` after it
    removes that. NULL stays NULL; no value is an error.
    """

    word: Literal["collapse"] = "collapse"
    examples: ClassVar[tuple[str, ...]] = ("collapse",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        # A single space is no match: most values have only these, and a match costs.
        runs = lit(f"[{BLANKS}][ {BLANKS}]*| [ {BLANKS}]+")
        return template("regexp_replace({v}, {runs}, ' ', 'g')", v=value, runs=runs)


class Upper(Transform):
    """Upper case by the rules of the database that maps; its locale decides whether it knows more than a to z.

    A text may become longer: some databases write ß as SS. NULL stays NULL; no value is an error.
    """

    word: Literal["upper"] = "upper"
    examples: ClassVar[tuple[str, ...]] = ("upper",)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("upper({v})", v=value)


class Lower(Transform):
    """Lower case by the rules of the database that maps; its locale decides whether it knows more than A to Z.

    NULL stays NULL; no value is an error.
    """

    word: Literal["lower"] = "lower"
    examples: ClassVar[tuple[str, ...]] = ("lower",)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("lower({v})", v=value)


class Capitalise(Transform):
    """The first letter of every word in upper case, its others in lower case: `ANNA O'NEILL` is `Anna O'Neill`.

    A word begins at the start and after each space, hyphen and apostrophe (the straight and the curled one). Names are
    not known: `McDONALD` is `Mcdonald`, `van der Berg` is `Van Der Berg`. Case is that of `upper` and `lower`. NULL
    stays NULL; no value is an error.
    """

    word: Literal["capitalise"] = "capitalise"
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("capitalise",)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template(
            "(select string_agg(upper(left(w, 1)) || lower(substr(w, 2)), '' order by n)"
            " from regexp_split_to_table({v}, {ends}) with ordinality as r (w, n))",
            v=value, ends=lit("(?<=[ '’-])"),
        )  # fmt: skip


class Remove(Transform):
    """Every one of the given characters is removed: `{remove: " -"}`.

    What nothing is left of becomes an empty text. NULL stays NULL; no value is an error.
    """

    word: Literal["remove"] = "remove"
    shorthand: ClassVar[str | None] = "characters"
    examples: ClassVar[tuple[str, ...]] = ('{remove: " -"}',)
    characters: str = Field(min_length=1, description="Each of these characters goes", examples=[" -"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if len(self.characters) == 1:  # half the price of translate
            return template("replace({v}, {character}, '')", v=value, character=lit(self.characters))
        return template("translate({v}, {characters}, '')", v=value, characters=lit(self.characters))


class Replace(Transform):
    """Every occurrence of a text becomes another one: `{replace: {text: " & ", with: " and "}}`.

    The text is meant as it stands, letter by letter; it is no pattern. NULL stays NULL; no value is an error.
    """

    word: Literal["replace"] = "replace"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ('{replace: {text: " & ", with: " and "}}', '{replace: {text: "Ltd."}}')
    text: str = Field(min_length=1, max_length=200, description="What is looked for", examples=[" & "])
    with_: str = Field("", alias="with", max_length=200, description="What stands in its place", examples=[" and "])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length) if len(self.with_) <= len(self.text) else TEXT

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("replace({v}, {a}, {b})", v=value, a=lit(self.text), b=lit(self.with_))


class StripLeading(Transform):
    """Leading characters are removed, zeros above all: with `{strip_leading: "0"}` `000120` is `120`.

    A value of nothing else keeps its last character: `000` is `0`, not an empty text. NULL stays NULL; no value is an
    error.
    """

    word: Literal["strip_leading"] = "strip_leading"
    shorthand: ClassVar[str | None] = "characters"
    examples: ClassVar[tuple[str, ...]] = ('{strip_leading: "0"}',)
    characters: str = Field(min_length=1, max_length=20, description="Each of these goes", examples=["0"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return once(
            value,
            lambda v: template("coalesce(nullif(ltrim({v}, {c}), ''), right({v}, 1))", v=v, c=lit(self.characters)),
        )


class Pad(Transform):
    """Filled up to a length with one character: `{pad: {length: 8, side: left, with: "0"}}` makes `00000120` of `120`.

    A longer value stays as it is, never cut: `max_length` refuses it, `truncate` before it cuts it. NULL stays NULL; no
    value is an error.
    """

    word: Literal["pad"] = "pad"
    examples: ClassVar[tuple[str, ...]] = (
        '{pad: {length: 8, side: left, with: "0"}}',
        '{pad: {length: 18, side: right, with: " "}}',
    )
    length: StrictInt = Field(ge=1, le=CUT_MAX, description="Characters that the value has at least", examples=[8])
    side: Literal["left", "right"] = Field(description="The side that is filled; a number is filled on the left")
    with_: str = Field(
        alias="with", min_length=1, max_length=1, description="The character that fills", examples=["0", " "]
    )

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return TEXT if given.length is None else text_type(max(given.length, self.length))

    def sql(self, value: Composable, given: PgType) -> Composable:
        fill = "lpad" if self.side == "left" else "rpad"
        padded = "case when char_length({v}) >= {n} then {v} else " + fill + "({v}, {n}, {c}) end"
        return once(value, lambda v: template(padded, v=v, n=lit(self.length), c=lit(self.with_)))


class Prefix(Transform):
    """A text is put before the value: `{prefix: "GB"}`.

    NULL stays NULL; no value is an error.
    """

    word: Literal["prefix"] = "prefix"
    shorthand: ClassVar[str | None] = "text"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ('{prefix: "GB"}',)
    text: str = Field(min_length=1, max_length=200, description="What stands before the value", examples=["GB"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return TEXT if given.length is None else text_type(given.length + len(self.text))

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("({a} || {v})", a=lit(self.text), v=value)


class Suffix(Transform):
    """A text is put behind the value: `{suffix: "-UK"}`.

    NULL stays NULL; no value is an error.
    """

    word: Literal["suffix"] = "suffix"
    shorthand: ClassVar[str | None] = "text"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ('{suffix: "-UK"}',)
    text: str = Field(min_length=1, max_length=200, description="What stands behind the value", examples=["-UK"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return TEXT if given.length is None else text_type(given.length + len(self.text))

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("({v} || {a})", a=lit(self.text), v=value)


class Truncate(Transform):
    """Declared truncation: at most so many characters are kept. Undeclared length is a `max_length` error.

    NULL stays NULL; no value is an error.
    """

    word: Literal["truncate"] = "truncate"
    shorthand: ClassVar[str | None] = "length"
    examples: ClassVar[tuple[str, ...]] = ("{truncate: 140}",)
    length: StrictInt = Field(ge=1, le=CUT_MAX, description="Characters that are kept", examples=[140])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(min(self.length, given.length or self.length))

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("left({v}, {n})", v=value, n=lit(self.length))


class TruncateBytes(Transform):
    """Declared truncation for files of fixed width: at most so many bytes of UTF-8 are kept, no character is split.

    A letter beyond ASCII has two to four bytes; where it would be split, it goes. NULL stays NULL; no value is an
    error.
    """

    word: Literal["truncate_bytes"] = "truncate_bytes"
    shorthand: ClassVar[str | None] = "length"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{truncate_bytes: 70}",)
    length: StrictInt = Field(ge=1, le=CUT_MAX, description="Bytes that are kept", examples=[70])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(min(self.length, given.length or self.length))

    def sql(self, value: Composable, given: PgType) -> Composable:
        return once(
            value,
            lambda v: template(
                "case when octet_length({v}) <= {n} then {v} else"
                " (select convert_from(substr(r.b, 1, {n} - {back}), 'UTF8')"
                " from (select convert_to({v}, 'UTF8') offset 0) as r (b)) end",
                v=v, n=lit(self.length), back=self._back(sql.SQL("r.b")),
            ),
        )  # fmt: skip

    def _back(self, given: Composable) -> Composable:
        """Bytes that a character which the cut would split has before the cut: 10xxxxxx goes on with one."""
        goes_on = [template("get_byte({b}, {n}) & 192 <> 128", b=given, n=lit(self.length - n)) for n in range(3)]
        whens = [template("when {c} then {n}", c=c, n=lit(n)) for n, c in enumerate(goes_on[: self.length + 1])]
        return template("case {whens} else 3 end", whens=sql.SQL(" ").join(whens))


class Substring(Transform):
    """A part of the value by its place: `{substring: {start: 1, length: 4}}`.

    The first character is 1, the last one -1: `{start: -4}` is the last four. Of a value that is shorter it gives what
    is there; of one that ends before, an empty text. NULL stays NULL; no value is an error.
    """

    word: Literal["substring"] = "substring"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{substring: {start: 1, length: 4}}", "{substring: {start: -4}}")
    start: StrictInt = Field(
        ge=-CUT_MAX, le=CUT_MAX, description="Place of its first character; negative counts from the end", examples=[1]
    )
    length: StrictInt | None = Field(
        None, ge=1, le=CUT_MAX, description="Characters; without it, all to the end", examples=[4]
    )

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if self.start == 0:
            raise PydanticCustomError("M02", "`start` is 1 for the first character, -1 for the last", {})
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        known = [n for n in (given.length, self.length, -self.start if self.start < 0 else None) if n is not None]
        return text_type(min(known, default=None))

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.start < 0:
            value = template("right({v}, {n})", v=value, n=lit(-self.start))
            return value if self.length is None else template("left({v}, {n})", v=value, n=lit(self.length))
        if self.length is None:
            return template("substr({v}, {s})", v=value, s=lit(self.start))
        return template("substr({v}, {s}, {n})", v=value, s=lit(self.start), n=lit(self.length))


class Split(Transform):
    """One piece of a value that a separator divides: `{split: {separator: ",", take: 2}}` of `a,b,c` is `b`.

    The first piece is 1, the last one -1. A piece that is not there or is empty is an error of the row, or NULL with
    `on_missing: null`. NULL stays NULL.
    """

    word: Literal["split"] = "split"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = (
        '{split: {separator: ",", take: 1}}',
        '{split: {separator: " ", take: -1, on_missing: null}}',
    )
    separator: str = Field(min_length=1, max_length=20, description="What stands between pieces", examples=[","])
    take: StrictInt = Field(ge=-1000, le=1000, description="Which piece; negative counts from the end", examples=[1])
    on_missing: Annotated[Literal["reject", "null"], BeforeValidator(null_word)] = Field(
        "reject", description="No such piece: an error of the row, or NULL"
    )

    @model_validator(mode="after")
    def _takes_one(self) -> Self:
        if self.take == 0:
            raise PydanticCustomError("M02", "`take` is 1 for the first piece, -1 for the last", {})
        return self

    @property
    def is_partial(self) -> bool:
        return self.on_missing == "reject"

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template(
            "nullif(split_part({v}, {s}, {n}), '')", v=value, s=lit(self.separator), n=lit(self.take)
        )  # half the price of an array


def _extractable(regex: str) -> str:
    """What is extracted must not depend on who reads `*?`: PostgreSQL and Python differ there."""
    if read(portable(regex)).is_lazy:
        raise PydanticCustomError("M02", "the pattern cannot run: `extract` takes the longest match, not `*?`", {})
    return regex


class Extract(Transform):
    """The part of the value that a regular expression finds: `{extract: {pattern: "([0-9]+)[a-z]*$"}}`.

    It gives what the first group ( ) holds, without groups the whole match; `group` names another one, 0 is the whole
    match. Of several places the first counts, and there the longest match (the rule of POSIX); what stands before the
    group is as long as it can be. The pattern is one as `pattern` takes it: `\\d`, `\\w` and `\\s` know ASCII, and
    `.` is any character. No match is an error of the row, or NULL with `on_missing: null`. NULL stays NULL.
    """

    word: Literal["extract"] = "extract"
    may_reject: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "pattern"
    examples: ClassVar[tuple[str, ...]] = (
        '{extract: "[0-9]+"}',
        '{extract: {pattern: "^([A-Z]{2})-([0-9]+)$", group: 2, on_missing: null}}',
    )
    pattern: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_extractable)] = Field(
        description="A regular expression of the part that Python and PostgreSQL share", examples=["([0-9]+)[a-z]*$"]
    )
    group: StrictInt | None = Field(
        None, ge=0, le=20, description="Which ( ) is taken; 0 is the whole match", examples=[1]
    )
    on_missing: Annotated[Literal["reject", "null"], BeforeValidator(null_word)] = Field(
        "reject", description="No match: an error of the row, or NULL"
    )

    @property
    def _taken(self) -> int:
        return min(read(self.pattern).groups, 1) if self.group is None else self.group

    @model_validator(mode="after")
    def _has_the_group(self) -> Self:
        found = read(self.pattern)
        if self._taken > found.groups:
            raise PydanticCustomError("M02", "the pattern has no group {n}", {"n": self._taken})
        if self._taken in found.repeated:
            raise PydanticCustomError(
                "M02", "group {n} of the pattern is repeated, so it has several values; put ( ) around the repetition",
                {"n": self._taken},
            )  # fmt: skip
        return self

    @property
    def is_partial(self) -> bool:
        return self.on_missing == "reject"

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return text_type(given.length)

    def sql(self, value: Composable, given: PgType) -> Composable:
        # It gives its first group, or else the whole match; the cheapest way.
        return template("substring({v} from {p})", v=value, p=lit(for_server(self.pattern, self._taken)))


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


class NullIf(Transform):
    """Values that only say that there is none become NULL: `{null_if: ["N/A", "-", "unknown"]}`.

    They are compared exactly, case and spaces included, and read as the type of the value. NULL stays NULL; no value is
    an error.
    """

    word: Literal["null_if"] = "null_if"
    shorthand: ClassVar[str | None] = "values"
    takes: ClassVar[tuple[str, ...]] = ("text", "number", "boolean", "date", "timestamp", "timestamptz", "uuid")
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ('{null_if: ["N/A", "-"]}', "{null_if: 0}", '{null_if: "1900-01-01"}')
    values: Annotated[tuple[Scalar, ...], BeforeValidator(_several)] = Field(
        min_length=1, max_length=VALUES_MAX, description="Values that become NULL", examples=[["N/A", "-"]]
    )

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        for value in self.values:
            check_literal(value, given)
        return given

    def sql(self, value: Composable, given: PgType) -> Composable:
        for said in self.values:  # nested: each names the value once
            value = template("nullif({v}, {said})", v=value, said=untyped(said))
        return value


class Default(Transform):
    """NULL becomes the given value, read as the type of the field.

    A value that is there stays as it is; no value is an error.
    """

    word: Literal["default"] = "default"
    shorthand: ClassVar[str | None] = "value"
    takes: ClassVar[tuple[str, ...]] = EVERYTHING
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{default: none}", "{default: 0}")
    value: Scalar = Field(description="What stands where there was NULL", examples=["none"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.length is not None:  # the value may be longer than the column: the field's type judges it
            given = text_type(max(given.length, len(spelt(self.value))))
        check_literal(self.value, given)
        return given

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("coalesce({v}, {default})", v=value, default=untyped(self.value))


class AsText(Transform):
    """Any value in PostgreSQL's own spelling; dates, times and intervals in ISO 8601.

    Instants are spelt in UTC, floats by their shortest exact text, bytea in hex: no setting of a server changes it.
    NULL stays NULL; no value is an error.
    """

    word: Literal["to_text"] = "to_text"
    takes: ClassVar[tuple[str, ...]] = (*EVERYTHING, ARRAY)
    examples: ClassVar[tuple[str, ...]] = ("to_text",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.name == "money":  # of arrays; a single one is a number by now
            raise NotApplicable("`to_text` does not take money[]: its text has the signs of a locale")
        if given.is_array:
            return TEXT
        if given.name == "numeric" and given.precision is not None:
            return text_type(given.precision + 3)  # sign, zero before the point, point
        return text_type(SPELT_LENGTHS.get(given.name, given.length))

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("({v})::text", v=value)
