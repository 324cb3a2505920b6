"""Steps on what is nested: JSON and arrays.

PostgreSQL descends into JSON by recursion, and its stack ends before a text does: 14,000 levels fail the statement,
whatever else guards it (V16). A text is only read if it has fewer brackets than that; so it cannot have more levels.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.models import null_word
from syncline.core.transforms.base import Cost, NotApplicable, Transform, lit, template
from syncline.core.transforms.text import once
from syncline.core.types import EVERY_FAMILY, NUMERIC, TEXT, PgType

# Both far below what a server with 2 MB of stack reads (it ends at 13,000 levels) and above what a field holds.
BRACKETS_MAX = 5_000
CHARACTERS_MAX = 1_000_000
JSONB = PgType("jsonb")


class ParseJson(Transform):
    """Text or json to jsonb, if it is JSON that jsonb can hold: `parse_json`.

    NULL stays NULL. What is no JSON, a character U+0000, a number that numeric cannot hold, more than 5,000 objects and
    arrays in all, and more than a million characters are errors of the row. Of several equal keys the last one stays,
    and their order is not kept, as jsonb has it.

    Source: RFC 8259.
    """

    word: Literal["parse_json"] = "parse_json"
    takes: ClassVar[tuple[str, ...]] = ("text", "json")
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("parse_json",)
    server_min: ClassVar[int] = 16  # pg_input_is_valid

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return JSONB

    def sql(self, value: Composable, given: PgType) -> Composable:
        text = value if given.family == "text" else template("({v})::text", v=value)
        # pg_input_is_valid is not immutable: beside a constant, the planner would try the cast that it guards.
        return once(
            text,
            lambda t: template(
                "case when char_length({t}) <= {many} or char_length({t}) <= {long}"  # most are short: nothing to count
                " and char_length({t}) - char_length(translate({t}, '[{{', '')) <= {many} then"
                " case when pg_input_is_valid({t}, 'jsonb') then ({t})::jsonb end end",
                t=t, long=lit(CHARACTERS_MAX), many=lit(BRACKETS_MAX),
            ),
        )  # fmt: skip


PATH_PART = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(-?[0-9]{1,6})\]|\[\"([^\"\\]{1,100})\"\]")


def _path(path: str) -> str:
    rest = path.removeprefix("$")
    if not path.startswith("$") or PATH_PART.sub("", rest):
        raise PydanticCustomError(
            "M02", "'{path}' is not a path; write $.name, $.list[0], $[\"a name\"] or several of them",
            {"path": path[:80]},
        )  # fmt: skip
    return path


def path_parts(path: str) -> list[str | int]:
    """The keys and positions that a checked path names."""
    return [name or quoted or int(position) for name, position, quoted in PATH_PART.findall(path)]


OnMissing = Annotated[Literal["reject", "null"], BeforeValidator(null_word)]


class JsonPath(Transform):
    """The value at a place in a jsonb: `{json_path: {path: "$.address.lines[0]", as: text}}`.

    `as` says what comes out: text (a string as it is, everything else in its JSON spelling), jsonb (anything), numeric
    (of a JSON number) or boolean (of true and false); another kind is an error of the row. A path that leads nowhere or
    to a JSON null is an error of the row, or NULL with `on_missing: null`. NULL stays NULL.

    A numeric or boolean that may be missing takes two steps: `{json_path: {path: $.a, as: jsonb, on_missing: null}}`,
    then `{json_path: {path: $, as: numeric}}`.
    """

    word: Literal["json_path"] = "json_path"
    may_reject: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "path"
    takes: ClassVar[tuple[str, ...]] = ("jsonb",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = (
        '{json_path: "$.a.b[0]"}',
        '{json_path: {path: "$.a[-1]", as: text, on_missing: null}}',
        '{json_path: {path: "$", as: numeric}}',
        '{json_path: {path: "$.a", as: boolean}}',
        """{json_path: {path: '$["a b"]', as: jsonb, on_missing: null}}""",
    )
    path: Annotated[str, Field(max_length=500), AfterValidator(_path)] = Field(
        description='$, then .name, [0] (the first element; [-1] is the last) or ["a name"]',
        examples=["$.address.city", "$.lines[0].sku"],
    )
    as_: Literal["text", "numeric", "boolean", "jsonb"] = Field(
        "text", alias="as", description="What comes out", examples=["text", "numeric"]
    )
    on_missing: OnMissing = Field(
        "reject", description="The path leads nowhere or to null: an error of the row, or NULL"
    )

    @model_validator(mode="after")
    def _can_tell(self) -> Self:
        if self.on_missing == "null" and self.as_ in ("numeric", "boolean"):
            raise PydanticCustomError(
                "M02", "`on_missing: null` goes with `as: jsonb` or `as: text`; a second step"
                ' {{json_path: {{path: "$", as: {kind}}}}} then reads what is there', {"kind": self.as_},
            )  # fmt: skip
        return self

    @property
    def is_partial(self) -> bool:
        return self.on_missing == "reject"

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return {"text": TEXT, "numeric": NUMERIC, "boolean": PgType("boolean"), "jsonb": JSONB}[self.as_]

    def sql(self, value: Composable, given: PgType) -> Composable:
        leaf = self._leaf(value)
        form = {
            "text": "({l} #>> '{{}}')",
            "jsonb": "nullif({l}, 'null'::jsonb)",
            "numeric": "case when jsonb_typeof({l}) = 'number' then ({l})::numeric end",
            "boolean": "case when jsonb_typeof({l}) = 'boolean' then ({l})::boolean end",
        }[self.as_]
        return template(form, l=leaf)

    def _leaf(self, value: Composable) -> Composable:
        parts = path_parts(self.path)
        if all(isinstance(part, str) for part in parts):
            leaf = value
            for part in parts:
                leaf = template("({v} -> {key})", v=leaf, key=lit(part))
            return leaf
        # `->` would take a scalar for an array of one element; a strict path does not
        steps = [
            f".{json.dumps(part, ensure_ascii=False)}" if isinstance(part, str) else _index(part) for part in parts
        ]
        return template(
            "jsonb_path_query_first({v}, {path}::jsonpath, '{{}}', true)",
            v=value, path=sql.Literal("strict $" + "".join(steps)),
        )  # fmt: skip


def _index(position: int) -> str:
    if position >= 0:
        return f"[{position}]"
    return "[last]" if position == -1 else f"[last - {-position - 1}]"


class ToJson(Transform):
    """Any value as jsonb: numbers and booleans as such, arrays as arrays, everything else as a string.

    NULL stays NULL. NaN and infinity become strings. Nothing is an error of the row; json is read with `parse_json`.
    """

    word: Literal["to_json"] = "to_json"
    takes: ClassVar[tuple[str, ...]] = tuple(family for family in EVERY_FAMILY if family != "json")
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("to_json",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.is_array and given.name == "json":
            raise NotApplicable("`to_json` does not take json[]: read its elements with `parse_json` first")
        if given.is_array and given.name == "money":
            raise NotApplicable("`to_json` does not take money[]: its text has the signs of a locale")
        return JSONB

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("to_jsonb({v})", v=value)


class SplitToArray(Transform):
    """Text to an array of the pieces between separators: `{split_to_array: ","}`.

    The empty text gives an empty array. An empty piece is an element too; with `empty: null` it is a NULL element.
    NULL stays NULL. Nothing is an error of the row.
    """

    word: Literal["split_to_array"] = "split_to_array"
    shorthand: ClassVar[str | None] = "separator"
    examples: ClassVar[tuple[str, ...]] = ('{split_to_array: ","}', '{split_to_array: {separator: ";", empty: null}}')
    separator: str = Field(min_length=1, max_length=20, description="What stands between pieces", examples=[","])
    empty: Annotated[Literal["keep", "null"], BeforeValidator(null_word)] = Field(
        "keep", description="An empty piece: an empty text, or NULL"
    )

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("text", is_array=True)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.empty == "null":
            return template("string_to_array({v}, {s}, '')", v=value, s=lit(self.separator))
        return template("string_to_array({v}, {s})", v=value, s=lit(self.separator))


class Join(Transform):
    """The elements of an array as one text: `{join: {separator: ", ", nulls: skip}}`.

    `nulls` says what becomes of NULL elements: `skip` leaves them out, `reject` makes them an error of the row;
    `null_as` writes them as a text of yours. An array of several dimensions is joined element by element. NULL stays
    NULL; an empty array gives the empty text.
    """

    word: Literal["join"] = "join"
    takes: ClassVar[tuple[str, ...]] = ("array",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = (
        '{join: {separator: ", ", nulls: skip}}',
        '{join: {separator: ";", nulls: reject}}',
        '{join: {separator: ";", null_as: "-"}}',
    )
    separator: str = Field(max_length=20, description="What stands between two elements", examples=[", "])
    nulls: Literal["skip", "reject"] | None = Field(None, description="NULL elements: left out, or an error of the row")
    null_as: str | None = Field(None, max_length=100, description="The text of a NULL element", examples=["-"])

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        if (self.nulls is None) == (self.null_as is None):
            raise PydanticCustomError("M02", "say what becomes of NULL elements: either `nulls` or `null_as`", {})
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.name == "money":
            raise NotApplicable("`join` does not take money[]: its text has the signs of a locale")
        return TEXT

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.null_as is not None:
            return template("array_to_string({v}, {s}, {n})", v=value, s=lit(self.separator), n=lit(self.null_as))
        if self.nulls == "skip":
            return template("array_to_string({v}, {s})", v=value, s=lit(self.separator))
        # Written in two ways, NULL elements tell themselves apart; array_position refuses several dimensions.
        return once(
            value,
            lambda v: template(
                "case when array_to_string({v}, '', '') = array_to_string({v}, '', '.') then"
                " array_to_string({v}, {s}) end",
                v=v, s=lit(self.separator),
            ),
        )  # fmt: skip


class Element(Transform):
    """One element of an array: `{element: 1}` is the first, `{element: -1}` the last.

    An element that is not there or is NULL is an error of the row, or NULL with `on_missing: null`; so is every element
    of an array with several dimensions. NULL stays NULL.
    """

    word: Literal["element"] = "element"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    shorthand: ClassVar[str | None] = "number"
    takes: ClassVar[tuple[str, ...]] = ("array",)
    examples: ClassVar[tuple[str, ...]] = ("{element: 1}", "{element: {number: -1, on_missing: null}}")
    number: StrictInt = Field(
        ge=-100_000, le=100_000, description="Which one; negative counts from the end", examples=[1, -1]
    )
    on_missing: OnMissing = Field("reject", description="No such element: an error of the row, or NULL")

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.number == 0:
            raise PydanticCustomError("M02", "`element` is 1 for the first, -1 for the last", {})
        return self

    @property
    def is_partial(self) -> bool:
        return self.on_missing == "reject"

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return given.element.as_read

    def sql(self, value: Composable, given: PgType) -> Composable:
        # Arrays need not begin at 1, and may end where integers do; a slice of all of it begins at 1.
        if self.number > 0:
            taken = template("(({v})[:])[{n}]", v=value, n=lit(self.number))
        else:
            last = "(({v})[:])[array_length({v}, 1) - {n}]"
            taken = once(value, lambda v: template(last, v=v, n=lit(-self.number - 1)))
        return taken if given.element.as_read == given.element else _as(taken, given.element.as_read)


def _as(value: Composable, kind: PgType) -> Composable:
    return template("({v})::{k}", v=value, k=kind.sql)
