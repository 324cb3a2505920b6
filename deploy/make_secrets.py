"""Make the secrets that are ours, once: passwords and keys, one file each, for docker-compose.yaml.

    sudo python3 deploy/make_secrets.py /etc/syncline/secrets [KEY ...]

KEY is the name of a key that mappings give to `keyed_hash` and `tokenise`; it becomes syncline_hash_key_<KEY>. Such a
file is never made anew: another key gives other hashes. Put it in the safe at once, no backup of a database holds it.

A file that is there is kept, so this may be repeated; to make a new one, remove the old one first, with those that
hold the same password (docs/deploying.md, Rotating). Connections are yours: the last lines name the files that are
still missing; once they are written, run it again, and they get their group and mode too. The containers read the
files as members of group 50000; only the folder's owner may change them.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

HASH_KEY = re.compile("(?!.*_file$)[a-z_][a-z0-9_]{0,39}")  # as plugins/syncline/core/transforms/protect.py has it
GROUP = 50_000  # of all our containers; see `user` and `group_add` in docker-compose.yaml
OPTIONAL = (  # empty: not set
    "SYNCLINE_ALERT_WEBHOOK",
    "SYNCLINE_ALERT_TOKEN",
    "SYNCLINE_ALERT_SMTP",
    "SYNCLINE_ALERT_SMTP_PASSWORD",
    "SYNCLINE_ALERT_MAIL_FROM",
    "SYNCLINE_ALERT_MAIL_TO",
    "SYNCLINE_PAYLOAD_KEYS_OLD",
)
YOURS = {
    "AIRFLOW_CONN_MDM": "the hub, login syncline_reader",
    "AIRFLOW_CONN_PAYROLL": "payroll, login syncline_loader",
    "AIRFLOW_CONN_BILLING": "billing, login syncline_loader",
    "AIRFLOW_CONN_WAREHOUSE": "the warehouse, login syncline_loader",
    "AIRFLOW_CONN_LEDGER": "the warehouse, the login that owns schema ledger",
    "AIRFLOW_CONN_DBT": "the warehouse, the login that builds published tables",
}


def password() -> str:
    return secrets.token_urlsafe(24)  # of letters that need no quoting in a URI


def key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


def main(folder: Path, hash_keys: list[str]) -> None:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    _hand_over(folder, 0o750)
    for name in ("airflow_fernet", "airflow_api", "airflow_jwt", "syncline_payload_key"):
        keep(folder / name, key)
    for name in hash_keys:
        keep(folder / f"syncline_hash_key_{name}", key)
    keep(folder / "airflow_admin_password", password)

    keep(folder / "postgres_password", password)
    ours = (folder / "postgres_password").read_text()
    keep(folder / "airflow_database", lambda: f"postgresql+psycopg2://airflow:{ours}@postgres:5432/airflow")

    # Redis is told the hash alone. Who does not log in may only ask whether it lives.
    queue = password()
    both = (folder / "celery_redis", folder / "redis_users")
    if not all(path.exists() for path in both):
        digest = hashlib.sha256(queue.encode()).hexdigest()
        for path in both:
            path.unlink(missing_ok=True)
        keep(both[0], lambda: f"redis://airflow:{queue}@redis:6379/0")
        keep(both[1], lambda: f"user default on nopass -@all +ping\nuser airflow on #{digest} ~* &* +@all -@admin\n")

    for name in OPTIONAL:
        keep(folder / name, str)
    for name, whose in YOURS.items():
        if (folder / name).exists():
            _hand_over(folder / name, 0o440)
        else:
            print(f"still missing: {folder / name}, a postgresql:// URI: {whose}")


def keep(path: Path, make: Callable[[], str]) -> None:
    """Write a secret that is not there yet, whole or not at all, and never open to others."""
    if not path.exists():
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(make())
        unfinished.replace(path)
        print(f"made {path}")
    _hand_over(path, 0o440)


def _hand_over(path: Path, mode: int) -> None:
    """To the group of the containers; without root the files stay readable for their owner only."""
    try:
        os.chown(path, -1, GROUP)
    except PermissionError:
        print(f"{path}: not given to group {GROUP}, which takes root: the containers cannot read it", file=sys.stderr)
        mode &= 0o700
    path.chmod(mode)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER [KEY ...]")
    if wrong := [name for name in sys.argv[2:] if not HASH_KEY.fullmatch(name)]:
        sys.exit(f"no names of keys: {', '.join(wrong)}; a-z, 0-9 and _, at most 40, not ending in _file")
    main(Path(sys.argv[1]), sys.argv[2:])
