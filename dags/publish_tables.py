"""Build the published tables (`pub_*`) from what published batches left in the warehouse.

**Runs** when a job that feeds one of the tables has published a batch, when copies were compared (`sync_008`,
`sync_compare_daily`), and hourly at the latest. What arrives while it runs becomes one next run.

**Tasks.** `stg_ledger__batch` notes which batches are published; all other tasks go by that note. Then one task for
each table: it builds the table in one transaction and tests it. Readers see the table before or after, never between.
`pub_reconciliation_history` is such a note too: `pub_drift`, `pub_reconciliation` and its trend go by its comparisons.

**Running it again** is always safe and writes nothing that is there already. Time comes from the run, not from the
clock: a cleared run judges freshness at the moment that it was due. To judge it now, trigger a new run.

**When a task failed**, its table stands as it was, and so do those after it; the other tables are not affected.

- *enforced contract that failed*: a column of the target changed its type or went away. Change the model's contract
  with its readers, or change the target back.
- *published rows are no longer in ...*: the role `syncline_dbt` sees too few rows of the target. Look at its row-level
  policy. If rows were erased on purpose, the message says how to go on.
- *PublicationDoubtful*: the table is built, and a test of it failed. The log names the test; its query is under
  Rendered Templates.

**A batch is held**: nothing to do here. Its rows keep their last good version, marked `unreliable`, until a batch of
the job is published again.
"""

from syncline.orchestration.dbt import build_dag

# Airflow takes a file for a DAG file only if its text names both words.
publish_tables = build_dag(__doc__)
