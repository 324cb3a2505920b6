"""The field mapping document: how each field of a target comes from fields of a source.

One document per entity, shared by the batch job, later the CDC job and the record comparison. It knows types:
a pair of types that could lose something is refused until a step says how. What a mapping *does* is compiled in
compile.py; which tables it connects is the manifest's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.equal_words import Equality
from syncline.core.expressions import ExpressionRefused
from syncline.core.field_values import (
    ARGUMENTS_MAX,
    ArrayOf,
    Beginning,
    Branch,
    Case,
    Coalesce,
    Column,
    Columns,
    Computed,
    Concat,
    Constant,
    JsonObject,
    Lookup,
    Places,
    SurrogateKey,
    Types,
    When,
)
from syncline.core.files.findings import KEY, nearest
from syncline.core.models import Frozen, Name, Sentence, Version
from syncline.core.remedies import remedy
from syncline.core.sensitive import looks_personal
from syncline.core.transforms import AnyCheck, NotApplicable, Scalar, Step
from syncline.core.types import PgType, TypeName

COLUMNS_MAX = 1_500  # PostgreSQL ends at 1,664
ElementColumns = Annotated[tuple[Name, ...], Field(min_length=1, max_length=ARGUMENTS_MAX)]
ObjectKeys = Annotated[dict[StrictStr, Name], Field(min_length=1, max_length=ARGUMENTS_MAX)]
# Target columns that PostgreSQL or the compiled statement has already.
RESERVED = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax", "_deleted", "_reject"})
PiiClass = Literal["none", "name", "contact", "financial", "government_id", "birth", "special"]
PII: tuple[str, ...] = get_args(PiiClass)


BEGINNINGS = (
    "from_", "constant", "concat", "coalesce", "lookup", "when", "expression", "json_object", "array", "surrogate_key",
)  # fmt: skip


class FieldMap(Frozen):
    """One target field: what it starts from, then steps in order, then checks.

    It starts from exactly one of from, constant, concat, coalesce, lookup, when, expression, json_object, array and
    surrogate_key. `lossy` says why it is right that the conversion to `type` loses something.
    """

    from_: Name | None = Field(None, alias="from", description="A source column, as it is", examples=["given_name"])
    constant: Scalar | None = Field(None, description="The same value in every row", examples=["mdm"])
    concat: Concat | None = Field(None, description="Columns joined by a separator; NULL ones are left out")
    coalesce: Columns | None = Field(None, description="The first of these columns that is not NULL")
    lookup: Lookup | None = Field(None, description="A value of another table of the source")
    when: Annotated[tuple[Case, ...], Field(min_length=1, max_length=50)] | None = Field(
        None,
        description="The branch of the first case that holds; without `otherwise` a row that meets none is rejected",
    )
    otherwise: Branch | None = Field(None, description="What `when` gives where no case holds; null gives NULL")
    expression: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A restricted SQL expression over the columns of this row (docs/expressions.md)",
        examples=["round(annual_salary / 12, 2)"],
    )
    json_object: ObjectKeys | None = Field(None, description="A jsonb object: key -> the column that fills it")
    array: ElementColumns | None = Field(None, description="An array of these columns")
    surrogate_key: SurrogateKey | None = Field(None, description="A uuid that follows from the values of columns")
    type: TypeName = Field(description="Type of the target column")
    steps: tuple[Step, ...] = Field(
        (), max_length=20, description="What is done to the value, in order (docs/transforms.md)"
    )  # what needs more is a program, not a mapping
    checks: tuple[AnyCheck, ...] = Field(
        (), max_length=20, description="What must hold of the finished value; else its row is rejected"
    )
    lossy: Sentence | None = Field(
        None,
        description="Why it is right that the conversion to `type` loses something",
        examples=["the report shows whole days"],
    )
    equal: Equality = Field(
        Equality(),
        description="Which differences do not count when both sides are compared (docs/equality.md); what is written"
        " does not depend on it",
    )
    severity_: Literal["critical", "medium", "low"] = Field(
        "medium",
        alias="severity",
        description="critical: financial, personal; medium: operational; low: descriptive. Who is told of a difference"
        " depends on it. Where `pii` names a class, a field that says none is critical",
    )
    pii: PiiClass = Field(
        "none",
        description="Class of personal data; what has one is never shown in previews or reports."
        " special: health, religion, ethnicity, politics, union, sexuality",
    )
    description: str = Field(
        "", description="For the people who read this document", examples=["as it stands on the pay slip"]
    )

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        given = [word for word in BEGINNINGS if getattr(self, word) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "M20", "a field has exactly one of {words}; found {found}",
                {"words": ", ".join(word.rstrip("_") for word in BEGINNINGS),
                 "found": " and ".join(word.rstrip("_") for word in given) or "none"},
            )  # fmt: skip
        if empty := [word.rstrip("_") for word in BEGINNINGS if word in self.model_fields_set and word not in given]:
            raise PydanticCustomError("M02", "`{word}` is empty; drop it or fill it", {"word": empty[0]})
        if "otherwise" in self.model_fields_set and self.when is None:
            raise PydanticCustomError("M02", "`otherwise` belongs to `when`", {})
        return self

    @property
    def severity(self) -> Literal["critical", "medium", "low"]:
        """How bad it is when the field differs."""
        is_said = "severity_" in self.model_fields_set or self.pii == "none"
        return self.severity_ if is_said else "critical"

    @cached_property
    def begins(self) -> Beginning:
        """What the field starts from."""
        match self:
            case FieldMap(from_=str(name)):
                return Column(name)
            case FieldMap(coalesce=tuple(columns)):
                return Coalesce(columns=columns)
            case FieldMap(when=tuple(cases)):
                return When(cases=cases, otherwise=self.otherwise, may_be_none="otherwise" in self.model_fields_set)
            case FieldMap(expression=str(text)):
                return Computed(text)
            case FieldMap(json_object=dict(keys)):
                return JsonObject(keys=keys)
            case FieldMap(array=tuple(columns)):
                return ArrayOf(columns=columns)
        if self.constant is not None:
            return Constant(self.constant)
        return self.concat or self.lookup or self.surrogate_key  # type: ignore[return-value]  # one is there

    def reads(self, types: Types) -> Places:
        """Source columns that the field reads, each with its place inside the field."""
        of_steps = {column: ("steps", n) for n, step in enumerate(self.steps) for column in step.reads}
        return {**of_steps, **self.begins.places(types)}


UNUSED = "read it in a field, or drop the line"
NO_FIELD = "name another field of this mapping"
# What helps where a word does not take a value, or a type does not hold one.
REMEDIES: dict[str | int, str] = {
    "constant": "write a value that the type holds, or declare another type",
    "steps": "docs/transforms.md says what each step takes and gives; another step before it may make that",
    "checks": "a check sees the finished value, of the field's type; docs/transforms.md says what each one takes",
    "when": "give columns of one type, and constants that this type holds",
    "coalesce": "give columns of one type",
    "array": "give columns of one type",
}

# place, code, found, allowed or nearest; where it is inside one text, also its offset there
Fault = tuple[tuple[str | int, ...], str, str, str] | tuple[tuple[str | int, ...], str, str, str, int]


class Mapping(Frozen):
    """A whole mapping document. `source` declares the columns it reads, `fields` the target's columns."""

    version: Version = Field(description="Version of this document; a change that readers notice raises the first part")
    description: str = Field(
        "", description="What becomes what, in a sentence", examples=["Worker of the hub as an employee"]
    )
    source: dict[Name, TypeName] = Field(
        min_length=1,
        description="Source columns that the fields read, with their types",
        examples=[{"worker_id": "text"}],
    )
    fields: Annotated[
        dict[Name, FieldMap], Field(min_length=1), BeforeValidator(lambda v: v if v is not None else {})
    ] = Field(description="Target columns, each with what it begins with, what is done to it and what must hold of it")

    @cached_property
    def lookups(self) -> dict[str, Lookup]:
        """Target field -> lookup."""
        return {name: field.lookup for name, field in self.fields.items() if field.lookup is not None}

    @cached_property
    def types(self) -> dict[str, PgType]:
        """Source column -> the type that steps meet."""
        return {name: kind.as_read for name, kind in self.source.items()}

    def reads(self, field: str) -> Places:
        """Source columns that a field reads."""
        return self.fields[field].reads(self.types)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names of the secret keys that its words need."""
        words = (word for field in self.fields.values() for word in (*field.steps, *field.checks))
        return frozenset(key for word in words for key in word.keys)

    def faults(self) -> list[Fault]:
        """Mistakes that need more than one line to see: unknown columns, steps and types that do not fit."""
        found: list[Fault] = [*self._size_faults()]
        read: set[str] = set()
        meant: set[str] = set()
        has_refused_expression = False
        for name, field in self.fields.items():
            unknown = self._unknown_columns(name, field)
            found += [*unknown, *_name_faults(name, field, self.types)]
            found += [
                (("fields", name, "equal", *place), "M20", said, allowed)
                for place, said, allowed in field.equal.faults(field.type)
            ]
            read |= field.reads(self.types).keys()
            meant |= {hint for _, _, _, hint, *_ in unknown}
            if not unknown:
                told = self._type_faults(name, field)
                has_refused_expression |= any(len(fault) > 4 for fault in told)
                found += told
        if has_refused_expression:  # nobody knows what it reads
            return found
        for column in self.source.keys() - read - meant:
            found.append((("source", column, KEY), "M20", f"source column '{column}' is read by no field", UNUSED))
        return found

    def _size_faults(self) -> Iterator[Fault]:
        """A statement of PostgreSQL has at most 1,664 columns, and what may fail is computed in one of its own."""
        needed = len(self.source) + sum(
            1 + sum(step.is_partial for step in field.steps) for field in self.fields.values()
        )
        if needed > COLUMNS_MAX:
            said = f"{needed} columns, fields and steps that may fail are too much for one statement"
            yield ("fields",), "M23", said, f"at most {COLUMNS_MAX}: map the table in two jobs"

    def _unknown_columns(self, name: str, field: FieldMap) -> list[Fault]:
        unknown: list[Fault] = [
            (
                ("fields", name, *place), "M20", f"'{column}' is not declared under `source`",
                nearest(column, self.source) or "declare it there, with its type",
            )
            for column, place in field.reads(self.types).items()
            if column not in self.source
        ]  # fmt: skip
        unknown += [
            (
                ("fields", name, "checks", n),
                "M20",
                f"'{other}' is no other field",
                nearest(other, self.fields) or NO_FIELD,
            )
            for n, check in enumerate(field.checks)
            for other in check.reads
            if other not in self.fields or other == name
        ]
        return unknown

    def _type_faults(self, name: str, field: FieldMap) -> list[Fault]:
        """Walk one field's types from its start to its declared type; the first word that does not fit is told."""
        where, at = ("fields", name), _begins_at(field)
        try:
            current = field.begins.gives(self.types, field.type)
            for n, step in enumerate(field.steps):
                at = ("steps", n)
                step.require_row(self.types)
                current = step.gives(current)
            if said := _lost(current, field):
                return [((*where, "type"), "M20", *said)]
            for n, check in enumerate(field.checks):
                at = ("checks", n)
                check.require(field.type)
                check.require_row({name: other.type for name, other in self.fields.items()})
        except ExpressionRefused as refused:
            near = f"did you mean '{refused.nearest}'?" if refused.nearest else ""
            hint = "; ".join(said for said in (near, refused.allowed) if said)
            return [((*where, *(refused.place or at)), "M15", refused.said, hint, refused.position)]
        except NotApplicable as error:
            found = str(error)
            return [((*where, *at), "M20", found, "" if "; " in found else REMEDIES.get(at[0], ""))]
        return []


def _name_faults(name: str, field: FieldMap, types: Types) -> list[Fault]:
    """What a target column's name alone says: it is taken, or it is about a person and has no class."""
    found: list[Fault] = []
    if name in RESERVED:
        found.append((("fields", name), "M22", f"'{name}' is a reserved name", "give the target column another one"))
    if "pii" not in field.model_fields_set:
        taken = [field.lookup.take] if field.lookup is not None else []
        personal = next((column for column in (name, *field.reads(types), *taken) if looks_personal(column)), None)
        if personal is not None:
            said = f"'{personal}' looks like personal data, and field '{name}' has no class"
            found.append((("fields", name), "M21", said, f"say pii: {', '.join(PII)}; none means somebody looked"))
    return found


def _begins_at(field: FieldMap) -> tuple[str | int, ...]:
    word = next(word for word in BEGINNINGS if getattr(field, word) is not None)
    return (word.rstrip("_"),)


def _lost(current: PgType, field: FieldMap) -> tuple[str, str] | None:
    """What is wrong with the conversion to the declared type, and the way out."""
    match current.becomes(field.type):
        case "impossible":
            return f"{current} does not become {field.type}", _way_out(current, field)
        case "lossy" if field.lossy is None:
            said = f"{current} does not become {field.type} without loss"
            return said, f'{_way_out(current, field)}; or say why that is right: lossy: "<the reason>"'
        case "lossless" | "guarded" if field.lossy is not None:
            return f"`lossy` is said, but {current} becomes {field.type} without loss", "drop `lossy`"
    return None


def _way_out(current: PgType, field: FieldMap) -> str:
    if steps := remedy(current, field.type):
        return f"{'add at the end of' if field.steps else 'say how in'} {steps}"
    return f"no step makes {field.type} of {current}"
