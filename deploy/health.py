"""Tell Docker whether one part of Airflow is well: exit code 0 or 1, and a word for `docker inspect`.

`airflow jobs check` and `celery inspect ping` answer the same, but import all of Airflow for it: 4 seconds of a core
each time, for every part. So scheduler, dag-processor and triggerer are judged by their last heartbeat as the API
server tells it, and the worker by an answer to a ping of its own name.

With several schedulers (dag-processors, triggerers) the heartbeat is that of the liveliest.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from pathlib import Path

PORT = 8080
BROKER = Path("/run/secrets/celery_redis")
WAIT_S = 10
PARTS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}


def main(part: str) -> str | None:
    """None if the part is well, else what is wrong."""
    if part == "worker":
        return worker()
    host = "127.0.0.1" if part == "api-server" else "api-server"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between us
    try:
        with opener.open(f"http://{host}:{PORT}/api/v2/monitor/health", timeout=WAIT_S) as answer:
            health = json.load(answer)
    except (OSError, ValueError) as error:
        return f"the API server does not answer: {type(error).__name__}"
    status = health.get(PARTS.get(part, "metadatabase"), {}).get("status")
    return None if status == "healthy" else f"{part} is {status}"


def worker() -> str | None:
    from celery import Celery
    from kombu.exceptions import KombuError

    name = f"celery@{socket.gethostname()}"
    try:
        with Celery(broker=BROKER.read_text().strip()) as app:
            answers = app.control.ping(destination=[name], timeout=WAIT_S, limit=1)
    except (OSError, KombuError) as error:
        return f"the queue does not answer: {type(error).__name__}"
    return None if answers else f"{name} does not answer"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
