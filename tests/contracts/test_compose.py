"""The production form is held against what it must agree with: the native start, the manifests, the documents.

There is no Docker engine where the tests run, so nothing is started here; a schema validator that is not ours judges the
form of the file, and these tests what a schema cannot know.
"""

from __future__ import annotations

import copy
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import airflow as native
from demo.run import _environment
from demo.settings import Settings
from demo.vault import Vault
from deploy.make_secrets import OPTIONAL
from syncline.adapters.hash_keys import from_environment
from syncline.core.checking import check_project
from syncline.orchestration.dbt import TASK_TIMEOUT
from tests.conftest import ROOT

COMPOSE = ROOT / "docker-compose.yaml"
DEPLOYING = (ROOT / "docs" / "deploying.md").read_text()
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text()
FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("syncline:"))
ONE_SHOT = {"init", "syncline"}  # end by themselves; all others must show that they are well
RUN_STEPS = ("worker", "syncline")
ALL = pytest.mark.parametrize("name", sorted(SERVICES))

# Native names that the production form leaves out, and why.
NATIVE_ONLY = {
    "SYNCLINE_DESPITE_WINDOWS": "a demo runs whenever somebody starts it",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "logins are kept by the FAB auth manager",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "likewise",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "likewise",
    "AIRFLOW__SCHEDULER__MP_START_METHOD": "the scheduler forks no tasks; Celery's preload is compared below",
    "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": "likewise",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "the demo is killed more often than a worker",
}
# Names that only the production form has: PostgreSQL's image, the queue, and the limit that the queue sets to tasks.
COMPOSE_ONLY = re.compile(
    r"POSTGRES_(USER|DB|PASSWORD_FILE)|AIRFLOW__CELERY(_BROKER_TRANSPORT_OPTIONS)?__[A-Z_]+"
    r"|AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT"
)
# Values that differ on purpose; folders and addresses are the machine's.
DIFFERENT = re.compile(
    r"AIRFLOW__CORE__(EXECUTOR|AUTH_MANAGER|DAGS_FOLDER|PLUGINS_FOLDER|EXECUTION_API_SERVER_URL)"
    r"|AIRFLOW__API__(HOST|PORT|BASE_URL|INSTANCE_NAME)|AIRFLOW__LOGGING__.*(FOLDER|DIRECTORY)"
    r"|AIRFLOW_HOME|AIRFLOW__COSMOS__CACHE_DIR|SYNCLINE_(HOME|VAR|PAYLOAD_KEY_FILE|SYNC_008_\w+)|TMPDIR|XDG_CACHE_HOME"
)
# Options of the Celery provider, which only the image holds (its get_provider_info.py, 3.26).
OF_CELERY_SENSITIVE = {("celery", "broker_url"), ("celery", "result_backend")}
OF_CELERY = OF_CELERY_SENSITIVE | {
    ("celery", "worker_concurrency"),
    ("celery", "extra_celery_config"),
    ("celery_broker_transport_options", "visibility_timeout"),
}
PINNED = re.compile(r"[a-z]+:\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}")
# What asks a part that is not ours whether it does its work, not only whether it is there.
ASKED = {
    "postgres": ["CMD", "pg_isready", "--host=127.0.0.1", "--username=airflow", "--dbname=airflow"],
    "redis": ["CMD-SHELL", "redis-cli ping | grep -qx PONG"],
}
GROWN = {"API workers": 4, "schedulers": 2}  # what docs/deploying.md promises room for
KEPT_FOR_SUPERUSER, LOOKING_AROUND = 3, 5  # connections; the first is PostgreSQL's superuser_reserved_connections
WITH_VALUE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in SERVICES[name].get("environment", {}).items()}


def plain(name: str) -> str:
    """The option that a variable sets, whether by value or by a command that reads a file."""
    return name.removesuffix("_CMD")


def default(value: str) -> str:
    return WITH_VALUE.sub(lambda found: found[2] or "", value)


def secrets_of(name: str) -> list[str]:
    return SERVICES[name].get("secrets", [])


def all_environment() -> dict[str, str]:
    return {key: value for name in sorted(SERVICES) for key, value in environment(name).items()}


@pytest.fixture(scope="module")
def native_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the native start gives its processes, without starting anything."""
    var = tmp_path_factory.mktemp("var")
    vault = Vault(var / "secrets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {"SYNCLINE_VAR": str(var)})
        uris = dict.fromkeys(("AIRFLOW", *connection_ids()), "postgresql://")
        ours = _environment(Settings.from_environment(), vault, uris)
        shell = {"PATH", "NO_PROXY", "no_proxy", "SYNCLINE_VAR"} - set(ours)
        started = native.Airflow(var, database_uri="postgresql://", port=8080, vault=vault, environment=ours)
    return {"TMPDIR": "", **{key: value for key, value in started.environment.items() if key not in shell}}


def connection_ids() -> set[str]:
    """Every connection that a task opens: those of the manifests, the ledger's and dbt's."""
    manifests = [yaml.safe_load(path.read_text()) for path in (ROOT / "include/manifests").glob("*.yaml")]
    named = {manifest[side]["connection"] for manifest in manifests for side in ("source", "target")}
    return {connection.upper() for connection in named | {"ledger", "dbt"}}


# --- the form ---------------------------------------------------------------------------------------------


def test_the_file_is_what_the_compose_specification_says() -> None:
    validator = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [validator, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_all_parts_of_airflow_and_what_it_stands_on_are_there() -> None:
    commands = {name: " ".join(SERVICES[name].get("command", [])) for name in SERVICES}
    for part in ("api-server", "scheduler", "dag-processor", "triggerer", "celery worker"):
        assert any(f"airflow {part}" in command for command in commands.values()), f"nobody runs `airflow {part}`"
    assert {"postgres", "redis"} <= set(SERVICES)


@ALL
def test_a_service_shows_its_health_or_ends_by_itself(name: str) -> None:
    if name in ONE_SHOT:
        assert "restart" not in SERVICES[name], f"{name} shall end; `restart` would begin it again"
        return
    assert {"interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])
    assert SERVICES[name]["restart"] == "unless-stopped"


def health_faults(file: dict[str, Any]) -> list[str]:
    """Health checks that do not ask whether their own service does its work."""
    found = []
    for name, service in file["services"].items():
        asked = ASKED.get(name, ["CMD", "python", "/opt/syncline/deploy/health.py", name])
        check = service.get("healthcheck", {})
        if name not in ONE_SHOT and (check.get("test") != asked or check.get("disable")):
            found.append(f"{name} asks {check.get('test')}, not {asked}")
    return found


def waiting_faults(file: dict[str, Any]) -> list[str]:
    """Services that wait for what does not exist, or for what does not happen."""
    found = []
    for name, service in file["services"].items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            if other not in file["services"]:
                found.append(f"{name} waits for {other}, which does not exist")
            elif how != {"condition": wanted}:
                found.append(f"{name} waits for {other}: {how}")
    return found


def pool_connections(file: dict[str, Any]) -> int:
    """Connections that one pool of Airflow may hold."""
    said = airflow_config()["database"]["options"]
    size, more = (int(said[f"sql_alchemy_{part}"]["default"]) for part in ("pool_size", "max_overflow"))
    changed = [key for name in file["services"] for key in file["services"][name].get("environment", {})]
    assert not any("SQL_ALCHEMY_POOL" in key or "MAX_OVERFLOW" in key for key in changed), "count with those instead"
    return size + more


def metadata_connections(file: dict[str, Any], *, api_workers: int, schedulers: int) -> int:
    """Connections to Airflow's database: one pool for each part that lasts, two for an API worker."""
    parts = {name for name, service in file["services"].items() if "airflow_database" in service.get("secrets", [])}
    others = parts - ONE_SHOT - {"api-server", "scheduler"}
    return (2 * api_workers + schedulers + len(others)) * pool_connections(file)


def connection_faults(file: dict[str, Any]) -> list[str]:
    """Whether PostgreSQL lets in what docs/deploying.md promises room for."""
    words = " ".join(file["services"]["postgres"]["command"])
    allowed = int(re.findall(r"max_connections=(\d+)", words)[0])
    asked = metadata_connections(file, api_workers=GROWN["API workers"], schedulers=GROWN["schedulers"])
    needed = asked + KEPT_FOR_SUPERUSER + LOOKING_AROUND
    return [f"max_connections={allowed} is below {needed}"] if allowed < needed else []


def queue_faults(file: dict[str, Any]) -> list[str]:
    """Tasks that Redis would take for lost, and hand out again, while they are under way."""
    found = []
    for name, service in file["services"].items():
        said = service.get("environment", {})
        if "AIRFLOW__CELERY__BROKER_URL_CMD" not in said:
            continue
        visible_s = int(said.get("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT", 3600))  # kombu's own
        longest_s = int(said.get("AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT", 0))
        if not 0 < longest_s < visible_s:
            found.append(f"{name}: a task may take {longest_s or 'any number of'} s, Redis waits {visible_s} s")
        if TASK_TIMEOUT.total_seconds() >= visible_s:
            found.append(f"{name}: a dbt task may take {TASK_TIMEOUT}, Redis waits {visible_s} s")
    return found


JUDGES = [health_faults, waiting_faults, connection_faults, queue_faults]


@pytest.mark.parametrize("judge", JUDGES)
def test_the_parts_fit_together(judge: Callable[[dict[str, Any]], list[str]]) -> None:
    assert judge(FILE) == []


@pytest.mark.parametrize(
    ("judge", "path", "value"),
    [
        (waiting_faults, "worker.depends_on.reddis", {"condition": "service_healthy"}),
        (waiting_faults, "worker.depends_on.redis", {"condition": "service_started"}),
        (waiting_faults, "scheduler.depends_on.init", {"condition": "service_healthy"}),
        (health_faults, "postgres.healthcheck.test", ["CMD", "true"]),
        (health_faults, "redis.healthcheck.test", ["CMD-SHELL", "true"]),
        (health_faults, "worker.healthcheck.test", ["CMD", "true", "/opt/syncline/deploy/health.py", "worker"]),
        (health_faults, "scheduler.healthcheck.test", ["CMD", "python", "/opt/syncline/deploy/health.py", "worker"]),
        (health_faults, "triggerer.healthcheck", {"disable": True}),
        (connection_faults, "postgres.command", ["postgres", "-c", "max_connections=20"]),
        (connection_faults, "postgres.command", ["postgres", "-c", "max_connections=150"]),
        (queue_faults, "worker.environment.AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT", "600"),
        (queue_faults, "worker.environment.AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT", "82800"),
        (queue_faults, "worker.environment.AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT", "0"),
        (queue_faults, "scheduler.environment.AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT", "172800"),
    ],
)  # fmt: skip
def test_a_spoilt_file_is_noticed(judge: Callable[[dict[str, Any]], list[str]], path: str, value: object) -> None:
    spoilt = copy.deepcopy(FILE)
    *way, last = path.split(".")
    at = spoilt["services"]
    for part in way:
        at = at[part]
    at[last] = value

    assert judge(spoilt), f"{path}: {value} went unnoticed"


def test_the_document_counts_connections_and_seconds_as_the_file_does() -> None:
    as_it_is = metadata_connections(FILE, api_workers=1, schedulers=1)
    grown = metadata_connections(FILE, api_workers=GROWN["API workers"], schedulers=GROWN["schedulers"])
    assert re.search(rf"as the file is: .*= +{as_it_is}\b", DEPLOYING)
    assert re.search(rf"grown: +{GROWN['API workers']} API .* {GROWN['schedulers']} sched.*= +{grown}\b", DEPLOYING)
    assert f"{default(SERVICES['postgres']['command'][2])}` of the file" in DEPLOYING
    seconds = int(environment("worker")["AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT"])
    assert f"after {seconds:,} seconds, {seconds // 3600} hours" in DEPLOYING
    visible_s = int(environment("worker")["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"])
    assert f"after `visibility_timeout`, {visible_s // 3600} hours" in " ".join(DEPLOYING.split())


# --- images and rights ------------------------------------------------------------------------------------


@ALL
def test_an_image_is_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    if name not in OURS:
        assert PINNED.fullmatch(image), f"{image}: name an exact version and its digest"
        return
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image == f"syncline:{version}"
    assert SERVICES[name]["pull_policy"] == "never", "another one's image of that name would be taken"


def test_the_image_is_built_on_a_pinned_one_and_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    stages = {line.split()[3] for line in lines if line.startswith("FROM ") and " AS " in line}
    assert [base for base in bases if base not in stages and not PINNED.fullmatch(base)] == []
    last_user = [line.split()[1] for line in lines if line.startswith("USER ")][-1]
    assert {last_user} == {SERVICES[name]["user"] for name in OURS}
    assert not any("latest" in line for line in lines)


@ALL
def test_a_service_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), f"{name} runs as {service['user']}"
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged")
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"], "a log without a limit fills the disk"


@ALL
def test_a_port_listens_on_loopback_unless_told_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert default(port).startswith("127.0.0.1:"), f"{name} is open to the network at {port}"
        assert "SYNCLINE_AIRFLOW_HOST" in port


def test_databases_and_queue_have_no_way_out() -> None:
    assert FILE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]


@ALL
def test_what_is_mounted_is_a_volume_never_the_machine(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        assert volume.split(":")[0] in FILE["volumes"], f"{name} mounts {volume}"


# --- secrets ----------------------------------------------------------------------------------------------


@ALL
def test_no_secret_stands_in_the_file(name: str) -> None:
    for key, value in environment(name).items():
        if key.endswith("_CMD") or key.endswith("_FILE"):
            secret = re.fullmatch(r"(?:cat )?/run/secrets/(\w+)", value)
            assert secret, f"{key} shall read a secret file, not {value!r}"
            assert secret[1] in secrets_of(name), f"{name} reads {secret[1]} and does not get it"
        else:
            assert not re.search(r"PASSWORD|SECRET|TOKEN|FERNET|CONN_|BROKER_URL|RESULT_BACKEND|PAYLOAD_KEY", key), key
            assert not re.search(r"://[^/\s]*:[^/\s]*@", value), f"{key} holds a URI with a password"
    words = " ".join(map(str, SERVICES[name].get("command", [])))
    assert not re.search(r"requirepass|password=|://", words), f"{name}: a secret in arguments can be read by others"


@ALL
def test_a_service_gets_no_secret_that_it_does_not_read(name: str) -> None:
    words = [*environment(name).values(), *map(str, SERVICES[name].get("command", []))]
    text = " ".join(words) + ((ROOT / "deploy" / "init.sh").read_text() if name == "init" else "")
    read = set(re.findall(r"/run/secrets/(\w+)", text))
    assert {secret for secret in secrets_of(name) if secret.islower()} == read


def test_every_secret_is_a_file_that_is_used_documented_and_made_or_asked_for() -> None:
    folder = "${SYNCLINE_SECRETS:-/etc/syncline/secrets}"
    declared = FILE["secrets"]
    assert declared == {name: {"file": f"{folder}/{name}"} for name in declared}
    assert {secret for name in SERVICES for secret in secrets_of(name)} == set(declared)
    undocumented = sorted(name for name in declared if f"`{name}`" not in DEPLOYING)
    assert not undocumented, f"docs/deploying.md does not say what these are: {undocumented}"


def test_the_script_makes_the_secrets_that_are_ours_and_asks_for_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script = [sys.executable, "-S", ROOT / "deploy" / "make_secrets.py", folder]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    made = {path.name: path.read_text() for path in folder.iterdir()}
    asked = set(re.findall(r"still missing: \S+/(\w+),", said))
    assert made.keys() | asked == set(FILE["secrets"])
    assert asked == {f"AIRFLOW_CONN_{connection}" for connection in connection_ids()}

    assert made["postgres_password"] in made["airflow_database"]
    assert made["celery_redis"].split(":")[2].split("@")[0] not in made["redis_users"], "Redis needs the hash only"
    assert all("\n" not in text for name, text in made.items() if name != "redis_users")
    assert all(not stat.S_IMODE((folder / name).stat().st_mode) & 0o337 for name in made), "others may read or write"
    assert not {text for text in made.values() if text} & set(said.split()), "a secret was printed"

    subprocess.run(script, capture_output=True, check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made, "a second call must change nothing"


def hash_key_faults(file: dict[str, Any], keys: set[str]) -> list[str]:
    """Keys of `keyed_hash` and `tokenise` that who runs steps does not get, or gets for nothing."""
    found = []
    wanted = {f"SYNCLINE_HASH_KEY_{key.upper()}_FILE": f"syncline_hash_key_{key}" for key in keys}
    for name in RUN_STEPS:
        service = file["services"][name]
        said = {key: value for key, value in service["environment"].items() if key.startswith("SYNCLINE_HASH_KEY_")}
        if said != {variable: f"/run/secrets/{secret}" for variable, secret in wanted.items()}:
            found.append(f"{name}: mappings name the keys {sorted(keys)}, it has {sorted(said)}")
        given = {secret for secret in service["secrets"] if secret.startswith("syncline_hash_key_")}
        if given != set(wanted.values()) or not given <= set(file["secrets"]):
            found.append(f"{name} gets {sorted(given)}")
    return found


def test_every_hash_key_that_a_mapping_names_is_a_secret() -> None:
    named: set[str] = set().union(*(job.mapping.keys for job in check_project(ROOT)[0]))
    assert hash_key_faults(FILE, named) == []
    assert len(hash_key_faults(FILE, named | {"another"})) == 2 * len(RUN_STEPS)


def test_a_hash_key_is_added_by_the_lines_that_the_file_shows_and_the_script_makes_it(tmp_path: Path) -> None:
    text, lines = re.subn(
        r"(?m)^( +)# (- )?((?:SYNCLINE|syncline)_(?:HASH_KEY|hash_key)_)", r"\1\2\3", COMPOSE.read_text()
    )
    assert lines == 4
    assert hash_key_faults(yaml.safe_load(text), {"people"}) == []

    script = [sys.executable, "-S", ROOT / "deploy" / "make_secrets.py", tmp_path]
    subprocess.run([*script, "people"], capture_output=True, check=True)
    made = (tmp_path / "syncline_hash_key_people").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCLINE_HASH_KEY_PEOPLE_FILE", str(tmp_path / "syncline_hash_key_people"))
        assert len(from_environment(["people"]).keys["people"]) == 32
    subprocess.run([*script, "people", "accounts"], capture_output=True, check=True)
    assert (tmp_path / "syncline_hash_key_people").read_text() == made
    assert (tmp_path / "syncline_hash_key_accounts").exists()


@pytest.mark.parametrize("name", ["People", "../people", "a_file", "x" * 41])
def test_the_script_makes_no_key_that_no_mapping_can_name(tmp_path: Path, name: str) -> None:
    script = [sys.executable, "-S", ROOT / "deploy" / "make_secrets.py", tmp_path / "secrets", name]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, (tmp_path / "secrets").exists()) == (1, False)
    assert "no names of keys" in done.stderr


@pytest.mark.parametrize("name", RUN_STEPS)
def test_who_runs_steps_gets_every_connection_of_the_manifests(name: str) -> None:
    connections = {secret for secret in secrets_of(name) if secret.startswith("AIRFLOW_CONN_")}
    assert connections == {f"AIRFLOW_CONN_{connection}" for connection in connection_ids()}


def test_both_that_run_steps_get_the_same_secrets_but_for_the_queue() -> None:
    worker, syncline = map(set, map(secrets_of, RUN_STEPS))
    assert worker - syncline == {"celery_redis"}
    assert syncline <= worker


def test_a_task_cannot_reach_airflows_own_database() -> None:
    assert not {"airflow_database", "airflow_fernet", "airflow_jwt", "airflow_api"} & set(secrets_of("worker"))


def test_the_entry_script_gives_secrets_their_names_and_refuses_a_newline(tmp_path: Path) -> None:
    run = tmp_path / "secrets"
    run.mkdir()
    script = tmp_path / "with_secrets.sh"
    script.write_text((ROOT / "deploy" / "with_secrets.sh").read_text().replace("/run/secrets", str(run)))
    (run / "AIRFLOW_CONN_MDM").write_text("postgresql://a b$c'd\n")
    (run / "SYNCLINE_ALERT_TOKEN").write_text("")
    (run / "airflow_fernet").write_text("key")

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", script, "env"], env={"PATH": os.defpath, "SYNCLINE_VAR": str(tmp_path)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    lines = start().stdout.splitlines()
    assert "AIRFLOW_CONN_MDM=postgresql://a b$c'd" in lines
    assert not any(line.startswith(("SYNCLINE_ALERT", "airflow_fernet")) for line in lines)

    (run / "airflow_fernet").write_text("key\n")
    refused = start()
    assert refused.returncode == 1
    assert "airflow_fernet ends with a newline" in refused.stderr


# --- names and values -------------------------------------------------------------------------------------


def test_compose_and_the_native_start_use_the_same_names(native_environment: dict[str, str]) -> None:
    exported = {secret for name in SERVICES for secret in secrets_of(name) if secret.isupper()}
    ours = {plain(key) for key in all_environment()} | exported
    theirs = set(native_environment)
    assert theirs - ours == set(NATIVE_ONLY), "compose lacks a name of the native start"
    read_from_files = set(OPTIONAL)  # by both
    extra = {key for key in ours - theirs - read_from_files if not COMPOSE_ONLY.fullmatch(key)}
    assert not extra, f"the native start does not know {sorted(extra)}"


def test_compose_and_the_native_start_mean_the_same(native_environment: dict[str, str]) -> None:
    ours = {key: default(value) for key, value in all_environment().items() if not key.endswith("_CMD")}
    same = {key for key in ours.keys() & native_environment.keys() if not DIFFERENT.fullmatch(key)}
    assert len(same) > 10
    assert {key: ours[key] for key in same} == {key: native_environment[key] for key in same}


def test_a_variable_means_the_same_in_every_service() -> None:
    seen: dict[str, set[str]] = {}
    for name in SERVICES:
        for key, value in environment(name).items():
            seen.setdefault(key, set()).add(value)
    assert not {key: values for key, values in seen.items() if len(values) > 1}


def test_workers_import_beforehand_what_native_workers_do() -> None:
    imports = json.loads(environment("worker")["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])["imports"]
    assert imports == [module for module in native.PRELOADED if module != "airflow.executors.local_executor"]


def test_every_variable_is_airflows_or_documented(native_environment: dict[str, str]) -> None:
    options = {(section, option) for section, body in airflow_config().items() for option in body["options"]}
    for key in all_environment():
        section, _, option = plain(key).removeprefix("AIRFLOW__").lower().partition("__")
        if key.startswith("AIRFLOW__"):
            known = (section, option) in options | OF_CELERY or key in native_environment
            assert known, f"Airflow has no option for {key}"
        elif key.startswith("SYNCLINE_"):
            assert f"`{key}`" in SETTINGS_PAGE, f"docs/settings.md does not know {key}"


def test_a_command_is_only_given_for_what_airflow_takes_from_commands() -> None:
    """Airflow ignores `..._CMD` of an option that it does not count as sensitive, without a word."""
    sensitive = {
        (section, option)
        for section, body in airflow_config().items()
        for option, described in body["options"].items()
        if described.get("sensitive")
    } | OF_CELERY_SENSITIVE
    for key in all_environment():
        if key.endswith("_CMD"):
            section, _, option = plain(key).removeprefix("AIRFLOW__").lower().partition("__")
            assert (section, option) in sensitive, f"Airflow would ignore {key}"


def test_every_variable_of_the_shell_is_documented() -> None:
    asked = {found[0] for found in WITH_VALUE.findall(COMPOSE.read_text())}
    missing = sorted(name for name in asked if f"`{name}`" not in DEPLOYING)
    assert not missing, f"docs/deploying.md does not say what these are: {missing}"


# --- the image and the document ---------------------------------------------------------------------------


def test_the_image_holds_the_line_in_the_versions_of_the_lock() -> None:
    sections = {path: sections_of(path) for path in ("requirements.in", "deploy/requirements-image.in")}
    assert sections["deploy/requirements-image.in"]["the line"] == sections["requirements.in"]["the line"]
    tested, image = (pins(path) for path in ("requirements.txt", "deploy/requirements-image.txt"))
    assert {name: version for name, version in image.items() if name in tested} == {
        name: version for name, version in tested.items() if name in image
    }, "lock the image's requirements anew: the command stands in the head of deploy/requirements-image.txt"
    wanted = {
        re.split(r"[\[=<>]", line)[0].lower()
        for lines in sections["deploy/requirements-image.in"].values()
        for line in lines
    }
    assert wanted <= set(image)


def test_the_lock_of_the_image_has_a_hash_for_every_package() -> None:
    text = (ROOT / "deploy" / "requirements-image.txt").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) >= len(pins("deploy/requirements-image.txt")) > 100
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_what_the_image_copies_is_let_through_to_the_builder_and_nothing_secret_is() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "everything is kept from the builder unless it is named"
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in let_through)
    assert not let_through & {"var", ".git", ".venv", "demo", "tests", "."}
    assert {"dags", "dbt_project", "deploy", "include", "plugins", "pyproject.toml"} == let_through


@pytest.mark.parametrize("script", ["with_secrets.sh", "init.sh"])
def test_a_script_of_the_image_can_be_executed(script: str) -> None:
    path = ROOT / "deploy" / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0


def test_the_document_names_what_exists() -> None:
    lines = re.findall(r"^\$ (.*)$", DEPLOYING, re.MULTILINE)
    assert len(lines) > 5
    verbs = {"build", "up", "ps", "run", "stop"}
    for line in lines:
        words = [word for word in line.split() if not word.startswith("-")]
        if words[:2] == ["docker", "compose"]:
            assert words[2] in verbs, line
            services = words[3:4] if words[2] == "run" else words[3:]
            assert set(services) <= set(SERVICES), f"no such service: {line}"
        for path in re.findall(r"deploy/\S+", line):
            assert (ROOT / path).exists(), line
    told = set(re.findall(r"`(deploy/[\w./-]+)`", DEPLOYING))
    assert told
    assert all((ROOT / path).exists() for path in told)


def test_the_changelog_has_the_section_that_upgrading_begins_with() -> None:
    (section,) = re.findall(r'Read "([^"]+)" in `CHANGELOG.md`', DEPLOYING)
    unreleased = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    assert re.findall(r"^### (.*)$", unreleased, re.MULTILINE)[0] == section, "it comes first"


@cache
def airflow_config() -> dict[str, Any]:
    path = distribution("apache-airflow-core").locate_file("airflow/config_templates/config.yml")
    config: dict[str, Any] = yaml.safe_load(Path(str(path)).read_text())
    return config


def sections_of(path: str) -> dict[str, list[str]]:
    """The requirements below each heading; a heading is a comment after an empty line."""
    sections: dict[str, list[str]] = {}
    for paragraph in (ROOT / path).read_text().split("\n\n")[1:]:
        heading, *lines = paragraph.strip().splitlines()
        sections[heading.removeprefix("# ")] = [line for line in lines if not line.startswith("#")]
    return sections


def pins(path: str) -> dict[str, set[str]]:
    """Each package with its version; with several where Python versions differ."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[^]]+\])?==(\S+)", (ROOT / path).read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found
