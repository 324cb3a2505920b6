"""The steps that bring a value of one type into a column of another, as a mapping's author would write them.

What is suggested is taken: a suggestion that the checker refuses would cost its reader more than none. So nothing
here is believed; of the candidates of a pair the first whose steps accept the value, and whose result becomes the
declared type, is told. Where a step needs what only the author knows, a name in < > stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import TypeAdapter

from syncline.core.transforms import Step
from syncline.core.types import TEXT, Conversion, PgType

MILLI = 3  # digits of a second
Chain = tuple[str, ...]  # steps, each as it is written
STEPS: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])
ROUND = "{round: {scale: <scale>, mode: half_even}}"
CAST = "{cast: <type>}"  # takes whole numbers alone: what has decimals is an error of its row
IN_ZONE, LOCAL_TIME = "{in_zone: <zone>}", "{local_time: <zone>}"
TRUE_OR_FALSE = '{parse_boolean: {true_is: ["true", "Y", "1"], false_is: ["false", "N", "0"], ignore_case: true}}'
ONE_OR_ZERO = "{parse_boolean: {true_is: [1], false_is: [0]}}"
FROM_DAY = "{format_date: yyyymmdd}"
# Type or family of the target -> type or family of the value -> chains, the most faithful one first.
CANDIDATES: dict[str, dict[str, tuple[Chain, ...]]] = {
    "boolean": {
        "text": ((TRUE_OR_FALSE,),),
        "number": ((ONE_OR_ZERO,),),
        "numeric": (("{cast: integer}", ONE_OR_ZERO),),
        "float": (("{cast: numeric}", "{cast: integer}", ONE_OR_ZERO),),
    },
    "smallint": {  # too small for a day or an instant, but for its year
        "text": ((CAST,),),
        "number": ((CAST,),),
        "float": (("{cast: numeric}", CAST),),
        "boolean": ((CAST,),),
        "date": (("year",),),
        "timestamp": (("to_date", "year"),),
        "timestamptz": (("{date_in: <zone>}", "year"),),
    },
    "number": {
        "text": ((CAST,), ("parse_number",), ("parse_number", ROUND)),
        "number": ((CAST,), (ROUND,)),
        "float": (("{cast: numeric}", CAST), ("{cast: numeric}",), ("{cast: numeric}", ROUND)),
        "boolean": ((CAST,), ("{cast: smallint}",)),
        "date": ((FROM_DAY, CAST), (FROM_DAY, "{cast: integer}")),
        "timestamp": tuple((IN_ZONE, "{to_epoch: seconds}", *rest) for rest in ((CAST,), (), (ROUND,))),
        "timestamptz": tuple(("{to_epoch: seconds}", *rest) for rest in ((CAST,), (), (ROUND,))),
    },
    "float": {"text": (("parse_number",),), "boolean": (("{cast: smallint}",),)},
    "date": {
        "text": (("{parse_date: iso}",),),
        "timestamp": (("to_date",),),
        "timestamptz": (("{date_in: <zone>}",),),
        "number": (("to_text", "{parse_date: yyyymmdd}"),),
        "numeric": (("{cast: integer}", "to_text", "{parse_date: yyyymmdd}"),),
    },
    "timestamp": {
        "text": (("{parse_timestamp: {zone: none}}",),),
        "timestamptz": ((LOCAL_TIME,),),
        "number": (("{from_epoch: seconds}", LOCAL_TIME),),
    },
    "timestamptz": {
        "text": (("{parse_timestamp: {zone: in_text}}",),),
        "date": (("start_of_day", IN_ZONE),),
        "timestamp": ((IN_ZONE,),),
        "number": (("{from_epoch: seconds}",),),
    },
    "time": {"text": (("{cast: time}",),), "timestamptz": ((LOCAL_TIME,),)},
    "interval": {"text": (("{cast: interval}",),)},
    "uuid": {"text": (("{cast: uuid}",),)},
    "inet": {"text": ((CAST,),), "inet": (("to_text", CAST),)},
    "bytea": {"text": (("{cast: {to: bytea, encoding: base64}}",),)},
    "jsonb": {"text": (("parse_json",),), "json": (("parse_json",),)},
    "json": {"text": (("parse_json",),)},
    "text": {"array": (('{join: {separator: ", ", nulls: reject}}',),)},
    "array": {"text": (('{split_to_array: ","}',),)},
}
KINDS_IN_JSON = {"number": PgType("numeric"), "float": PgType("numeric"), "boolean": PgType("boolean")}  # else a text


def remedy(given: PgType, target: PgType) -> str:
    """What to write under a field, so that the given type becomes the target; '' where no step brings it there."""
    chains = list(_candidates(given, target))
    for chain in chains:
        if _result(chain, given, target) in ("lossless", "guarded"):
            return _written(chain)
    if given.becomes(target) == "impossible":  # a step makes it possible, and a reason allowed
        for chain in chains:
            if _result(chain, given, target) == "lossy":
                return f'{_written(chain)}, and why something may be lost: lossy: "<the reason>"'
    return ""


def _written(chain: Chain) -> str:
    return f"steps: [{', '.join(chain)}]"


def _candidates(given: PgType, target: PgType) -> Iterator[Chain]:
    """Chains as they are written, filled in for the target; whether they fit is not asked here."""
    for chain in (*_of_value(given, target), *_of_part(given, target)):
        filled = tuple(
            step.replace("<scale>", str(target.scale or 0)).replace("<type>", target.name) for step in chain
        )  # fmt: skip
        yield filled
        if target.family in ("timestamp", "timestamptz") and target.precision is not None:
            yield (*filled, f"{{truncate_to: {'second' if target.precision < MILLI else 'millisecond'}}}")
    if target.family in ("json", "jsonb"):
        yield ("to_json",)
        if given.is_array:  # money's, which has no form in JSON but as a number
            yield ("{element: 1}", "to_json")


def _of_value(given: PgType, target: PgType) -> Iterator[Chain]:
    if given.family == target.family:
        yield ()
    known = CANDIDATES.get(target.name) if not target.is_array else None
    known = known or CANDIDATES.get(target.family, {})
    yield from known.get(given.name, ()) if not given.is_array else ()
    yield from known.get(given.family, ())


def _of_part(given: PgType, target: PgType) -> Iterator[Chain]:
    """The value as an element of an array, or as what a JSON holds."""
    begin: Chain
    if given.is_array:
        begin, part = ("{element: 1}",), given.element.as_read
    elif given.name in ("json", "jsonb"):
        part = KINDS_IN_JSON.get(target.family, TEXT)
        read = f'{{json_path: {{path: "$", as: {part}}}}}'
        begin = (read,) if given.name == "jsonb" else ("parse_json", read)
    else:
        return
    yield begin
    yield from ((*begin, *chain) for chain in _of_value(part, target))


def _result(chain: Chain, given: PgType, target: PgType) -> Conversion:
    """What becomes of the chain's result in the target; impossible too where a step does not take its value."""
    said: Any = yaml.safe_load(f"[{', '.join(chain)}]".replace("<zone>", "UTC"))
    try:
        for step in STEPS.validate_python(said):
            given = step.gives(given)
    except ValueError:  # also a step's own limits, such as the most decimals that `round` keeps
        return "impossible"
    return given.becomes(target)
