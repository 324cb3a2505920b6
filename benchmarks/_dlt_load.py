"""dlt's part: runs in the peers' environment, knows nothing of Syncline."""

import os

import dlt
from dlt.sources.sql_database import sql_table

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
        write_disposition="replace",
    ),
    loader_file_format="parquet",
).raise_on_failed_jobs()
