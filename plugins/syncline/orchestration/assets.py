"""What downstream DAGs wait for.

The asset of a job is updated when a batch is published and at no other time; that of comparisons whenever some are
done, whatever they found.
"""

from __future__ import annotations

from airflow.sdk import Asset


def job_asset(job_id: str) -> Asset:
    """`sync://<job>`. Airflow ends the URI of an asset with a slash; the name is exact, refer to that."""
    return Asset(f"sync://{job_id}", group="sync")


COMPARISONS = Asset("sync://comparisons", group="sync")
