"""dlt's part: runs in the peers' environment, knows nothing of Syncline.

    _dlt_load.py replace | start | merge

`replace` is a full load. `start` is the same and remembers how far it read, `merge` reads on from there.
"""

import os
import sys

import dlt
from dlt.sources.sql_database import sql_table

how = sys.argv[1]
pipeline = dlt.pipeline(
    "bench", destination=dlt.destinations.postgres(os.environ["BENCH_WAREHOUSE"]), dataset_name="by_dlt"
)
pipeline.run(
    sql_table(
        credentials=os.environ["BENCH_HUB"],
        schema="mdm",
        table="assignment_by_hand",
        backend="connectorx",
        reflection_level="full_with_precision",
        primary_key=("tenant_id", "assignment_no"),
        incremental=None if how == "replace" else dlt.sources.incremental("source_event_at"),
        write_disposition={"disposition": "merge", "strategy": "upsert"} if how == "merge" else "replace",
    ),
    loader_file_format="parquet",
).raise_on_failed_jobs()
