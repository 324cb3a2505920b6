"""SYNC-008: what was compared is judged by a suite, reported without a value of any row, and signed once."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from syncline import steps
from syncline.adapters import control_report, project, record_judging
from syncline.adapters.control_report import neutral, shown_key
from syncline.core.control_runs import ControlRun
from syncline.core.errors import TerminalError
from syncline.core.record_comparison import ComparisonRequest
from syncline.core.values import Verdict
from syncline.steps import sync_008
from tests.integration.conftest import JOB, Lab

RUN = "manual__2026-11-21T01:00:00+00:00"
CANARY = "Ada Lovelace"
OTHER = "mdm__billing__person"


class Book:
    """Comparisons as the engine records them, written straight into the ledger's tables."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        _ = lab.job
        self.counted: dict[str, int] = {}

    def job(self, job_id: str) -> None:
        """A second job: the first one's files under another name."""
        for kind in ("manifests", "mappings"):
            files = self.lab.folder / "include" / kind
            text = (files / f"{JOB}.yaml").read_text()
            (files / f"{job_id}.yaml").write_text(text.replace("connection: payroll", "connection: billing"))

    def compared(self, job_id: str = JOB, *, rows: int = 1000, run: str = RUN, **said: Any) -> int:
        """A comparison that found everything identical, as far as nothing is added to it."""
        said = {"state": "done", "verdict": "matched", "depth": "records", "control": "SYNC-008", **said}
        self.lab.ledger(
            "insert into ledger.job (job_id, manifest_version, manifest_hash, source_system, target_system, criticality,"
            " oncall, sla_latency_s_max) values (%s, '1', '', 'mdm', 'payroll', 'high', 'lab-oncall', 60)"
            " on conflict do nothing",
            job_id,
        )
        names = ", ".join(said)
        found = self.lab.ledger(
            f"insert into ledger.comparison (job_id, run_key, is_scheduled, manifest_hash, source_rows, target_rows,"
            f" identical_rows, mismatched_rows, missing_in_target_rows, missing_in_source_rows, duplicate_rows,"
            f" excused_rows, raw_match_ratio, match_ratio, source_as_of, target_as_of, {names}) values"
            f" (%s, %s, true, '', %s, %s, %s, 0, 0, 0, 0, 0, 1, 1, '2026-11-21 01:00:00Z', '2026-11-21 01:00:01Z',"
            f" {', '.join(['%s'] * len(said))}) returning comparison_id",
            job_id, run, rows, rows, rows, *said.values(),
        )  # fmt: skip
        comparison_id = found[0]["comparison_id"]
        self._count(comparison_id, "t1", "identical", None, None, False, rows, [])
        return comparison_id

    def differ(
        self, comparison_id: int, rows: int, severity: str = "medium", *, kind: str = "mismatched",
        cause: str = "unknown", is_excused: bool = False, key: list[str] | None = None, tenant: str = "t1",
    ) -> None:  # fmt: skip
        """So many of its records differ, and its verdict with them."""
        columns = ["name"] if kind == "mismatched" else []
        self._count(comparison_id, tenant, kind, cause, severity, is_excused, rows, columns)
        self.lab.ledger(
            f"update ledger.comparison set {kind}_rows = {kind}_rows + %s, identical_rows = identical_rows - %s,"
            f" excused_rows = excused_rows + %s, verdict = case when %s then verdict else 'mismatched' end"
            f" where comparison_id = %s",
            rows, rows, rows if is_excused else 0, is_excused, comparison_id,
        )  # fmt: skip
        self.lab.ledger(
            "update ledger.record_count set rows = rows - %s where comparison_id = %s and record_class = 'identical'"
            " and tenant_id = (select min(tenant_id) from ledger.record_count where comparison_id = %s"
            "   and record_class = 'identical')",
            rows, comparison_id, comparison_id,
        )  # fmt: skip
        self.lab.ledger(
            "insert into ledger.record_difference values (%s, %s, %s, 1, %s, %s, %s, %s, %s)",
            comparison_id, tenant, key or [tenant, "p1"], kind, cause, severity, is_excused, columns,
        )  # fmt: skip

    def _count(self, comparison_id: int, *said: Any) -> None:
        self.lab.ledger(
            "insert into ledger.record_count (comparison_id, tenant_id, record_class, cause, severity, is_excused, rows,"
            " columns) values (%s, %s, %s, %s, %s, %s, %s, %s)",
            comparison_id,
            *said,
        )


@pytest.fixture
def book(lab: Lab) -> Book:
    return Book(lab)


@pytest.fixture
def documented(book: Book, data_docs: None) -> Book:
    """With the Data Docs."""
    return book


def judged(*job_ids: str) -> ControlRun:
    return sync_008.judge(RUN, list(job_ids or [JOB]))


def text_of(run: ControlRun) -> str:
    return (project.var() / run.html_path).read_text(encoding="utf-8")


def lines_of(run: ControlRun) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((project.var() / run.csv_path).read_text(encoding="utf-8"))))


# --- the verdict, as the ledger has it; all that the suite can say is in test_record_judging.py


def test_jobs_whose_records_are_all_identical_are_matched(book: Book) -> None:
    book.compared()

    run = judged()

    assert (run.verdict, run.match_ratio, run.job_ids) == (Verdict.MATCHED, 1.0, (JOB,))
    assert run.summary == (
        "The records of 1 job match as agreed, 100.00 %: 0 of 1,000 records differ without an explanation, none in a"
        " critical field."
    )


def test_the_lowest_match_ratio_of_the_jobs_is_told(book: Book) -> None:
    book.job(OTHER)
    book.differ(book.compared(rows=10_000), 15)
    book.differ(book.compared(OTHER, rows=1_000_000), 500)

    run = judged(JOB, OTHER)

    assert (run.verdict, run.match_ratio) == (Verdict.MISMATCHED, 0.9985)
    of_jobs = {line["job_id"]: line["verdict"] for line in lines_of(run) if line["kind"] == "job"}
    assert of_jobs == {JOB: "mismatched", OTHER: "matched"}
    row = book.lab.ledger("select state, verdict, match_ratio, comparison_ids from ledger.control_run")
    assert row == [{"state": "drafted", "verdict": "mismatched", "match_ratio": 0.9985, "comparison_ids": [1, 2]}]


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"verdict": "unverified", "reason": "the copy cannot be hashed"}, "the copy cannot be hashed"),
        ({"verdict": "unverified", "state": "running"}, "the comparison ended without a verdict"),
        ({"verdict": "unverified", "state": "failed", "reason": "SystemDown"}, "SystemDown"),
    ],
)
def test_a_job_whose_comparison_failed_makes_the_run_unverified(book: Book, said: dict, because: str) -> None:
    book.job(OTHER)
    book.compared()
    book.compared(OTHER, **said)

    run = judged(JOB, OTHER)

    assert run.verdict is Verdict.UNVERIFIED
    assert run.summary == f"1 of 2 jobs is unverified: {OTHER} ({because})."


def test_a_job_that_was_not_compared_in_this_run_is_unverified(book: Book) -> None:
    book.job(OTHER)
    book.compared()
    book.compared(OTHER, run="last_month")
    book.compared(OTHER, control="")  # the daily run's: no evidence for this control

    run = judged(JOB, OTHER)

    assert run.verdict is Verdict.UNVERIFIED
    assert "it was not compared in this run" in text_of(run)


def test_f55_without_its_suite_everything_is_unverified(book: Book) -> None:
    (book.lab.folder / "include" / "expectations" / "sync_008.json").unlink()
    book.compared()

    run = judged()

    assert run.verdict is Verdict.UNVERIFIED
    assert "sync_008.json" in run.summary
    assert [row["severity"] for row in book.lab.ledger("select severity from ledger.alert")] == ["ticket"]


def test_the_newest_comparison_of_a_run_counts(book: Book) -> None:
    book.differ(book.compared(), 500)
    book.compared()

    assert judged().verdict is Verdict.MATCHED


def test_a_sample_is_judged_by_its_totals_and_said_to_be_one(book: Book) -> None:
    comparison_id = book.compared(sample_ratio=0.01, confidence=0.632)
    book.lab.ledger("update ledger.record_count set tenant_id = '*'")
    book.differ(comparison_id, 1, "low")

    run = judged()

    assert run.verdict is Verdict.MATCHED
    assert "a sample of 1.00 % of the keys, which is 63.20 % sure" in re.sub(r"\s+", " ", text_of(run))
    assert run.summary.endswith(f"Only a part was compared, by a sample or of some tenants, of {JOB}.")


def test_a_run_of_some_tenants_says_so(book: Book) -> None:
    book.compared(tenants=["t1", "t2"])

    run = judged()

    assert "Only a part was compared" in run.summary
    assert "<dt>Only tenants</dt><dd>t1, t2</dd>" in text_of(run)


@pytest.mark.parametrize("sample", [None, 0.9])
def test_what_the_engine_itself_found_is_judged(lab: Lab, sample: float | None) -> None:
    lab.mapping["fields"]["born"] |= {"severity": "critical", "pii": "birth"}
    lab.hub(*({"person_id": f"p{n}", "tenant_id": f"t{n % 2 + 1}"} for n in range(200)))
    lab.run()
    lab.sql("payroll", "update lab.person set born = '1980-02-03' where right(person_no, 1) = '7'")
    lab.sql("payroll", "delete from lab.person where person_no in ('p3', 'p13', 'p23', 'p33')")
    steps.compare_records(lab.job, ComparisonRequest(RUN, control="SYNC-008", sample_ratio=sample), settle_s=0.0)

    run = judged()

    assert run.verdict is Verdict.MISMATCHED
    lines = lines_of(run)
    if sample is None:
        assert (lines[0]["records"], lines[0]["match_ratio"]) == ("200", str(176 / 200))
        assert "differ without an explanation, 24 in a critical field" in run.summary
    keys = [line["key"] for line in lines if line["kind"] == "key"]
    assert set(keys) & {"tenant_id=t2 person_no=p7", "tenant_id=t2 person_no=p17", "tenant_id=t2 person_no=p27"}
    assert "1980" not in text_of(run)
    assert [row["severity"] for row in lab.ledger("select severity from ledger.alert")] == ["page"]


# --- the report


def test_the_report_tells_both_rates_classes_causes_fields_tenants_and_the_cut_off(book: Book) -> None:
    comparison_id = book.compared()
    book.differ(comparison_id, 20, "critical", key=["t1", "p7"])
    book.differ(comparison_id, 30, "low", kind="missing_in_target", cause="held_batch", is_excused=True, tenant="t2")

    run = judged()
    shown = re.sub(r"<[^>]+>|\s+", " ", text_of(run))

    for said in (
        "95.00 %", "98.00 %", "missing in target", "held batch", "critical", "source as of 2026-11-21 01:00:00 UTC",
        "target as of 2026-11-21 01:00:01 UTC", "lab-business", "tenant_id=t1 person_no=p7", RUN,
    ):  # fmt: skip
        assert said in shown, said
    of_job, *others = lines_of(run)
    assert (of_job["kind"], of_job["records"], of_job["match_ratio"]) == ("job", "1000", "0.98")
    assert sorted((line["kind"], line["record_class"], line["records"], line["key"]) for line in others) == [
        ("count", "identical", "950", ""),
        ("count", "mismatched", "20", ""),
        ("count", "missing_in_target", "30", ""),
        ("key", "mismatched", "1", "tenant_id=t1 person_no=p7"),
        ("key", "missing_in_target", "1", "tenant_id=t2 person_no=p1"),
    ]


def test_the_report_stands_alone(book: Book) -> None:
    book.differ(book.compared(), 500)

    page = text_of(judged())

    assert not re.search(r"<script|<link|<img|url\(|https?://|@import", page)
    assert "default-src 'none'" in page


def test_a_personal_part_of_a_key_is_masked(book: Book) -> None:
    book.lab.mapping["fields"]["person_no"]["pii"] = "name"
    _ = book.lab.job
    book.differ(book.compared(), 1, key=["t1", CANARY])

    run = judged()

    assert "tenant_id=t1 person_no=***" in text_of(run)
    assert [line["key"] for line in lines_of(run) if line["kind"] == "key"] == ["tenant_id=t1 person_no=***"]


def test_a_key_of_another_manifest_is_masked_as_a_whole(lab: Lab) -> None:
    assert shown_key(lab.job, ["t1", "p1", CANARY]) == "***"


def places(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file that was written, as text."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_text(encoding="utf-8", errors="replace")


def test_no_value_of_a_row_stands_anywhere(documented: Book) -> None:
    documented.lab.hub({"person_id": "p1", "name": CANARY})
    documented.lab.run()
    documented.lab.mapping["fields"]["person_no"]["pii"] = "name"
    _ = documented.lab.job
    documented.differ(documented.compared(), 500, "critical", key=["t1", CANARY])

    run = judged()
    decide(run, is_approved=False, signer="head", note="no")

    written = dict(places(project.var()))
    assert {"report.html", "report.csv", "report_signed.html", "alerts.jsonl"} <= set(written)
    assert any(name.endswith("records.html") for name in written)  # Data Docs
    for table in ("control_run", "audit", "alert"):
        written[table] = json.dumps(
            documented.lab.ledger(f"select row_to_json(t)::text as row from ledger.{table} as t")
        )
    assert [name for name, text in written.items() if CANARY in text or "Lovelace" in text] == []


HOSTILE = ["=1+1", "@SUM(A1)", "+1-1", "-2+3", "t\t=1", "a;=1", "<script>alert(1)</script>", "\x1b[2J", "\u202ecod"]


def test_v23_formulas_html_and_escapes_in_keys_are_neutral(book: Book) -> None:
    comparison_id = book.compared()
    for key in HOSTILE:
        book.differ(comparison_id, 1, "low", key=[key, key])

    run = judged()
    page, cells = text_of(run), [cell for line in lines_of(run) for cell in line.values()]

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for text in (page, (project.var() / run.csv_path).read_text()):
        assert not any(letter in text for letter in "\x1b\u202e\t")
    assert [cell for cell in cells if cell.startswith(("=", "@", "+", "-", "\t"))] == []
    assert not any(re.search(r"[,;|\"]\s*[=@+]", cell) for cell in cells)


@pytest.mark.parametrize(
    ("text", "told"),
    [("-12.5", "-12.5"), ("=1", "'=1"), ("a=1", "a=1"), ("t1;=1", "t1;'=1"), ("\x1b[0m", "\\x1b[0m"), ("", "")],
)
def test_a_cell_is_shown_and_not_calculated(text: str, told: str) -> None:
    assert neutral(text) == told


def test_data_docs_tell_what_the_expectations_found_in_sentences(documented: Book) -> None:
    documented.differ(documented.compared(rows=10_000), 15)
    run = judged()

    pages = [text for name, text in places(project.var() / "data_docs" / "validations") if name.endswith(".html")]
    assert len(pages) == 1
    assert "Of each job at least 99.90 % of the records match" in re.sub(r"<[^>]+>|\s+", " ", pages[0])
    assert f"SYNC-008#{run.control_run_id}" in pages[0]
    assert f"0.9985 ({JOB})" in pages[0]
    assert "Failed" in pages[0]


# --- who is told


@pytest.mark.parametrize(("severity", "told"), [("critical", "page"), ("medium", "ticket"), ("low", "log")])
def test_the_worst_severity_found_decides_who_is_told(book: Book, severity: str, told: str) -> None:
    comparison_id = book.compared()
    book.differ(comparison_id, 2, severity)
    book.differ(comparison_id, 3, "low")
    book.differ(comparison_id, 5, "critical", cause="in_flight", is_excused=True)

    judged()

    alerts = book.lab.ledger("select job_id, severity, control, oncall from ledger.alert")
    assert alerts == [{"job_id": JOB, "severity": told, "control": "SYNC-008", "oncall": "lab-oncall"}]


def test_a_matched_or_excused_job_tells_nobody_and_an_unverified_one_does(book: Book) -> None:
    book.job(OTHER)
    book.differ(book.compared(), 5, "critical", cause="in_flight", is_excused=True)

    judged(JOB, OTHER)
    judged(JOB, OTHER)

    alerts = book.lab.ledger("select job_id, severity, summary, seen_times from ledger.alert")
    assert [(alert["job_id"], alert["severity"], alert["seen_times"]) for alert in alerts] == [(OTHER, "ticket", 2)]
    assert "records-differ.md" in alerts[0]["summary"]


def test_what_is_over_is_closed(book: Book) -> None:
    judged()  # not compared: unverified
    book.compared()
    judged()

    assert [row["is_over"] for row in book.lab.ledger("select closed_at is not null as is_over from ledger.alert")] == [
        True
    ]


def test_what_was_found_since_a_comparison_matched_stays_open(book: Book) -> None:
    book.compared()
    book.lab.ledger("insert into ledger.alert (job_id, control, kind, severity, oncall, summary)"
                    " values (%s, 'SYNC-008', 'differences', 'page', 'a', 'b')", JOB)  # fmt: skip
    judged()

    assert book.lab.ledger("select closed_at is null as is_open from ledger.alert") == [{"is_open": True}]


# --- the signature


def state(book: Book) -> dict[str, Any]:
    return book.lab.ledger("select state, signer, note from ledger.control_run")[0]


def decide(run: ControlRun, **decision: Any) -> None:
    """Somebody who has seen the report of this run."""
    sync_008.sign(run.control_run_id, sha256=run.sha256, **decision)


def audited(book: Book) -> list[str]:
    rows = book.lab.ledger("select event from ledger.audit where job_id = 'SYNC-008' order by audit_id")
    return [row["event"] for row in rows]


def test_a_report_is_signed_once_and_kept_with_its_signature(book: Book) -> None:
    book.compared()
    run = judged()

    decide(run, is_approved=True, signer="head-of-payroll", note="as every month")

    assert state(book) == {"state": "signed", "signer": "head-of-payroll", "note": "as every month"}
    signed = (project.var() / run.html_path).with_name("report_signed.html").read_text()
    assert "head-of-payroll" in signed
    assert run.sha256 in signed
    assert "head-of-payroll" not in text_of(run)
    assert audited(book) == ["control_drafted", "control_signed"]
    assert sync_008.verify(run.control_run_id) == []
    decide(run, is_approved=True, signer="head-of-payroll", note="as every month")  # tried again
    with pytest.raises(TerminalError, match="is signed already"):
        decide(run, is_approved=False, signer="somebody", note="")
    with pytest.raises(TerminalError, match="is signed or refused"):
        judged()
    assert audited(book) == ["control_drafted", "control_signed"]


def test_a_report_that_is_being_replaced_is_not_signed(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.compared()
    run = judged()
    monkeypatch.setattr(record_judging, "judge", lambda *_, **__: 1 / 0)  # the second judge dies on its way
    with pytest.raises(ZeroDivisionError):
        judged()

    with pytest.raises(TerminalError, match="it is not judged"):
        decide(run, is_approved=True, signer="head")
    assert not (project.var() / run.html_path).with_name("report_signed.html").exists()


def test_a_report_that_nobody_was_shown_is_not_signed(book: Book) -> None:
    """Its task is cleared while the owner looks: what is kept now says something else."""
    differing = book.compared()
    run = judged()
    book.differ(differing, 500)
    assert judged().verdict is Verdict.MISMATCHED

    with pytest.raises(TerminalError, match="was judged again since its report was shown"):
        decide(run, is_approved=True, signer="head", note="as seen")
    assert state(book)["state"] == "drafted"


def test_of_two_who_decide_at_the_same_time_one_is_refused(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.compared()
    run = judged()
    write_signed = control_report.write_signed
    with ThreadPoolExecutor(1) as pool:
        others: list[Future[None]] = []

        def while_another_refuses(*said: Any) -> Any:
            monkeypatch.setattr(control_report, "write_signed", write_signed)
            others.append(pool.submit(decide, run, is_approved=False, signer="the slower", note="no"))
            waits = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update'"
            while not book.lab.ledger(waits):
                pass
            return write_signed(*said)

        monkeypatch.setattr(control_report, "write_signed", while_another_refuses)
        decide(run, is_approved=True, signer="the quicker")

        with pytest.raises(TerminalError, match="is signed already"):
            others[0].result(30)

    assert state(book)["signer"] == "the quicker"
    assert sync_008.verify(run.control_run_id) == []


def test_a_refusal_is_final_too(book: Book) -> None:
    book.compared()
    run = judged()

    decide(run, is_approved=False, signer="head", note="<b>look again</b>")

    assert state(book)["state"] == "refused"
    assert "&lt;b&gt;look again" in (project.var() / run.html_path).with_name("report_signed.html").read_text()
    with pytest.raises(TerminalError, match="is refused already"):
        decide(run, is_approved=True, signer="head", note="changed my mind")


def test_the_ledger_itself_keeps_what_was_signed(book: Book) -> None:
    book.compared()
    decide(judged(), is_approved=True, signer="head")

    with pytest.raises(Exception, match="is signed: it is not changed any more"):
        book.lab.ledger("update ledger.control_run set verdict = 'mismatched'")
    with pytest.raises(Exception, match="it is not changed any more"):
        book.lab.ledger("delete from ledger.control_run")


def test_what_is_not_matched_is_signed_with_a_reason_only(book: Book) -> None:
    book.differ(book.compared(), 500)
    run = judged()

    with pytest.raises(TerminalError, match="is mismatched: to sign it all the same, say why"):
        decide(run, is_approved=True, signer="head")
    decide(run, is_approved=True, signer="head", note="known since Monday, ticket 12")

    assert state(book)["state"] == "signed"


@pytest.mark.parametrize("name", ["html_path", "csv_path"])
@pytest.mark.parametrize("spoil", [lambda path: path.write_text(path.read_text() + " "), lambda path: path.unlink()])
def test_a_report_whose_files_were_changed_is_not_signed(book: Book, name: str, spoil: Any) -> None:
    book.compared()
    run = judged()
    path = project.var() / getattr(run, name)
    spoil(path)

    with pytest.raises(TerminalError, match=re.escape(path.name)):
        decide(run, is_approved=True, signer="head")

    assert state(book)["state"] == "drafted"
    assert len(sync_008.verify(run.control_run_id)) == 1


def test_a_hash_that_was_changed_in_the_ledger_is_seen_in_the_audit_trail(book: Book) -> None:
    book.compared()
    run = judged()
    path = project.var() / run.csv_path
    path.write_text(path.read_text().replace("1000", "2000"))
    book.lab.ledger("update ledger.control_run set csv_sha256 = encode(sha256(%s::bytea), 'hex')", path.read_bytes())

    assert sync_008.verify(run.control_run_id) == ["the audit trail knows another hash of report.csv than the ledger"]


def test_a_signed_report_that_was_changed_later_is_found(book: Book) -> None:
    book.compared()
    run = judged()
    decide(run, is_approved=True, signer="head")
    signed = (project.var() / run.html_path).with_name("report_signed.html")
    signed.write_text(signed.read_text().replace("head", "tail"))

    assert sync_008.verify(run.control_run_id) == ["report_signed.html was changed after it was written"]


def test_the_shell_tells_whether_the_kept_files_are_the_signed_ones(book: Book) -> None:
    book.compared()
    run = judged()

    done = book.lab.shell("verify-report", str(run.control_run_id))
    assert (done.returncode, done.stdout) == (
        0, f"control run {run.control_run_id}: its files are those that the ledger and the audit trail know\n"
    )  # fmt: skip

    (project.var() / run.html_path).write_text("all is well")
    done = book.lab.shell("verify-report", str(run.control_run_id))
    assert (done.returncode, done.stdout) == (
        1, f"control run {run.control_run_id}: report.html was changed after it was written\n"
    )  # fmt: skip


def test_a_run_that_is_not_there_is_said_so(book: Book) -> None:
    with pytest.raises(TerminalError, match="control run 99 is not in the ledger"):
        sync_008.sign(99, sha256="", is_approved=True, signer="head")
