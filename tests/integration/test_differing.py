"""`syncline diff-mapping`: what a change of a mapping does to real rows, before anybody runs it."""

from __future__ import annotations

import json
import subprocess
from copy import deepcopy
from typing import Any

import pytest
import yaml

from syncline.core.errors import ManifestInvalid, TerminalError
from syncline.steps import differing, sampling
from syncline.steps.differing import ChangedField, ChangedRow, MappingDifference
from syncline.steps.sampling import MASK
from tests.integration.conftest import JOB, Lab


def other_mapping(lab: Lab, **fields: Any) -> None:
    """A second mapping beside the job's; a field given as None is left out."""
    _ = lab.job
    mapping = deepcopy(lab.mapping)
    mapping["fields"].update({name: field for name, field in fields.items() if field is not None})
    for dropped in [name for name, field in fields.items() if field is None]:
        del mapping["fields"][dropped]
    path = lab.folder / "include" / "mappings" / "other.yaml"
    path.write_text(yaml.safe_dump(mapping, sort_keys=False))


def diff(lab: Lab, before: str = JOB, after: str = "other", **how: Any) -> MappingDifference:
    _ = lab.job
    asked: dict[str, Any] = {"job_id": None, "sample_rows": 1_000, "shown_rows": 20, "unmask": False, **how}
    return differing.diff_mappings(lab.folder, before, after, **asked)


def test_only_rows_that_come_out_differently_are_shown(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": "Ann"}, {"person_id": "p2", "name": " "}, {"person_id": "p3", "name": "bob"})
    other_mapping(lab, born={"from": "born", "type": "text"})
    same = diff(lab)
    assert (same.retyped, same.changed_rows, same.sampled_rows) == ({"born": ("date", "text")}, 0, 3)

    lab.mapping["fields"]["name"]["steps"] = ["trim", "upper"]
    changed = diff(lab, before="other", after=JOB)

    assert changed.changed_rows == 2
    assert changed.rows == [
        ChangedRow({"tenant_id": "t1", "person_id": "p1"}, [ChangedField("name", "Ann", "ANN")], [], []),
        ChangedRow({"tenant_id": "t1", "person_id": "p3"}, [ChangedField("name", "bob", "BOB")], [], []),
    ]


def test_a_row_that_would_be_rejected_is_a_difference(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "born": "1990-02-30"}, {"person_id": "p2", "born": "1990-02-28"})
    other_mapping(lab, born={"from": "born", "type": "text"}, name={"from": "name", "type": "text"})

    (row,) = [row for row in diff(lab).rows if row.errors_before != row.errors_after]

    assert (row.key["person_id"], row.errors_before, row.errors_after) == ("p1", ["born:parse_date"], [])


def test_what_only_one_mapping_has_is_told_once(lab: Lab) -> None:
    lab.hub({"person_id": "p1"}, {"person_id": "p2"})
    other_mapping(lab, born=None, birth_text={"from": "born", "type": "text", "pii": "none"})

    found = diff(lab)

    assert (found.added, found.removed, found.changed_rows) == (["birth_text"], ["born"], 0)
    assert not found.is_empty


def test_personal_data_is_masked(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": "Ann"})
    other_mapping(lab, name={"from": "name", "type": "text", "steps": ["upper"], "pii": "name"})

    assert diff(lab).rows[0].fields == [ChangedField("name", MASK, MASK)]
    assert diff(lab, unmask=True).rows[0].fields == [ChangedField("name", "Ann", "ANN")]


def test_a_sample_is_taken_in_portions_and_counted_whole(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "ROWS_AT_ONCE", 7)
    lab.hub(*({"person_id": f"p{n:02}", "name": "x" if n % 2 else "z"} for n in range(20)))
    other_mapping(lab, name={"from": "name", "type": "text", "steps": [{"map": {"x": "X", "z": "z"}}]})

    found = diff(lab, shown_rows=3)

    assert (found.sampled_rows, found.changed_rows, len(found.rows)) == (20, 10, 3)
    assert [row.key["person_id"] for row in found.rows] == ["p01", "p03", "p05"]


def test_two_git_revisions(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": "Ann"})

    def git(*words: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(lab.folder), *identity, *words], check=True, capture_output=True)

    _ = lab.job
    git("init", "-q")
    git("add", "include")
    git("commit", "-qm", "one")
    lab.mapping["fields"]["name"]["steps"] = ["upper"]
    _ = lab.job
    git("commit", "-qam", "two")
    lab.mapping["fields"]["name"]["steps"] = ["lower"]
    _ = lab.job

    revisions = diff(lab, f"HEAD~1:{JOB}", f"HEAD:{JOB}")
    assert revisions.rows[0].fields == [ChangedField("name", "Ann", "ANN")]
    assert diff(lab, f"HEAD:{JOB}", JOB).rows[0].fields == [ChangedField("name", "ANN", "ann")]
    for wrong in ("nowhere", "--output=x", "HEAD~99", "a b"):
        with pytest.raises(TerminalError, match="revision"):
            diff(lab, f"{wrong}:{JOB}", JOB)


def test_mistakes_are_sentences(lab: Lab) -> None:
    other_mapping(lab)
    with pytest.raises(TerminalError, match="no mapping 'othr'.*Did you mean 'other'"):
        diff(lab, JOB, "othr")
    with pytest.raises(TerminalError, match="--sample is 1 to"):
        diff(lab, sample_rows=0)
    with pytest.raises(TerminalError, match="say --job.*none"):
        diff(lab, "other", "other")
    (lab.folder / "include" / "mappings" / "other.yaml").write_text("version: 1.0.0\n")
    with pytest.raises(ManifestInvalid, match="other has mistakes"):
        diff(lab)


def test_the_command(lab: Lab) -> None:
    lab.hub({"person_id": "p1", "name": "Ann"}, {"person_id": "p2", "name": "BOB"})
    other_mapping(lab, name={"from": "name", "type": "text", "steps": ["upper"]})

    told = lab.shell("diff-mapping", JOB, "other")
    assert told.returncode == 1
    assert "person_id = p1" in told.stdout
    assert "ANN" in told.stdout
    assert "1 of 2 sampled rows differ" in told.stderr

    as_json = json.loads(
        lab.shell("diff-mapping", JOB, str(lab.folder / "include/mappings/other.yaml"), "--json").stdout
    )
    assert as_json["rows"][0]["fields"] == [{"name": "name", "before": "Ann", "after": "ANN"}]
    assert lab.shell("diff-mapping", JOB, JOB).returncode == 0
