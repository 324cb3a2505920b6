"""The report of a control run (SYNC-008), as people keep it: one page of HTML and one CSV with every line of it.

The page stands alone: no script, no picture, no address outside; it reads the same on screen and on paper. It shows
ids, counts, ratios and the keys of records that differ. A part of a key that its field's class calls personal is
masked, and so is one whose field is not known any more; what a terminal, a browser or a spreadsheet would obey is spelt
out (V23). The page names the CSV's hash, so whoever signs the page signs both.

What is in it was decided elsewhere; here it is only written. Jinja is imported inside functions: only who writes a
report pays for it.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from syncline.adapters import project
from syncline.core import equality
from syncline.core.control_runs import Compared, Decision, Kept, percent
from syncline.core.errors import EnvironmentFailure
from syncline.core.files.findings import printable
from syncline.core.job import SyncJob
from syncline.core.record_comparison import SEVERITIES, RecordClass
from syncline.core.values import Verdict

HTML, CSV, SIGNED = "report.html", "report.csv", "report_signed.html"
KEYS_SHOWN = 50  # of a job, on the page; the CSV has all that the ledger keeps
TENANTS_SHOWN = 20  # of a job, those that differ most
MASKED = "***"
SIGNATURE = re.compile(r"<!--signature-->.*?<!--/signature-->", re.DOTALL)  # data cannot hold it: `<` is escaped
# A cell that begins so is a formula to a spreadsheet; so is what follows a separator that it takes for its own.
FORMULA = re.compile(r"(^|[\s,;|\"'])(?=[=+\-@])")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
COLUMNS = (
    "kind", "consumer", "job_id", "verdict", "depth", "tenant_id", "record_class", "cause", "severity", "is_excused",
    "fields", "key", "records", "source_rows", "target_rows", "raw_match_ratio", "match_ratio", "source_as_of",
    "target_as_of", "sample_ratio", "confidence", "reason",
)  # fmt: skip
Keys: TypeAlias = Callable[[int], AbstractContextManager[Iterable[Mapping[str, Any]]]]


@dataclass(frozen=True)
class Report:
    """What a report tells.

    Attributes:
        parts: Each job with its comparison, in the order of the consumers.
        checks: Each rule in words, with its outcome as Great Expectations told it.
        reason: Why nothing was judged at all; empty where it was.
    """

    control: str
    control_run_id: int
    run_key: str
    judged_at: datetime
    verdict: Verdict
    summary: str
    match_ratio_min: float
    parts: Sequence[tuple[SyncJob, Compared]]
    checks: Sequence[tuple[str, Mapping[str, Any]]] = ()
    reason: str = ""


def write(report: Report, folder: Path, keys: Keys) -> Kept:
    """Write both files; one that stood there before is replaced.

    Args:
        folder: Below project.var().
        keys: Comparison id -> the keys that differ, the worst first.

    Raises:
        EnvironmentFailure: A file cannot be written, or the page's template is missing.
    """
    html, table = project.var() / folder / HTML, project.var() / folder / CSV
    try:
        shown = _write_csv(report, table, keys)
        csv_sha256 = sha256(table)
        project.write(html, _rendered("control_report.html.j2", **_page(report, shown), csv_sha256=csv_sha256))
        return Kept(str(folder / HTML), sha256(html), str(folder / CSV), csv_sha256)
    except OSError as error:
        raise EnvironmentFailure(
            f"{report.control}: the report of control run {report.control_run_id} cannot be written below "
            f"{html.parent} ({type(error).__name__}). There is no verdict without its report: mend the folder, run the "
            f"task again."
        ) from None


def write_signed(html: Path, decision: Decision, sha256_of_html: str) -> tuple[Path, str]:
    """The page with the decision about it, beside it; returns it and its hash."""
    block = _rendered("control_signature.html.j2", decision=decision, sha256=sha256_of_html)
    signed = html.with_name(SIGNED)
    try:
        project.write(signed, SIGNATURE.sub(lambda _: block, html.read_text(encoding="utf-8"), count=1))
        return signed, sha256(signed)
    except OSError as error:
        raise EnvironmentFailure(
            f"the signed report cannot be written below {html.parent} ({type(error).__name__}). Nothing was recorded: "
            f"mend the folder and decide again."
        ) from None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rendered(template: str, **said: Any) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(project.root() / "include" / "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    environment.filters |= {"percent": percent, "count": "{:,}".format, "moment": _moment, "words": _words}
    try:
        return environment.get_template(template).render(said)
    except jinja2.TemplateNotFound:
        raise EnvironmentFailure(
            f"the template include/reports/{template} is missing. No report was written: restore it and run the task "
            f"again."
        ) from None


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "unknown"


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ")


# --- the CSV ------------------------------------------------------------------------------------------------------


def _write_csv(report: Report, path: Path, keys: Keys) -> dict[str, list[dict[str, Any]]]:
    """One line per job, per count and per key that differs; returns the first keys of each job, for the page."""
    shown: dict[str, list[dict[str, Any]]] = {}
    with project.writing(path) as out:
        writer = csv.DictWriter(out, COLUMNS, restval="", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for job, one in report.parts:
            writer.writerow(_neutral(_job_line(report, job, one)))
            writer.writerows(map(_neutral, _count_lines(job, one)))
            shown[job.id] = []
            if one.summary is None:
                continue
            with keys(one.summary.comparison_id) as found:
                lines = ({"kind": "key", **_of_job(job), **_key_line(job, each)} for each in found)
                for line in lines:
                    if len(shown[job.id]) < KEYS_SHOWN:
                        shown[job.id].append(line)
                    writer.writerow(_neutral(line))
    return shown


def _of_job(job: SyncJob) -> dict[str, Any]:
    return {"consumer": job.target.connection, "job_id": job.id}


def _job_line(report: Report, job: SyncJob, one: Compared) -> dict[str, Any]:
    line = {"kind": "job", **_of_job(job), "verdict": _verdict(report, one).value, "reason": one.unproven}
    if (said := one.summary) is None:
        return line
    return line | {
        "depth": said.depth.value,
        "severity": one.total.severity,
        "records": one.total.compared_rows,
        "source_rows": said.source_rows,
        "target_rows": said.target_rows,
        "raw_match_ratio": one.total.raw_match_ratio,
        "match_ratio": one.total.match_ratio,
        "source_as_of": said.source_as_of and said.source_as_of.isoformat(),
        "target_as_of": one.target_as_of and one.target_as_of.isoformat(),
        "sample_ratio": said.sample_ratio,
        "confidence": said.confidence,
    }


def _count_lines(job: SyncJob, one: Compared) -> Iterator[dict[str, Any]]:
    for count in one.counts:
        yield {
            "kind": "count",
            **_of_job(job),
            "tenant_id": count.tenant_id,
            "record_class": count.record_class.value,
            "cause": count.cause and count.cause.value,
            "severity": count.severity,
            "is_excused": count.is_excused,
            "fields": " ".join(count.columns),
            "records": count.rows,
        }


def _key_line(job: SyncJob, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tenant_id": found["tenant_id"],
        "record_class": found["record_class"],
        "cause": found["cause"],
        "severity": found["severity"],
        "is_excused": found["is_excused"],
        "fields": " ".join(found["columns"]),
        "key": shown_key(job, found["target_key"]),
        "records": 1,
    }


def shown_key(job: SyncJob, key: Sequence[str | None]) -> str:
    """`tenant_id=t1 employee_no=***`: a part is shown only where its field says that it is not personal."""
    if len(key) != len(job.target.key):
        return MASKED  # kept by a manifest with another key: nobody knows what is what
    parts = []
    for name, value in zip(job.target.key, key, strict=True):
        field = job.mapping.fields.get(name)
        is_open = field is not None and field.pii == "none"
        parts.append(f"{name}={('NULL' if value is None else value) if is_open else MASKED}")
    return " ".join(parts)


def _neutral(line: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing in a cell is a formula, or drives a terminal."""
    return {name: neutral(value) if isinstance(value, str) else value for name, value in line.items()}


def neutral(text: str) -> str:
    """A text that a spreadsheet shows and does not calculate, and a terminal prints and does not obey."""
    return text if NUMBER.fullmatch(text) else FORMULA.sub(r"\1'", printable(text))


# --- the page -----------------------------------------------------------------------------------------------------


def _page(report: Report, keys: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "report": report,
        "jobs": [_section(report, job, one, keys[job.id]) for job, one in report.parts],
        "checks": [_check(says, outcome) for says, outcome in report.checks],
        "owners": sorted({job.manifest.owner.business for job, _ in report.parts}),
        "csv_name": CSV,
    }


def _verdict(report: Report, one: Compared) -> Verdict:
    """What a job contributes to the control's verdict: it may differ a little and still match as agreed."""
    if one.unproven:
        return Verdict.UNVERIFIED
    return Verdict.MATCHED if one.total.holds(report.match_ratio_min) else Verdict.MISMATCHED


def _section(report: Report, job: SyncJob, one: Compared, keys: list[dict[str, Any]]) -> dict[str, Any]:
    differing = {tenant: tally for tenant, tally in one.tenants.items() if tally.differing_rows}
    worst = sorted(differing.items(), key=lambda each: (-each[1].unexcused_rows, -each[1].differing_rows, each[0]))
    return {
        "job": job,
        "consumer": job.target.connection,
        "compared": one,
        "summary": one.summary,
        "total": one.total,
        "verdict": _verdict(report, one),
        "causes": _causes(one),
        "fields": _fields(job, one),
        "tenants": worst[:TENANTS_SHOWN],
        "more_tenants": len(worst) - TENANTS_SHOWN,
        "equal_tenants": len(one.tenants) - len(differing),
        "differences": keys,
        "more_differences": one.total.differing_rows - len(keys),
        "profile": _equality(job),
    }


def _causes(one: Compared) -> list[dict[str, Any]]:
    """Differing records by class, cause and severity, the unexplained and the worst first."""
    rows: Counter[tuple[Any, ...]] = Counter()
    for count in one.counts:
        if count.record_class is not RecordClass.IDENTICAL:
            rows[(count.is_excused, count.severity, count.record_class, count.cause)] += count.rows
    ranked = sorted(rows.items(), key=lambda each: (each[0][0], _rank(each[0][1]), -each[1], each[0][2]))
    names = ("is_excused", "severity", "record_class", "cause")
    return [dict(zip(names, found, strict=True)) | {"rows": number} for found, number in ranked]


def _fields(job: SyncJob, one: Compared) -> list[dict[str, Any]]:
    """Fields that differ: in how many records, and how many of these are excused. A record may differ in several."""
    unexcused: Counter[str] = Counter()
    excused: Counter[str] = Counter()
    for count in one.counts:
        (excused if count.is_excused else unexcused).update(dict.fromkeys(count.columns, count.rows))
    mapped = job.mapping.fields
    found = [
        {
            "name": name,
            "severity": mapped[name].severity if name in mapped else None,
            "unexcused_rows": unexcused[name],
            "excused_rows": excused[name],
        }
        for name in {*unexcused, *excused}
    ]
    return sorted(found, key=lambda each: (_rank(each["severity"]), -each["unexcused_rows"], each["name"]))


def _equality(job: SyncJob) -> list[dict[str, str]]:
    """Each field, and when two values of it are the same."""
    says = equality.profile(job.mapping)
    return [
        {"name": name, "type": str(field.type), "severity": field.severity, "equal": "; ".join(says[name])}
        for name, field in job.mapping.fields.items()
    ]


def _rank(severity: str | None) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def _check(says: str, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """A rule of the suite, whether it held, and what it saw."""
    result = outcome["result"]
    observed = result.get("observed_value")
    is_ratio = observed is not None and "match_ratio_min" in outcome["kwargs"]
    return {
        "says": says,
        "held": outcome["success"],
        "elements": result.get("element_count"),
        "unexpected": result.get("unexpected_count"),
        "observed": percent(observed) if is_ratio else observed,
    }
