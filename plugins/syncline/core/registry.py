"""The register of integrations (control SYNC-001): who owns what flows from where to where, and what is promised.

It is made from the manifests alone, so it cannot forget one: a manifest with mistakes stands in it as broken, with its
first mistake. Each agreement is to be gone through by its owner once a quarter; the day on which that was done is in
the manifest, whether it is due again depends on the day of asking, which is passed in.

Coverage (metric 11) is the share of integrations for which every rule below holds. The denominator is the number of
manifest files, broken ones included, and those that are not even read (`x.yml`). An integration that has no manifest is
not counted: nothing here knows of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from syncline.core.files import strict_yaml
from syncline.core.files.findings import Finding
from syncline.core.governance import ALWAYS, MISMATCH_RATIO_MAX, RUNBOOKS, Surroundings, anchor_of
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, files_below, job_ids
from syncline.core.suites import FOLDER, GENERAL

REVIEW_DAYS = 92  # the longest quarter
MANIFESTS = "include/manifests"
MADE = "<!-- Made by `syncline generate` from include/manifests; change those, not this page. -->"
# rule -> what it demands; coverage is the share of integrations that keep all of them
RULES = {
    "valid": "the file is read, and manifest and mapping have no mistakes: owner, SLA, tenancy and version are there",
    "contract": "`contract` is an https address (believed, not opened), or a page below the root that is not generated,"
    " with the heading that it names",
    "reviewed": f"owner and readers went through the agreement in the last {REVIEW_DAYS} days",
    "reconciled": f"`mismatch_ratio_max` is at most {MISMATCH_RATIO_MAX:.1%}, and a suite judges every batch by it"
    f" (SYNC-005): `{FOLDER}/<job>.json`, or `{GENERAL}` where a job has none of its own",
    "runbook": f"`{RUNBOOKS}` has a page for every alert that it can raise: {', '.join(ALWAYS)}; rows-rejected, unless"
    " all rows may be; publish-tables-failed, if it feeds a `pub_` table; mass-delete, if it deletes; group-held, if it"
    " is one of a group",
}


MISTAKEN = "it has mistakes"
UNREADABLE = dict.fromkeys(("contract", "reviewed", "reconciled", "runbook"), MISTAKEN)


@dataclass(frozen=True)
class Integration:
    """One manifest file.

    Attributes:
        id: Its stem; of a file that is not read, its path below include/manifests.
        job: None where it could not be read as one.
        finding: Its first mistake, if any.
        lacking: Rule -> what is lacking, '' where nothing is, of those that depend on neither mistakes nor the day.
    """

    id: str
    job: SyncJob | None
    finding: Finding | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_broken(self) -> bool:
        return self.finding is not None or self.job is None

    @property
    def reviewed_on(self) -> date | None:
        return self.job.manifest.reviewed_on if self.job else None

    @property
    def review_due(self) -> date | None:
        """The last day on which the review is in time; None where there has been none."""
        return self.reviewed_on + timedelta(days=REVIEW_DAYS) if self.reviewed_on else None

    def review(self, as_of: date) -> str:
        """in time, overdue, never, or `in the future` for a day that has not come."""
        if self.reviewed_on is None or self.review_due is None:
            return "never"
        if self.reviewed_on > as_of:
            return "in the future"
        return "overdue" if as_of > self.review_due else "in time"

    def review_said(self, as_of: date) -> str:
        """What is the matter with the review, in words."""
        return {
            "never": "it was never reviewed",
            "overdue": f"its review was due on {self.review_due}",
            "in the future": f"reviewed_on {self.reviewed_on} has not come yet",
        }.get(self.review(as_of), f"its review is due on {self.review_due}")

    def cells(self) -> tuple[str, str, str, str]:
        """Its line in a list for people: each cell is two lines."""
        if self.job is None:
            return self.id, "", "", ""
        manifest = self.job.manifest
        return (
            f"{self.id}\n{_end(manifest.source)} -> {_end(manifest.target)}",
            f"{manifest.owner.team}\n{manifest.criticality}",
            f"{pattern(self.job)}\n{span(manifest.sla.latency_p50_s_max)} / {span(manifest.sla.latency_p99_s_max)}",
            manifest.version,
        )

    def lacks(self, as_of: date) -> dict[str, str]:
        """Rule -> why it does not hold on a day, for those that do not."""
        said = {
            "valid": MISTAKEN if self.is_broken else "",
            "reviewed": "" if self.review(as_of) == "in time" else self.review_said(as_of),
            **self.lacking,
        }
        return {rule: said[rule] for rule in RULES if said[rule]}

    def keeps(self, as_of: date) -> dict[str, bool]:
        """Rule -> whether it holds on a day."""
        lacks = self.lacks(as_of)
        return {rule: rule not in lacks for rule in RULES}

    def as_dict(self) -> dict[str, Any]:
        """Everything that does not depend on the day of asking."""
        said: dict[str, Any] = {"id": self.id, "state": "broken" if self.is_broken else "valid"}
        if self.finding is not None:
            said["finding"] = str(self.finding)
        if self.job is None:
            return said
        manifest = self.job.manifest
        return said | {
            "description": manifest.description,
            "owner": manifest.owner.model_dump(),
            "pattern": pattern(self.job),
            "mode": str(self.job.default_mode),
            "write": manifest.target.write,
            "on_delete": self.job.on_delete,
            "direction": f"{manifest.source.connection} -> {manifest.target.connection}",
            "source": _side(manifest.source),
            "target": _side(manifest.target),
            "sla": manifest.sla.model_dump(),
            "version": manifest.version,
            "mapping_version": self.job.mapping.version,
            "criticality": manifest.criticality,
            "domain": manifest.domain,
            "tenancy": manifest.tenancy.column or f"none: {manifest.tenancy.none}",
            "schedule": f"{manifest.schedule.cron} {manifest.schedule.timezone}",
            "pii": personal(self.job),
            "contract": manifest.contract,
            "reviewed_on": _iso(self.reviewed_on),
            "review_due": _iso(self.review_due),
            "downstream": list(manifest.downstream),
        }


@dataclass(frozen=True)
class Registry:
    """All integrations of a project, sorted by id."""

    integrations: tuple[Integration, ...] = field(default=())

    def coverage(self, as_of: date) -> dict[str, float | int | None]:
        """Metric 11 on a day: the share that keeps every rule, and the share of each; None where there is none."""
        kept = [integration.keeps(as_of) for integration in self.integrations]
        shares: dict[str, float | int | None] = {rule: _share([one[rule] for one in kept]) for rule in RULES}
        return {"integrations": len(kept), "coverage": _share([all(one.values()) for one in kept]), **shares}

    def overdue(self, as_of: date) -> list[Integration]:
        """Those whose review is not in time; a broken one that cannot be read is told elsewhere."""
        return [one for one in self.integrations if one.job is not None and one.review(as_of) != "in time"]

    def broken(self) -> list[Integration]:
        return [one for one in self.integrations if one.is_broken]

    def as_dict(self, as_of: date) -> dict[str, Any]:
        return {
            "as_of": as_of.isoformat(),
            "coverage": self.coverage(as_of),
            "integrations": [
                one.as_dict()
                | ({"review": one.review(as_of)} if one.job else {})
                | {"keeps": one.keeps(as_of), "lacks": one.lacks(as_of)}
                for one in self.integrations
            ],
        }


def take_stock(root: Path) -> Registry:
    """Read every manifest of a project; one that is broken or not read is in the register too."""
    around = Surroundings(root)
    found = [_integration(root, job_id, around) for job_id in job_ids(root)]
    return Registry(tuple(sorted([*found, *_strays(root)], key=lambda one: one.id)))


def _integration(root: Path, job_id: str, around: Surroundings) -> Integration:
    job, findings = examine_job(root, job_id)
    first = min(findings, default=None)
    if job is None:
        return Integration(job_id, None, first, UNREADABLE)
    lacking = {
        "contract": around.contract_lack(job.manifest.contract),
        "reconciled": around.reconciliation_lack(job) if first is None else MISTAKEN,
        "runbook": around.runbook_lack(job) if first is None else MISTAKEN,
    }
    return Integration(job_id, job, first, lacking)


def _strays(root: Path) -> Iterator[Integration]:
    """Files of include/manifests that nothing reads (M22 of `syncline check`): jobs that somebody thinks are there."""
    folder = root / MANIFESTS
    for path in files_below(folder):
        if (path.suffix == ".yaml" and path.parent == folder) or path.name == "README.md":
            continue
        shown = path.relative_to(root).as_posix()
        told = Finding(shown, 1, 1, "M22", "this file is not read", f"name it {MANIFESTS}/<name>.yaml")
        yield Integration(path.relative_to(folder).as_posix(), None, told, UNREADABLE)


def future_reviews(root: Path, jobs: list[SyncJob], today: date) -> list[Finding]:
    """Reviews of valid jobs on a day that has not come, each at its place in the manifest."""
    found: list[Finding] = []
    for job in jobs:
        day = job.manifest.reviewed_on
        if day is not None and day > today:
            path = f"{MANIFESTS}/{job.id}.yaml"
            document = strict_yaml.read(root / path, path)
            said = f"'{day}' has not come yet, or this machine's clock is behind"
            document.mistake(("reviewed_on",), "M02", said, "the day on which owner and readers went through it")
            found += document.findings
    return found


def pattern(job: SyncJob) -> str:
    """How it moves rows: `batch upsert, incremental`."""
    return f"batch {job.target.write}, {job.default_mode}"


def personal(job: SyncJob) -> list[str]:
    """Classes of personal data that it moves."""
    return sorted({item.pii for item in job.mapping.fields.values()} - {"none"})


# --- the page -------------------------------------------------------------------------------------------------------


def page(registry: Registry) -> str:
    """docs/registry.md: the same on every day, so it shows days and judges none."""
    lines = [
        MADE, "",
        "# Register of integrations", "",
        "Every manifest of `include/manifests` (SYNC-001). A manifest without owner, SLA, tenancy or version makes",
        "no DAG; one with mistakes stands here as broken. Whether a review is overdue depends on the day, so only the",
        "command says it:", "",
        "```sh", ".venv/bin/syncline registry", "```", "",
        *_table(registry), "",
        "## Coverage", "",
        "Metric 11 is the share of integrations for which all of these hold. The denominator is the number of manifest",
        "files, broken ones and those that are not read (`x.yml`) included; what has no manifest is not counted,",
        "because nothing here knows of it. `syncline registry` says what each one lacks; with `--strict` its exit code",
        "is 1 when one is broken or due for review.", "",
        "| rule | demands | holds for |", "|---|---|---|",
        *(f"| {rule} | {wanted} | {_holds(registry, rule)} |" for rule, wanted in RULES.items()), "",
    ]  # fmt: skip
    for integration in registry.integrations:
        lines += [*_section(integration), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


COLUMNS = (
    "integration", "team", "from -> to", "pattern", "SLA p50 / p99", "version", "criticality", "personal data",
    "contract", "reviewed", "review due",
)  # fmt: skip


def _table(registry: Registry) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for one in registry.integrations:
        if one.job is None:
            yield f"| {_local(one)} | **broken**{' |' * (len(COLUMNS) - 1)}"
            continue
        manifest = one.job.manifest
        state = "**broken**, " if one.is_broken else ""
        flow = f"{_end(manifest.source)} -> {_end(manifest.target)}"
        sla = f"{span(manifest.sla.latency_p50_s_max)} / {span(manifest.sla.latency_p99_s_max)}"
        pii = ", ".join(personal(one.job)) or "none"
        yield (
            f"| {_local(one)} | {state}{manifest.owner.team} | {flow} | {pattern(one.job)} | {sla} |"
            f" {manifest.version} | {manifest.criticality} | {pii} | {_contract(one, manifest.contract)} |"
            f" {_iso(one.reviewed_on) or 'never'} | {_iso(one.review_due) or 'now'} |"
        )


def _section(one: Integration) -> Iterator[str]:
    """What one integration promises: who answers, and each column with its type and its rules."""
    yield f"## {one.id}"
    yield ""
    if one.finding is not None:
        yield from (f"**Broken:** `{one.finding}`", "")
    if one.job is None:
        return
    manifest = one.job.manifest
    yield from (f"{manifest.description}.", "")
    facts = {
        "answers": f"{manifest.owner.team}; on call {manifest.owner.oncall}; business {manifest.owner.business}",
        "from": f"{_end(manifest.source)}, by {', '.join(manifest.source.key)}",
        "to": f"{_end(manifest.target)}, by {', '.join(manifest.target.key)}",
        "runs": f"`{manifest.schedule.cron}` {manifest.schedule.timezone}",
        "tenants": f"`{manifest.tenancy.column}`" if manifest.tenancy.column else f"none: {manifest.tenancy.none}",
        "deleted rows": one.job.on_delete,
        "held above": f"{manifest.reconcile.mismatch_ratio_max:.2%} of rows mismatched, or"
        f" {manifest.errors.rejected_ratio_max:.2%} rejected ({manifest.errors.severity})",
        "mapping": f"{manifest.mapping} {one.job.mapping.version}",
        "contract": _contract(one, manifest.contract),
        "reviewed": f"{_iso(one.reviewed_on)}, due again {_iso(one.review_due)}" if one.reviewed_on else "never",
        "feeds": ", ".join(manifest.downstream) or "nothing that is declared",
    }
    yield from ("| | |", "|---|---|", *(f"| {name} | {said} |" for name, said in facts.items()), "")
    yield from ("| column | type | rules | severity | personal data |", "|---|---|---|---|---|")
    for name, item in one.job.mapping.fields.items():
        rules = ", ".join(dict.fromkeys(check.word for check in item.checks)) or "none"
        yield f"| {name} | {item.type} | {rules} | {item.severity} | {item.pii} |"


def _local(one: Integration) -> str:
    return f"[{one.id}](#{anchor_of(one.id)})"


def _contract(one: Integration, contract: str | None) -> str:
    """A link that works from docs/; or what is wrong with it."""
    if contract is None or one.lacking["contract"]:
        return f"**none**: {one.lacking['contract']}"
    is_below_docs, from_docs = contract.startswith("docs/"), contract.removeprefix("docs/")
    return f"[contract]({from_docs if is_below_docs or contract.startswith('https://') else f'../{contract}'})"


def _side(side: Any) -> dict[str, str]:
    return {"connection": side.connection, "table": side.table}


def _end(side: Any) -> str:
    return f"{side.connection}: {side.table}"


def _holds(registry: Registry, rule: str) -> str:
    everything = registry.integrations
    if rule == "reviewed":
        return f"{sum(one.reviewed_on is not None for one in everything)} of {len(everything)} were reviewed at all"
    kept = sum(one.keeps(date.min)[rule] for one in everything)
    return f"{kept} of {len(everything)}"


def span(seconds: int) -> str:
    """7200 -> `2 h`; the largest unit that is whole."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _share(kept: list[bool]) -> float | None:
    return round(sum(kept) / len(kept), 4) if kept else None


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
