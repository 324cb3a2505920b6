"""The words of the mapping language: transforms (steps of a field) and checks (conditions on its value).

Importing the modules below fills `Transform.known` and `Check.known`; `Step` and `AnyCheck` are the unions that
mapping files are read with. Adding a word means writing one class in one of these modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import BeforeValidator, Field

from syncline.core.models import Frozen
from syncline.core.transforms import (
    arithmetic,
    booleans,
    calendars,
    casts,
    checks,
    codes,
    dates,
    encoding,
    identifiers,
    money,
    national_ids,
    numbers,
    protect,
    structures,
    text,
    timestamps,
)
from syncline.core.transforms.base import Check, NotApplicable, Row, Scalar, Transform, lit, normalise, template

WORD_MODULES = (
    text,
    encoding,
    protect,
    numbers,
    arithmetic,
    money,
    booleans,
    casts,
    dates,
    timestamps,
    calendars,
    codes,
    structures,
    checks,
    identifiers,
    national_ids,
)

if TYPE_CHECKING:
    Step = Transform
    AnyCheck = Check
else:  # the unions are built from what the modules registered
    Step = Annotated[
        Annotated[Union[tuple(Transform.known.values())], Field(discriminator="word")],  # noqa: UP007
        BeforeValidator(lambda item: normalise(item, Transform.known)),
    ]
    AnyCheck = Annotated[
        Annotated[Union[tuple(Check.known.values())], Field(discriminator="word")],  # noqa: UP007
        BeforeValidator(lambda item: normalise(item, Check.known)),
    ]

__all__ = [
    "WORD_MODULES",
    "AnyCheck",
    "Check",
    "Frozen",
    "NotApplicable",
    "Row",
    "Scalar",
    "Step",
    "Transform",
    "lit",
    "template",
]
