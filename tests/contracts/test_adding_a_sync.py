"""The walk of docs/adding_a_sync.md, every command of it, on a foreign database; and what stands there afterwards.

It is walked in a copy of this checkout with all its jobs, as who follows the guide would.

Needs Chinook_PostgreSql.sql (github.com/lerocha/chinook-database) beside the checkout, or where SYNCLINE_TEST_CHINOOK says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import ROOT

GUIDE = ROOT / "docs" / "adding_a_sync.md"
CHINOOK = Path(os.environ.get("SYNCLINE_TEST_CHINOOK") or ROOT.parent / "shared/data/chinook/Chinook_PostgreSql.sql")
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The first block needs a machine of its own: `make bootstrap` was run to get here, the sandbox is the fixture below.
FIRST = re.compile(r"^(make bootstrap|\.venv/bin/python -m demo\.sandbox .*|\. var/sandbox/env\.sh)$")
EXPECTED_EXIT = {"diff-mapping": 1}  # it found a difference, as the guide says
START_WAIT_S = 120

pytestmark = pytest.mark.skipif(
    not CHINOOK.is_file(), reason=f"there is no {CHINOOK.name}: see this module's first lines"
)


def commands() -> list[str]:
    return [line for block in SHELL.findall(GUIDE.read_text()) for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's folder to write into: its own include/ and docs/, everything else linked."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".venv", "demo", "examples"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("include", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / CHINOOK.name).symlink_to(CHINOOK)
    return folder


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    """Inside the checkout: started by root, the server runs as another account, which temporary folders keep out."""
    folder = ROOT / "var" / "test" / f"guide-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def sandbox(place: Path, var: Path) -> Iterator[dict[str, str]]:
    """The environment that the sandbox of the guide's own command prints."""
    (command,) = [line for line in commands() if "demo.sandbox" in line]
    with (place / "sandbox.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command.split()[1:]], cwd=place, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SYNCLINE_VAR": str(var)},
        )  # fmt: skip
    try:
        _wait_for(place / "sandbox.log", process)
        told = (var / "sandbox" / "env.sh").read_text()
        named = dict(re.findall(r"^export (\w+)=(.*)$", told, re.MULTILINE))
        yield {**os.environ, **named, "SYNCLINE_HOME": str(place), "SYNCLINE_VAR": str(var)}
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WAIT_S
    while "The sandbox is up" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def walked(place: Path, sandbox: dict[str, str]) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every command of the guide, in order; what each said. Some stand in it twice: the last counts."""
    said = {}
    for command in commands():
        if FIRST.match(command):
            continue
        done = subprocess.run(
            command, shell=True, cwd=place, env=sandbox, capture_output=True, text=True, timeout=120, check=False
        )
        expected = next((code for word, code in EXPECTED_EXIT.items() if word in command), 0)
        assert done.returncode == expected, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        said[command] = done
        said.update(_looked_at(command, place, sandbox))
    return said


# What is true only between two commands of the walk: after which one, what is asked, how that ends.
LOOKS = (
    ("syncline new", "check", ".venv/bin/syncline check", 1),
    ("syncline new", "show", "cat include/mappings/chinook__invoicing__customer.yaml", 0),
    ("yaml.bak", "check", ".venv/bin/syncline check", 0),
    (
        "yaml.bak",
        "compare",
        "diff -r examples/chinook/include/mappings include/mappings | grep -v '^Only in include'",
        1,
    ),
    ("syncline generate", "check", ".venv/bin/syncline generate --check", 0),
)


def _looked_at(command: str, place: Path, sandbox: dict[str, str]) -> dict[str, subprocess.CompletedProcess[str]]:
    said = {}
    for after, called, look, expected in LOOKS:
        if after in command and "diff-mapping" not in command and "sed" not in command:
            done = subprocess.run(
                look, shell=True, cwd=place, env=sandbox, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == expected, f"{command}, then {look}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            said[f"{after}, then {called}"] = done
    return said


def query(uri: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(uri) as session:
        return session.execute(statement.encode()).fetchall()


def test_every_command_of_the_guide_works(walked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    assert len(walked) > 15


def test_the_draft_asks_and_check_says_what_is_open(
    walked: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    (made,) = [done for command, done in walked.items() if command.startswith(".venv/bin/syncline new")]
    checked = walked["syncline new, then check"]

    assert checked.returncode == 1
    for open_key in ("criticality", "team", "oncall", "business", "tenancy", "latency_p50_s_max"):
        assert f"'{open_key}'" in checked.stdout
    asked = re.findall(r"(include/\S+\.yaml:\d+): ", made.stdout)
    assert len(asked) > 5
    for place in asked:
        assert re.search(rf"^{re.escape(place)}:\d+: M24 ", checked.stdout, re.MULTILINE), place


def test_the_guide_shows_what_the_draft_says(walked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    made = walked["syncline new, then show"].stdout
    shown = GUIDE.read_text().split("what would be rejected:\n\n```yaml\n")[1].split("```")[0]

    assert shown in made


@pytest.mark.usefixtures("walked")
def test_after_the_last_step_nothing_of_the_walk_is_left(place: Path) -> None:
    for name in ("include", "docs"):
        assert files_of(place / name) == files_of(ROOT / name)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_the_runs_said(walked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    runs = {
        command.split()[2]: done.stdout
        for command, done in walked.items()
        if " run " in command and "--dry" not in command
    }

    assert "59 rows read, 1 rejected" in runs["chinook__invoicing__customer"]
    assert "412 unchanged" in runs["chinook__invoicing__invoice"]  # its second run
    assert all("published, matched" in said for said in runs.values())
    (dry,) = [done.stdout for command, done in walked.items() if "--dry-run" in command]
    assert "would be 58 inserted" in dry


def test_the_copies_hold_what_hand_written_sql_says(
    walked: dict[str, subprocess.CompletedProcess[str]], sandbox: dict[str, str]
) -> None:
    """The mapping said again, by hand; both sides as text in the order of the key."""
    source, admin = sandbox["AIRFLOW_CONN_CHINOOK"], sandbox["SANDBOX_ADMIN_INVOICING"]
    for by_hand, copied in PAIRS:
        assert query(source, by_hand) == query(admin, copied), copied


PAIRS = [
    (
        "select employee_id, first_name || ' ' || last_name, title, lower(email), hire_date::date, reports_to"
        " from employee order by 1",
        "select clerk_no, full_name, job_title, email, hired_on, reports_to from billing.clerk order by 1",
    ),
    (
        "select customer_id, coalesce(company, first_name || ' ' || last_name),"
        "  case country when 'USA' then 'US' when 'United Kingdom' then 'GB' when 'Brazil' then 'BR'"
        "    when 'Canada' then 'CA' when 'France' then 'FR' when 'Germany' then 'DE' else '--' end,"
        "  postal_code, regexp_replace(phone, '[ ()-]', '', 'g'), lower(email),"
        "  (select e.last_name from employee e where e.employee_id = support_rep_id)"
        " from customer where country in ('USA', 'United Kingdom', 'Brazil', 'Canada', 'France', 'Germany') order by 1",
        "select account_no, display_name, country_code, postal_code, phone, invoice_email, account_manager"
        " from billing.account where country_code in ('US', 'GB', 'BR', 'CA', 'FR', 'DE') order by 1",
    ),
    (
        "select invoice_id, customer_id, invoice_date::date, invoice_date::date + 30, billing_city, (total * 100)::bigint, 'USD'"
        " from invoice order by 1",
        "select invoice_no, account_no, issued_on, due_on, bill_to ->> 'city', total_minor, currency"
        " from billing.invoice order by 1",
    ),
    (
        "select l.invoice_line_id, l.invoice_id, t.name, l.quantity, l.unit_price, l.unit_price * l.quantity"
        " from invoice_line l join track t using (track_id) order by 1",
        "select line_no, invoice_no, item, quantity, unit_price, amount from billing.invoice_line order by 1",
    ),
    (
        "select country, customer_id, first_name || ' ' || last_name, email from customer"
        " where country in ('USA', 'Canada', 'Germany') order by 2",
        "select branch, contact_no, full_name, email from billing.contact order by 2",
    ),
]  # fmt: skip
