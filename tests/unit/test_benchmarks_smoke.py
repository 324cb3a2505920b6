"""The arithmetic of the benchmarks: a wrong ratio would be believed for years."""

import pytest

from benchmarks import transforms
from benchmarks._ratios import comparison_ratios, medians, ratios
from benchmarks._words import Case
from syncline.core.checking import check_project
from tests.conftest import ROOT


def test_the_project_that_is_timed_has_no_mistakes() -> None:
    assert check_project(ROOT / "benchmarks" / "project")[1] == []


def test_medians_are_taken_per_measure_over_the_rounds_that_have_it():
    assert medians([{"limit": 8.0, "sling": 40.0}, {"limit": 10.0}]) == {"limit": 9.0, "sling": 40.0}


def test_steps_are_compared_with_the_limit_and_peers_with_our_whole_run():
    figures = ratios(
        {
            "limit": 10.0, "extract_and_map": 12.0, "first_load": 18.0, "syncline_run": 20.0,
            "sling": 50.0, "dlt": 90.0, "first_load_rss_mb": 181.5,
            "limit_again": 8.0, "rerun": 9.6, "rerun_run": 11.0, "rerun_rss_mb": 190.25,
            "incremental": 2.0, "incremental_run": 3.0, "incremental_rss_mb": 180.0,
            "key_set": 4.0, "key_set_run": 5.0, "key_set_rss_mb": 190.0,
            "sling_incremental": 15.0, "dlt_incremental": 18.0,
        }
    )  # fmt: skip

    assert figures == {
        "extract_map_x": 1.2,
        "first_load_x": 1.8,
        "sling_x": 2.5,
        "dlt_x": 4.5,
        "rerun_x": 1.2,
        "incremental_x": 0.25,
        "key_set_x": 0.5,
        "sling_incremental_x": 5.0,
        "dlt_incremental_x": 6.0,
        "worker_rss_mb": 190.25,
    }


def test_the_second_run_is_compared_with_the_limit_of_its_own_round():
    """The hub has grown meanwhile, and the machine may be another one an hour later."""
    figures = ratios({"limit": 100.0, "limit_again": 8.0, "rerun": 8.0, "incremental": 2.0})

    assert (figures["rerun_x"], figures["incremental_x"]) == (1.0, 0.25)


@pytest.mark.parametrize(
    "missing", ["sling", "dlt", "rerun", "incremental", "key_set", "sling_incremental", "dlt_incremental"]
)
def test_what_was_not_measured_is_null_and_never_a_number(missing):
    measures = ("limit", "extract_and_map", "first_load", "syncline_run", "sling", "dlt", "limit_again", "rerun",
                "incremental", "key_set", "incremental_run", "sling_incremental", "dlt_incremental", "rerun_rss_mb")  # fmt: skip
    seconds = dict.fromkeys(measures, 1.0)
    del seconds[missing]

    figures = ratios(seconds)

    assert [name for name, figure in figures.items() if figure is None] == [f"{missing}_x"]


COMPARED = {
    "equal_limit": 2.0, "equal_step": 2.5, "equal_command": 4.0, "equal_reladiff": 30.0, "equal_dvt": 80.0,
    "diff100_limit": 2.0, "diff100_step": 3.0, "diff100_command": 5.0, "diff100_reladiff": 36.0, "diff100_dvt": 200.0,
    "equal_rss_mb": 120.0, "diff100_rss_mb": 131.5,
}  # fmt: skip


def test_a_comparison_is_compared_with_the_limit_of_its_case_and_with_the_peers_where_they_are_closest():
    assert comparison_ratios(COMPARED) == {
        "equal_x": 1.25,
        "diff100_x": 1.5,
        "reladiff_x": 7.2,
        "dvt_x": 20.0,
        "rss_mb": 131.5,
    }


@pytest.mark.parametrize("missing", ["equal_reladiff", "diff100_reladiff"])
def test_a_peer_that_was_not_measured_in_both_cases_has_no_ratio(missing):
    figures = comparison_ratios({name: value for name, value in COMPARED.items() if name != missing})

    assert [name for name, figure in figures.items() if figure is None] == ["reladiff_x"]


@pytest.mark.parametrize(
    ("said", "ratio", "disagrees", "measured"),
    [("free", 1.4, False, "free"), ("free", 1.55, False, "light"), ("free", 1.7, True, "light"), ("light", 1.2, True, "free"),
     ("light", 3.9, False, "light"), ("light", 4.3, False, "heavy"), ("light", 5.0, True, "heavy"), ("heavy", 3.0, True, "light"),
     (None, 50.0, False, "heavy")],
)  # fmt: skip
def test_a_cost_is_doubted_only_away_from_its_limits(said, ratio, disagrees, measured):
    case = Case("word", "word", said, ("name",), mapping=None, plain=None, rejected_ratio=0.0)  # type: ignore[arg-type]

    one = transforms.Measured(case, ratio)

    assert (one.disagrees, one.cost) == (disagrees, measured)
