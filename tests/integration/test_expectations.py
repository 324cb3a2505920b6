"""Great Expectations judges the counts of a batch; a check that saw nothing is never green (SYNC-005, F55)."""

import json
import logging
import multiprocessing
import re
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from syncline.adapters import judging
from syncline.adapters.expectations import BALANCE, KEYS, Judgement, judge
from syncline.core.values import Verdict

SUITE = Path(__file__).parents[2] / "include" / "expectations" / "sync_005.json"
RULES = len(json.loads(SUITE.read_text())["expectations"])
JOB = "mdm__payroll__worker"


def counted(*tenants: tuple, total: tuple | None = None) -> pd.DataFrame:
    """Rows of (tenant, source, excused, target); the total is their sum unless the test says otherwise.

    Of the batch nothing is counted: it brought no row.
    """
    columns = ["tenant_id", "source_rows", "excused_rows", "target_rows"]
    summed = total or ("*", *(sum(row[place] for row in tenants) for place in (1, 2, 3)))
    return pd.DataFrame([*tenants, summed], columns=columns).assign(**dict.fromkeys((*KEYS, *BALANCE), 0))


def judged(counts: pd.DataFrame, *, limit: float = 0.001, **changes) -> Judgement:
    told = {
        "job_id": JOB,
        "batch_id": 7,
        "limits": {"mismatch_ratio_max": limit},
        "suite_path": SUITE,
        "docs_dir": None,
    }
    return judge(counts, **{**told, **changes})


def suite_with(tmp_path: Path, *rules: dict, **changes) -> Path:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "sync_005", "expectations": list(rules), **changes}))
    return path


def rule(kind: str = "expect_column_values_to_be_between", **kwargs) -> dict:
    return {"type": kind, "kwargs": kwargs}


WITHIN_LIMIT = rule(column="mismatch_ratio", min_value=0, max_value={"$PARAMETER": "mismatch_ratio_max"})


BLIND = rule(
    column="target_rows",
    min_value=0,
    row_condition='col("tenant_id") == "nobody"',
    condition_parser="great_expectations",
)
STRING_CONDITIONS = pytest.mark.filterwarnings(
    "ignore:.*row_condition:DeprecationWarning", "ignore:.*condition_parser:DeprecationWarning"
)


def failing(judgement: Judgement) -> set[str]:
    """Columns whose expectations failed."""
    return {each["kwargs"]["column"] for each in judgement.evidence["results"] if not each["success"]}


# --- matched and mismatched: the suite decides


@pytest.mark.parametrize(
    ("source_rows", "excused_rows", "target_rows", "verdict"),
    [
        (10_000, 0, 10_000, Verdict.MATCHED),
        (10_000, 0, 9_990, Verdict.MATCHED),  # exactly 0.1 %: the limit itself is allowed
        (10_000, 0, 9_989, Verdict.MISMATCHED),
        (10_000, 0, 10_011, Verdict.MISMATCHED),  # too many is as wrong as too few
        (10_000, 40, 9_960, Verdict.MATCHED),  # rows that wait in dead letters are excused
        (10_000, 40, 10_000, Verdict.MISMATCHED),  # and must not be in the target as well
        (0, 0, 1, Verdict.MISMATCHED),  # a row out of nowhere
        (5, 5, 0, Verdict.MATCHED),
    ],
)
def test_a_batch_passes_up_to_and_including_the_agreed_mismatch(source_rows, excused_rows, target_rows, verdict):
    judgement = judged(counted(("t0001", source_rows, excused_rows, target_rows)))

    assert judgement.verdict is verdict
    assert judgement.mismatch_ratio == abs(source_rows - excused_rows - target_rows) / max(source_rows, 1)


def test_one_tenants_loss_is_not_hidden_by_a_large_total():
    judgement = judged(counted(("t0001", 1_000_000, 0, 1_000_000), ("t0002", 10, 0, 9)))

    assert judgement.verdict is Verdict.MISMATCHED
    assert judgement.mismatch_ratio == 0.1
    assert failing(judgement) == {"mismatch_ratio"}


def test_rows_that_moved_to_another_tenant_are_found_though_the_total_agrees():
    assert judged(counted(("t0001", 50, 0, 49), ("t0002", 50, 0, 51))).verdict is Verdict.MISMATCHED


def test_the_limit_is_the_jobs_own():
    counts = counted(("t0001", 100, 0, 99))

    assert judged(counts, limit=0.001).verdict is Verdict.MISMATCHED
    assert judged(counts, limit=0.01).verdict is Verdict.MATCHED


def test_a_job_without_tenants_is_judged_too():
    assert judged(counted(("", 249, 0, 249))).verdict is Verdict.MATCHED


@pytest.mark.parametrize(
    ("counts", "found_by"),
    [
        (counted(("t1", 50, 0, 50), total=("*", 51, 0, 51)), "unaccounted_rows"),
        (counted(("t1", 50, 1, 49), total=("*", 50, 0, 50)), "unaccounted_rows"),
        (counted(("t1", 50, 0, 50), total=("t2", 50, 0, 50)), "is_total"),
        (counted(("t1", 50, 0, 50), ("*", 50, 0, 50), total=("*", 50, 0, 50)), "is_total"),
        (counted(("t1", 50, 0, 50), ("t1", 50, 0, 50)), "tenant_id"),
        (counted((None, 50, 0, 50)), "tenant_id"),
        (counted(("t1", 50, 0, 50), ("t2", None, 0, 0), total=("*", 50, 0, 50)), "source_rows"),
        (counted(("t1", 50, 0, 50), ("t2", 0, None, 0), total=("*", 50, 0, 50)), "excused_rows"),
        (counted(("t1", 50, 0, 50), ("t2", 0, 0, None), total=("*", 50, 0, 50)), "target_rows"),
        (counted(("t1", 50, 0, 50), ("t2", 0, 0, None), total=("*", 50, 0, 50)), "mismatch_ratio"),
        (counted(("t1", 50, 0, 50), ("t2", -1, 0, -1)), "source_rows"),
        (counted(("t1", 50, 0, 50), ("t2", -1, 0, -1)), "target_rows"),
        (counted(("t1", 50, -1, 51)), "excused_rows"),
        (counted(("t1", 50, 51, 0), ("t2", 50, 0, 50)), "expected_rows"),
    ],
)
def test_counts_that_do_not_hold_together_are_a_mismatch(counts, found_by):
    judgement = judged(counts, limit=1.0)

    assert judgement.verdict is Verdict.MISMATCHED
    assert found_by in failing(judgement)


def test_a_ratio_handed_in_is_not_believed():
    counts = counted(("t0001", 100, 0, 50))
    counts["difference_rows"], counts["mismatch_ratio"] = 0, 0.0

    assert judged(counts).verdict is Verdict.MISMATCHED


def test_a_ratio_that_cannot_be_known_is_told_as_everything():
    counts = counted(("t1", 50, 0, 50), ("t2", 5, 0, None), total=("*", 55, 0, 50))

    assert judged(counts).mismatch_ratio == 1.0


# --- unverified: nothing was proved


def assert_unverified(judgement: Judgement, because: str) -> None:
    assert judgement.verdict is Verdict.UNVERIFIED
    assert because in judgement.evidence["reason"]
    assert judgement.evidence["verdict"] == "unverified"


GOOD = counted(("t0001", 50, 0, 50))


def test_f55_a_missing_suite_is_unverified(tmp_path):
    assert_unverified(judged(GOOD, suite_path=tmp_path / "gone.json"), "gone.json cannot be read: FileNotFoundError")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "sync_005"}', '{"name": "x", "expectations": {}}'])
def test_f55_a_suite_that_is_none_is_unverified(tmp_path, text):
    path = tmp_path / "suite.json"
    path.write_text(text)

    assert_unverified(judged(GOOD, suite_path=path), "suite suite.json")


def test_f55_an_empty_suite_is_unverified(tmp_path):
    assert_unverified(judged(GOOD, suite_path=suite_with(tmp_path), limits={}), "holds no expectation")


def test_an_expectation_that_cannot_be_read_does_not_silently_vanish(tmp_path):
    unknown = rule("expect_column_to_be_good", column="mismatch_ratio")  # dropped with no more than a log line
    misspelt = rule(column="mismatch_ratio", min_value=0, maximum=0)

    judgement = judged(GOOD, suite_path=suite_with(tmp_path, WITHIN_LIMIT, unknown))
    assert_unverified(judgement, "could read 1 of the suite's 2 expectations")
    judgement = judged(GOOD, suite_path=suite_with(tmp_path, WITHIN_LIMIT, misspelt))
    assert_unverified(judgement, "ValidationError")


def test_f55_an_expectation_that_raises_is_unverified(tmp_path):
    path = suite_with(tmp_path, WITHIN_LIMIT, rule(column="no_such_column", min_value=0))
    judgement = judged(GOOD, suite_path=path)

    assert_unverified(judgement, "1 of 2 expectations raised an error")
    assert [each["kwargs"]["column"] for each in judgement.evidence["results"] if "raised" in each] == [
        "no_such_column"
    ]


@STRING_CONDITIONS
def test_f55_an_expectation_that_looks_at_no_row_is_unverified(tmp_path):
    path = suite_with(tmp_path, WITHIN_LIMIT, BLIND)

    assert_unverified(judged(GOOD, suite_path=path), "1 of 2 expectations looked at no row")


def test_f55_great_expectations_failing_altogether_is_unverified(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("made up")

    import great_expectations

    monkeypatch.setattr(great_expectations, "get_context", fail)

    assert_unverified(judged(GOOD), "MemoryError: made up")


def test_f55_a_result_without_an_evaluated_expectation_is_unverified(monkeypatch):
    from great_expectations.validator.v1_validator import Validator

    monkeypatch.setattr(Validator, "_validate_expectation_configs", lambda *_, **__: [])

    assert_unverified(judged(GOOD), f"0 of the suite's {RULES} expectations were evaluated")


def test_f55_no_counts_are_unverified():
    assert_unverified(judged(GOOD.head(0)), "nothing was counted")


def test_f55_two_empty_sides_prove_nothing():
    assert_unverified(judged(counted(("t0001", 0, 0, 0))), "0 rows on both sides")
    assert_unverified(judged(counted(total=("*", 0, 0, 0))), "0 rows on both sides")


def test_a_suite_that_lost_its_limit_is_unverified(tmp_path):
    path = suite_with(tmp_path, rule(column="source_rows", min_value=0))

    assert_unverified(judged(GOOD, suite_path=path), "asks for limits [], the job gives ['mismatch_ratio_max']")


def test_a_limit_that_the_job_does_not_give_is_unverified():
    assert_unverified(judged(GOOD, limits={}), "asks for limits ['mismatch_ratio_max'], the job gives []")


@pytest.mark.parametrize("limit", [None, float("nan"), float("inf"), -0.1, "0.001", True])
def test_a_limit_that_limits_nothing_is_unverified(limit):
    assert_unverified(judged(counted(("t0001", 100, 0, 1)), limit=limit), "limit mismatch_ratio_max is not a number")


@pytest.mark.parametrize("column", ["tenant_id", "source_rows", "excused_rows", "target_rows"])
def test_a_missing_count_column_is_unverified(column):
    assert_unverified(judged(GOOD.drop(columns=column)), f"no column {column}")


def test_counts_that_are_no_numbers_are_unverified_and_not_quoted():
    judgement = judged(counted(("t0001", 5, 0, 5), total=("*", "Ada Lovelace", 0, 5)))

    assert_unverified(judgement, "source_rows of the counts is not made of numbers")
    assert "Ada" not in json.dumps(judgement.evidence)


# --- the evidence


def test_the_evidence_names_total_and_worst_tenants_and_every_expectation():
    tenants = [(f"t{number:04d}", 100, 0, 100 - number % 20) for number in range(40)]
    evidence = judged(counted(*tenants)).evidence

    assert evidence["run_name"] == f"{JOB}#7"
    assert evidence["limits"] == {"mismatch_ratio_max": 0.001}
    assert evidence["total"] == [
        {
            "tenant_id": "*",
            "source_rows": 4000,
            "excused_rows": 0,
            "target_rows": 3620,
            "expected_rows": 4000,
            "missing_rows": 380,
            "extra_rows": 0,
            "difference_rows": 380,
            "mismatch_ratio": 0.095,
            **dict.fromkeys(KEYS, 0),
        }
    ]
    assert (evidence["tenants"], evidence["tenants_differing"]) == (40, 38)
    assert [each["tenant_id"] for each in evidence["worst_tenants"][:2]] == ["t0019", "t0039"]
    assert len(evidence["worst_tenants"]) == 10
    assert evidence["statistics"]["evaluated_expectations"] == RULES == len(evidence["results"])
    assert evidence["results"][0] == {
        "expectation": "expect_column_values_to_be_between",
        "kwargs": {"column": "mismatch_ratio", "min_value": 0, "max_value": 0.001},
        "success": False,
        "result": {"element_count": 41, "unexpected_count": 39, "missing_count": 0},
    }


@pytest.mark.parametrize(
    "counts",
    [
        GOOD,
        counted(("t1", 50, 0, 49)),
        counted(("t1", None, None, None), total=("*", None, None, None)),
        counted(("t1", float("inf"), 0, float("inf"))),
        GOOD.head(0),
    ],
)
def test_the_evidence_is_json_as_jsonb_takes_it_and_small(counts):
    judgement = judged(counts)
    text = json.dumps(judgement.evidence, allow_nan=False)

    assert len(text) < 20_000
    assert judgement.verdict.ok is (counts is GOOD)


def test_evidence_and_site_hold_how_many_rows_failed_and_not_which(tmp_path):
    counts = counted(("t0001", 98_765, 0, 12_345))
    counts["given_name"] = "Ada Lovelace"
    judgement = judged(counts, docs_dir=tmp_path)
    pages = [path.read_text() for path in (tmp_path / "validations").rglob("*.html")]
    results = [path.read_text() for path in (tmp_path / ".results").rglob("*.json")]

    assert judgement.verdict is Verdict.MISMATCHED
    assert len(pages) == 1
    assert len(results) == 2  # the suite and its result
    for text in (json.dumps(judgement.evidence), *pages, *results):
        assert "Ada" not in text
        assert "unexpected_list" not in text
    assert not any("98765" in text or str(judgement.mismatch_ratio)[:8] in text for text in (*pages, *results))


# --- Data Docs


def links(docs_dir: Path) -> list[str]:
    index = unescape((docs_dir / "index.html").read_text())
    return [unquote(link) for link in re.findall(r"'_table_row_link_path': '(validations/[^']+)'", index)]


def status_on(page: Path) -> str | None:
    found = re.search(r"Status:.*?(Succeeded|Failed)", page.read_text(), re.DOTALL)
    return found and found[1]


def test_the_site_gathers_the_batches_of_all_jobs(tmp_path):
    judged(GOOD, docs_dir=tmp_path, batch_id=1)
    judged(counted(("t0001", 50, 0, 40)), docs_dir=tmp_path, batch_id=2)
    last = judged(GOOD, docs_dir=tmp_path, job_id="mdm__billing__client", batch_id=3)

    assert last.docs_index == tmp_path / "index.html"
    shown = links(tmp_path)
    assert [link.split("/")[2] for link in shown] == ["mdm__billing__client#3", f"{JOB}#2", f"{JOB}#1"]
    assert shown[0] == last.evidence["docs"]["page"]
    assert [status_on(tmp_path / link) for link in shown] == ["Succeeded", "Failed", "Succeeded"]
    assert (tmp_path / "expectations" / "sync_005.html").is_file()


@STRING_CONDITIONS
def test_the_site_of_an_unverified_batch_is_not_green(tmp_path):
    """Great Expectations itself calls this one a success."""
    path = suite_with(tmp_path, WITHIN_LIMIT, BLIND)
    judgement = judged(GOOD, suite_path=path, docs_dir=tmp_path / "docs")

    assert judgement.evidence["statistics"]["unsuccessful_expectations"] == 0
    assert status_on(tmp_path / "docs" / judgement.evidence["docs"]["page"]) == "Failed"


def test_a_site_that_cannot_be_built_leaves_the_verdict_and_says_so(tmp_path, caplog):
    (tmp_path / "docs").write_text("a file where a folder should be")
    judgement = judged(GOOD, docs_dir=tmp_path / "docs")

    assert judgement.verdict is Verdict.MATCHED
    assert judgement.docs_index is None
    assert judgement.evidence["docs"]["built"] is False
    assert "FileExistsError" in judgement.evidence["docs"]["because"]
    assert "data docs not built" in caplog.text


def test_a_page_that_great_expectations_could_not_render_is_noticed(tmp_path, monkeypatch):
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    monkeypatch.setattr(ValidationResultsPageRenderer, "render", lambda *_: 1 / 0)
    judgement = judged(GOOD, docs_dir=tmp_path)

    assert judgement.verdict is Verdict.MATCHED
    assert "wrote no page" in judgement.evidence["docs"]["because"]


def test_a_site_that_stays_busy_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "DOCS_LOCK_WAIT_S", 0.2)
    with judging._locked(tmp_path / ".lock", wait_s=0):
        judgement = judged(GOOD, docs_dir=tmp_path)

    assert judgement.verdict is Verdict.MATCHED
    assert "busy" in judgement.evidence["docs"]["because"]


def test_only_the_newest_results_stay_in_the_site(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "DOCS_RESULTS_MAX", 2)
    for batch_id in (1, 2, 3):
        judged(GOOD, docs_dir=tmp_path, batch_id=batch_id)

    runs = [f"{JOB}#2", f"{JOB}#3"]
    assert sorted(link.split("/")[2] for link in links(tmp_path)) == runs
    for kept in (tmp_path / "validations" / "sync_005", tmp_path / ".results" / "validations" / "sync_005"):
        assert sorted(folder.name for folder in kept.iterdir()) == runs


def _judge_some(docs_dir: Path, worker: int) -> None:
    for number in range(3):
        judgement = judged(GOOD, docs_dir=docs_dir, batch_id=10 * worker + number)
        if not judgement.evidence["docs"]["built"]:
            raise SystemExit(1)


def test_judges_of_several_processes_share_one_site(tmp_path):
    judged(GOOD, docs_dir=tmp_path, batch_id=1)  # the import happens once, before the fork
    workers = [
        multiprocessing.get_context("fork").Process(target=_judge_some, args=(tmp_path, worker)) for worker in (1, 2, 3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    runs = {link.split("/")[2] for link in links(tmp_path)}
    assert runs == {f"{JOB}#{batch_id}" for batch_id in (1, 10, 11, 12, 20, 21, 22, 30, 31, 32)}
    assert all((tmp_path / link).is_file() for link in links(tmp_path))


# --- manners


def test_a_dag_parse_imports_neither_great_expectations_nor_pandas():
    program = (
        "import sys, syncline.adapters.expectations;print(sorted({'great_expectations', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_judge_prints_and_logs_nothing_and_writes_only_below_its_folder(tmp_path):
    """In a process of its own: what Great Expectations says at import counts too."""
    program = (
        "import os, sys, pandas as pd; from pathlib import Path;"
        "from syncline.adapters.expectations import BALANCE, KEYS, judge;"
        "rows = [('t1', 5, 0, 4), ('*', 5, 0, 4)];"
        "counts = pd.DataFrame(rows, columns=['tenant_id', 'source_rows', 'excused_rows', 'target_rows']);"
        "counts = counts.assign(**dict.fromkeys((*KEYS, *BALANCE), 0));"
        "judgement = judge(counts, job_id='j', batch_id=1, limits={'mismatch_ratio_max': 0.0},"
        " suite_path=Path(sys.argv[1]), docs_dir=Path('docs'));"
        "assert judgement.verdict == 'mismatched', judgement;"
        "assert os.environ['GX_ANALYTICS_ENABLED'] == 'false'"
    )
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, str(SUITE)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HOME": str(home), "PYTHONPATH": str(Path(judging.__file__).parents[2])},
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "home"]


def test_great_expectations_logs_no_tracebacks_of_the_table(caplog, tmp_path):
    path = suite_with(tmp_path, WITHIN_LIMIT, rule(column="no_such_column", min_value=0))
    with caplog.at_level(logging.DEBUG):
        judged(GOOD, suite_path=path)

    assert [record for record in caplog.records if record.name.startswith("great_expectations")] == []


def test_two_thousand_tenants_are_judged_and_shown_in_under_three_seconds(tmp_path):
    counts = counted(*((f"t{number:04d}", 50, 1, 49) for number in range(2_000)))
    judged(GOOD)  # the import is paid once per process
    started = time.monotonic()

    assert judged(counts, docs_dir=tmp_path).verdict is Verdict.MATCHED

    assert time.monotonic() - started < 3.0


def test_the_suite_file_is_great_expectations_own_format(tmp_path):
    """So that it can be opened, edited and shown with its own tools."""
    import great_expectations as gx

    rules = json.loads(SUITE.read_text())
    suite = gx.ExpectationSuite(**rules)

    assert rules["name"] == SUITE.stem
    assert len(suite.expectations) == len(rules["expectations"])
    assert all(each.description and each.meta == {"control": "SYNC-005"} for each in suite.expectations)
    assert set(suite.suite_parameter_options) == {"mismatch_ratio_max"}
