"""The arithmetic of the benchmarks: a wrong ratio would be believed for years."""

import pytest

from benchmarks._ratios import medians, ratios


def test_medians_are_taken_per_measure_over_the_rounds_that_have_it():
    assert medians([{"limit": 8.0, "sling": 40.0}, {"limit": 10.0}]) == {"limit": 9.0, "sling": 40.0}


def test_steps_are_compared_with_the_limit_and_peers_with_our_whole_run():
    figures = ratios(
        {
            "limit": 10.0, "extract_and_map": 12.0, "first_load": 18.0, "syncline_run": 20.0,
            "sling": 50.0, "dlt": 90.0, "worker_rss_mb": 261.5,
        }
    )  # fmt: skip

    assert figures == {
        "extract_map_x": 1.2,
        "first_load_x": 1.8,
        "sling_x": 2.5,
        "dlt_x": 4.5,
        "worker_rss_mb": 261.5,
    }


@pytest.mark.parametrize("missing", ["sling", "dlt"])
def test_what_was_not_measured_is_null_and_never_a_number(missing):
    seconds = {"limit": 1.0, "syncline_run": 1.0, "sling": 1.0, "dlt": 1.0}
    del seconds[missing]

    assert ratios(seconds)[f"{missing}_x"] is None
