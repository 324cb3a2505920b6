"""Steps on codes: enumeration maps. Lookups in other tables are a field's source, see mapping.Lookup."""

from __future__ import annotations

from typing import ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field

from syncline.core.transforms.base import Transform, lit, template
from syncline.core.types import PgType


class MapCodes(Transform):
    """Each code becomes its counterpart: `{map: {ACT: active, TRM: left}}`.

    A code without counterpart is an error of the row, or becomes `otherwise` where that is declared.
    """

    word: Literal["map"] = "map"
    shorthand: ClassVar[str | None] = "values"
    is_partial: ClassVar[bool] = True
    values: dict[str, str] = Field(min_length=1)
    otherwise: str | None = None

    def sql(self, value: Composable, given: PgType) -> Composable:
        whens = sql.SQL(" ").join(
            template("when {a} then {b}", a=lit(code), b=lit(counterpart)) for code, counterpart in self.values.items()
        )
        if self.otherwise is None:
            return template("case {v} {whens} end", v=value, whens=whens)
        return template(
            "case when {v} is not null then case {v} {whens} else {otherwise} end end",
            v=value, whens=whens, otherwise=lit(self.otherwise),
        )  # fmt: skip
