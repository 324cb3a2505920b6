"""Have a suite of Great Expectations judge a small table of counts, and distrust its answer.

What every control that judges by a suite needs, whatever it counts: the rules are data (`include/expectations/`), the
table is drawn up by the control, the suite is evaluated in memory. Great Expectations drops an expectation that it
cannot read with no more than a log line, and calls what is left a success. So every way in which a check can have
looked at nothing is told apart here and named `unverified`, never green.

The validation result becomes evidence for the ledger: ids, counts and ratios, no row of anybody. Data Docs are a
convenience for people: if the site cannot be written, the verdict stands and the evidence says so.

Which counts there are belongs to the controls: expectations.py for SYNC-005, record_judging.py for SYNC-008. Great
Expectations (an import of 1.5 to 4 s) and pandas are imported inside functions, because only a task that judges should
pay for them; `prepare` begins that while others count.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from syncline.adapters.deferring import deferred
from syncline.core.values import Verdict

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier

DOCS_RESULTS_MAX = 1_000  # the index is rebuilt from each: 0.2 s at 1, 0.5 s at 500; the ledger keeps all
DOCS_LOCK_WAIT_S = 30.0  # a build takes under a second: a queue of dozens; then the page is given up
MESSAGE_LENGTH_MAX = 300

# Counts of unexpected rows, never the values themselves: the default format would quote them.
COUNTS_ONLY = {"result_format": "BASIC", "exclude_unexpected_values": True}
TOLD = ("element_count", "unexpected_count", "missing_count", "observed_value")  # of an outcome: ids, counts, ratios

Evidence: TypeAlias = dict[str, Any]
log = logging.getLogger(__name__)
_IMPORTING = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What a suite said about a table.

    Attributes:
        verdict: `matched` only if every expectation of the suite was evaluated on rows and held.
        evidence: The validation result made compact: JSON without NaN, fit for jsonb. Ids, counts and ratios.
        docs_index: The Data Docs' first page; None where the site was not wanted or could not be built.
        rules: What each expectation says, in words, in the order of the evidence's `results`.
    """

    verdict: Verdict
    evidence: Evidence
    docs_index: Path | None
    rules: tuple[str, ...] = ()


class Unproven(Exception):
    """The check proved nothing; the text says why."""


@dataclass(frozen=True)
class _Found:
    """A validation result, where Data Docs keep it, and the rules it was judged by."""

    result: ExpectationSuiteValidationResult
    key: ValidationResultIdentifier
    rules: Mapping[str, Any]


def prepare() -> None:
    """Begin the import in the background: who waits for databases anyway does not wait for it later.

    If it fails, it fails again where it is needed, and is told there.
    """

    def quietly() -> None:
        with suppress(Exception):
            _import_great_expectations()

    threading.Thread(target=quietly, name="import great_expectations").start()


def evaluate(
    draw_up: Callable[[Evidence], pd.DataFrame],
    *,
    about: str,
    run_name: str,
    limits: Mapping[str, float],
    suite_path: Path,
    docs_dir: Path | None,
) -> Outcome:
    """Have the suite judge a table; a check that saw nothing is `unverified`.

    Args:
        draw_up: Makes the table, adds to the evidence what people read first, and raises Unproven where there is
            nothing to judge.
        about: What the table is about, as the Data Docs name it.
        run_name: Which run is judged, as the Data Docs name it.
        limits: What the suite's `$PARAMETER`s stand for, >= 0. Each must be used by the suite: a limit that nothing
            applies proves nothing.
        docs_dir: Folder of the Data Docs, shared by all jobs and processes; None builds none.

    Returns:
        An Outcome, always: whatever fails on the way makes it `unverified`, with `reason` in the evidence.

    Source: docs/decisions/0004-great-expectations-is-the-judge.md.
    """
    evidence: Evidence = {"run_name": run_name, "limits": dict(limits)}
    said: tuple[str, ...] = ()
    found, docs_index = None, None
    try:
        table = draw_up(evidence)
        rules = _read_suite(suite_path)
        found = _validate(table, rules, about=about, run_name=run_name, limits=limits)
        evidence |= _compact(found.result)
        said = tuple(map(_sentence, found.result.results))
        _refuse_blindness(found.result, expected=len(rules["expectations"]))
        verdict = _verdict(found.result)
    except Unproven as unproven:
        verdict, evidence["reason"] = Verdict.UNVERIFIED, str(unproven)
    except Exception as error:  # whatever a library raises here, the gate stays shut
        verdict, evidence["reason"] = Verdict.UNVERIFIED, _told(error)
    if found and docs_dir:
        found.result.success = verdict.ok  # the page must not be green where the verdict is not
        docs_index, evidence["docs"] = _try_docs(found, docs_dir)
    return Outcome(verdict, _plain({"verdict": verdict.value, **evidence}), docs_index, said)


def _verdict(result: ExpectationSuiteValidationResult) -> Verdict:
    """A rule whose meta says so proves nothing where it fails; any other that fails has found a difference."""
    rules = [each.expectation_config for each in result.results if not each.success]
    if not rules:
        return Verdict.MATCHED
    return Verdict.worst(Verdict(((rule and rule.meta) or {}).get("failed_is", Verdict.MISMATCHED)) for rule in rules)


def _sentence(outcome: ExpectationValidationResult) -> str:
    """What a rule says: as the suite describes it, or as the expectation says of itself."""
    from great_expectations.expectations.registry import get_expectation_impl

    rule = outcome.expectation_config
    if rule is None:
        return ""
    of_itself = getattr(get_expectation_impl(rule.type), "sentence", None)
    return rule.description or (of_itself(rule.kwargs) if of_itself else rule.type)


# --- the suite


def _read_suite(path: Path) -> dict[str, Any]:
    try:
        rules = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unproven(f"suite {path.name} cannot be read: {type(error).__name__}") from None
    if not isinstance(rules, dict) or not rules.get("name"):
        raise Unproven(f"suite {path.name} is no suite: it needs a name and a list of expectations")
    if not isinstance(rules.get("expectations"), list) or not rules["expectations"]:
        raise Unproven(f"suite {path.name} holds no expectation")
    return rules


def _build_suite(rules: Mapping[str, Any], limits: Mapping[str, float]) -> ExpectationSuite:
    """The suite as Great Expectations understands it; what it would drop or leave open is refused."""
    if bad := sorted(name for name, limit in limits.items() if not _is_limit(limit)):
        raise Unproven(f"limit {', '.join(bad)} is not a number from 0 on")
    gx = great_expectations()
    suite: ExpectationSuite = gx.ExpectationSuite(**rules)
    if len(suite.expectations) != len(rules["expectations"]):
        raise Unproven(
            f"Great Expectations could read {len(suite.expectations)} of the suite's "
            f"{len(rules['expectations'])} expectations"
        )
    asked, given = set(suite.suite_parameter_options), set(limits)
    if asked != given:
        raise Unproven(f"the suite asks for limits {sorted(asked)}, the job gives {sorted(given)}")
    return suite


def _is_limit(limit: object) -> bool:
    return isinstance(limit, int | float) and not isinstance(limit, bool) and math.isfinite(limit) and limit >= 0


def great_expectations() -> Any:
    """Import it here and quietly: no telemetry, no progress bars, no log lines with values in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_great_expectations()
        import great_expectations
    # What it would log reaches the evidence; its tracebacks would quote the table. Levels do not silence it:
    # some of its modules set their own.
    logger = logging.getLogger("great_expectations")
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    return great_expectations


def _import_great_expectations() -> None:
    """One thread at a time: two would take the stand-ins away from each other."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _IMPORTING, deferred("scipy.stats", "altair"):
        importlib.import_module("great_expectations")


def _validate(
    table: pd.DataFrame, rules: Mapping[str, Any], *, about: str, run_name: str, limits: Mapping[str, float]
) -> _Found:
    """Evaluate the suite in a context of its own that lives in memory and dies with this call."""
    gx = great_expectations()
    suite = _build_suite(rules, limits)
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    config = DataContextConfig(  # left to its defaults, it makes a folder in /tmp and draws progress bars
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("syncline").add_dataframe_asset(about)
    definition = gx.ValidationDefinition(
        name=suite.name,
        data=asset.add_batch_definition_whole_dataframe("counts"),
        suite=context.suites.add(suite),
    )
    run_id = gx.RunIdentifier(run_name=run_name)
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": table},
        expectation_parameters=dict(limits),
        result_format=COUNTS_ONLY,
        run_id=run_id,
    )
    key = ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(name=suite.name),
        run_id=run_id,
        batch_identifier=result.batch_id,
    )
    return _Found(result, key, rules)


# --- the evidence


def _refuse_blindness(result: ExpectationSuiteValidationResult, *, expected: int) -> None:
    """A result counts only where every expectation of the suite answered, and answered about rows."""
    evaluated = len(result.results)
    if evaluated == 0 or evaluated != expected:
        raise Unproven(f"{evaluated} of the suite's {expected} expectations were evaluated")
    if raised := sum(1 for each in result.results if _exceptions(each)):
        raise Unproven(f"{raised} of {expected} expectations raised an error instead of an answer")
    if blind := sum(1 for each in result.results if (each.result or {}).get("element_count") == 0):
        raise Unproven(f"{blind} of {expected} expectations looked at no row")


def _exceptions(outcome: ExpectationValidationResult) -> list[str]:
    """Messages of what was raised: reported flat by expectations, per metric where a metric failed."""
    info = outcome.exception_info or {}
    found = [info] if "raised_exception" in info else [each for each in info.values() if isinstance(each, dict)]
    return [str(each["exception_message"])[:MESSAGE_LENGTH_MAX] for each in found if each["raised_exception"]]


def _compact(result: ExpectationSuiteValidationResult) -> dict[str, Any]:
    told: dict[str, Any] = result.to_json_dict()  # type: ignore[no-untyped-call]
    return {
        "suite": told["suite_name"],
        "great_expectations_version": told["meta"]["great_expectations_version"],
        "run_time": told["meta"]["run_id"]["run_time"],
        "statistics": told["statistics"],
        "results": [
            _compact_outcome(outcome, tells) for outcome, tells in zip(result.results, told["results"], strict=True)
        ],
    }


def _compact_outcome(outcome: ExpectationValidationResult, tells: Mapping[str, Any]) -> dict[str, Any]:
    config = tells["expectation_config"]
    told = {
        "expectation": config["type"],
        "kwargs": {name: value for name, value in config["kwargs"].items() if name != "batch_id"},
        "success": tells["success"],
        "result": {name: value for name, value in (tells.get("result") or {}).items() if name in TOLD},
    }
    if raised := _exceptions(outcome):
        told["raised"] = raised
    return told


def _plain(value: Any) -> Any:
    """JSON that jsonb takes: counts as whole numbers, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else value
    return value if isinstance(value, str | int | None) else str(value)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:MESSAGE_LENGTH_MAX]


# --- Data Docs


def _try_docs(found: _Found, docs_dir: Path) -> tuple[Path | None, dict[str, Any]]:
    """Add the result to the site; a site that cannot be built is evidence, not a verdict."""
    try:
        docs_dir = docs_dir.resolve()
        docs_dir.mkdir(parents=True, exist_ok=True)
        with _locked(docs_dir / ".lock", wait_s=DOCS_LOCK_WAIT_S):
            page = _build_docs(found, docs_dir)
    except Exception as error:  # disk full, folder not ours, a renderer that chokes: the verdict stands
        run_name, kind = found.key.run_id.run_name, type(error).__name__
        log.warning("data docs not built, the verdict stands run=%s error=%s", run_name, kind)
        return None, {"built": False, "because": _told(error)}
    return docs_dir / "index.html", {"built": True, "page": page}


def _build_docs(found: _Found, docs_dir: Path) -> str:
    gx = great_expectations()
    context = _docs_context(docs_dir)
    context.suites.add_or_update(gx.ExpectationSuite(**found.rules))
    context.validation_results_store.set(found.key, found.result)
    _forget_oldest(context, docs_dir)
    wanted: list[Any] = [found.key, found.key.expectation_suite_identifier]
    context.build_data_docs(resource_identifiers=wanted)
    page = _path("validations", found.key, ".html")
    # Its renderers log their errors and carry on: believe the files, not the call.
    if not (docs_dir / page).is_file():
        raise RuntimeError("Great Expectations wrote no page for this result")
    if quote(page) not in (docs_dir / "index.html").read_text(encoding="utf-8"):
        raise RuntimeError("the index does not show this result")
    return page


def _docs_context(docs_dir: Path) -> EphemeralDataContext:
    """A context whose stores are files: the site then knows earlier batches and other jobs."""
    gx = great_expectations()
    from great_expectations.data_context.types.base import DataContextConfig

    def files(folder: Path) -> dict[str, Any]:
        return {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder),
            "suppress_store_backend_id": True,
        }

    def store(class_name: str, backend: dict[str, Any]) -> dict[str, Any]:
        return {"class_name": class_name, "store_backend": backend}

    kept, memory = docs_dir / ".results", {"class_name": "InMemoryStoreBackend"}
    config = DataContextConfig(
        expectations_store_name="suites",
        validation_results_store_name="results",
        checkpoint_store_name="checkpoints",
        stores={
            "suites": store("ExpectationsStore", files(kept / "suites")),
            "results": store("ValidationResultsStore", files(kept / "validations")),
            "checkpoints": store("CheckpointStore", dict(memory)),
            "validation_definition_store": store("ValidationDefinitionStore", dict(memory)),
        },
        data_docs_sites={
            "syncline": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": files(docs_dir),
            }
        },
        analytics_enabled=False,
    )
    context: EphemeralDataContext = gx.get_context(mode="ephemeral", project_config=config)
    return context


def _forget_oldest(context: EphemeralDataContext, docs_dir: Path) -> None:
    """Keep the newest results in the site; what the index does not find is no longer linked."""
    keys: list[Any] = context.validation_results_store.list_keys()
    keys.sort(key=lambda key: key.run_id.run_time, reverse=True)
    for old in keys[DOCS_RESULTS_MAX:]:
        _remove(docs_dir, _path("validations", old, ".html"))
        _remove(docs_dir / ".results", _path("validations", old, ".json"))


def _path(section: str, key: Any, suffix: str) -> str:
    return "/".join((section, *key.to_tuple())) + suffix


def _remove(root: Path, name: str) -> None:
    """Remove a file and the folders that it leaves empty."""
    (root / name).unlink(missing_ok=True)
    with suppress(OSError):  # the first folder that is not empty ends it
        for folder in Path(name).parents[:-1]:
            (root / folder).rmdir()


@contextmanager
def _locked(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the file's lock: one builder at a time, across processes; the kernel frees it if we die."""
    deadline = time.monotonic() + wait_s
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"the Data Docs were busy for {wait_s:.0f} s") from None
                time.sleep(0.1)
        yield
