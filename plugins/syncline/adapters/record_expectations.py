"""Expectations about record comparisons, for suites of Great Expectations (SYNC-008).

Its own comparison of two tables stops at 200 rows and calls 0 against 0 a success. These ask the engine's results: the
table that they are evaluated on holds counts, a row per job ('*') and per tenant of it (record_judging.py draws it up).
A record is an element, so `element_count` and `unexpected_count` are records, and a suite that looked at none is seen.
What they return are ids, counts and ratios; there is no row of anybody to return.

Imports Great Expectations: import this module inside functions only, after judging.great_expectations().
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, render_suite_parameter_string
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render.components import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

from syncline.core.control_runs import percent
from syncline.core.record_comparison import SEVERITIES

COMPARED = "records.compared"
JOBS_SHOWN = 10  # which ones to look at first; all are in the report
Row: TypeAlias = dict[str, Any]


class ComparedJobs(TableMetricProvider):
    """The metric that all of these are judged by: the counts of each job as a whole."""

    metric_name = COMPARED

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: PandasExecutionEngine, metric_domain_kwargs: Row, **_: Any) -> list[Row]:
        table = execution_engine.get_domain_records(metric_domain_kwargs)
        jobs: list[Row] = table[table["is_total"] == 1].to_dict("records")
        return jobs


class _OfJobs(BatchExpectation):
    """What these have in common: one metric, and one way to tell what they found."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (COMPARED,)

    def _judge(self, jobs: list[Row]) -> tuple[int, int, Any, list[Row]]:
        """Elements, how many of them are unexpected, what was observed, and the jobs that fail."""
        raise NotImplementedError

    def _validate(self, metrics: Row, runtime_configuration: Any = None, execution_engine: Any = None) -> Row:
        elements, unexpected, observed, failing = self._judge(metrics[COMPARED])
        return {
            "success": not failing,
            "result": {
                "element_count": elements,
                "unexpected_count": unexpected,
                "unexpected_percent": 100 * unexpected / elements if elements else None,
                "observed_value": observed,
                "details": {"jobs": sorted(job["job_id"] for job in failing)[:JOBS_SHOWN]},
            },
        }

    @classmethod
    def sentence(cls, kwargs: Row) -> str:
        raise NotImplementedError

    @classmethod
    def _get_observed_value_from_evr(cls, result: Any) -> str:
        """For Data Docs: what was observed, and where to look first."""
        found = (result and result.result) or {}
        jobs = ", ".join(found.get("details", {}).get("jobs", []))
        return f"{found.get('observed_value', '--')}{jobs and f' ({jobs})'}"

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> list[RenderedStringTemplateContent]:
        said = configuration or (result and result.expectation_config)
        template = {"template": cls.sentence(said.kwargs if said else {}), "params": {}}
        return [RenderedStringTemplateContent(content_block_type="string_template", string_template=template)]


class ExpectRecordsToMatch(_OfJobs):
    """Expect of each job that at least a share of its records is the same on both sides; what is excused counts so."""

    match_ratio_min: float | dict[str, Any]  # a suite says {"$PARAMETER": ...}
    success_keys = ("match_ratio_min",)
    args_keys = ("match_ratio_min",)

    def _judge(self, jobs: list[Row]) -> tuple[int, int, Any, list[Row]]:
        limit = self._get_success_kwargs()["match_ratio_min"]
        ratios = [job["match_ratio"] for job in jobs if job["compared_rows"]]
        failing = [job for job in jobs if job["compared_rows"] and not job["match_ratio"] >= limit]
        return _sum(jobs, "compared_rows"), _sum(jobs, "unexcused_rows"), min(ratios, default=None), failing

    @classmethod
    def sentence(cls, kwargs: Row) -> str:
        limit = kwargs.get("match_ratio_min")
        share = percent(limit) if isinstance(limit, float | int) else "the agreed share"
        return f"Of each job at least {share} of the records match, excused differences left out."


class ExpectNoUnexplainedDifference(_OfJobs):
    """Expect that no record differs in a field of a severity without being excused."""

    fields_severity: str
    success_keys = ("fields_severity",)
    args_keys = ("fields_severity",)

    def _judge(self, jobs: list[Row]) -> tuple[int, int, Any, list[Row]]:
        severity = self._get_success_kwargs()["fields_severity"]
        if severity not in SEVERITIES:
            raise ValueError(f"fields_severity is one of {', '.join(SEVERITIES)}")
        found = f"{severity}_rows"
        rows = _sum(jobs, found)
        return _sum(jobs, "compared_rows"), rows, rows, [job for job in jobs if job[found] != 0]

    @classmethod
    def sentence(cls, kwargs: Row) -> str:
        return f"No record differs in a {kwargs.get('fields_severity', '')} field without an explanation."


class ExpectEverythingVerified(_OfJobs):
    """Expect that every job that was asked for was compared, and that its comparison proved something."""

    def _judge(self, jobs: list[Row]) -> tuple[int, int, Any, list[Row]]:
        failing = [job for job in jobs if job["is_verified"] != 1]
        return len(jobs), len(failing), len(jobs) - len(failing), failing

    @classmethod
    def sentence(cls, kwargs: Row) -> str:
        return "Every job was compared, and no comparison is unverified."


def _sum(jobs: list[Row], name: str) -> int:
    return int(sum(job[name] for job in jobs))
