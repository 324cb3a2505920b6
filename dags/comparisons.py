"""The DAGs that compare every copy with its source: `sync_008` (monthly, to be signed) and `sync_compare_daily`.

Wiring only. A manifest with mistakes takes neither away; broken_manifests.py shows it.
"""

from airflow.sdk import get_parsing_context

from syncline.adapters.project import root
from syncline.orchestration.comparison_factory import DAILY_DAG, build_control_dag, build_daily_dag, known
from syncline.orchestration.comparison_operators import CONTROL_DAG

context = get_parsing_context()
found = known(root(), context.task_id)

for dag_id, build in ((CONTROL_DAG, build_control_dag), (DAILY_DAG, build_daily_dag)):
    if context.dag_id in (None, dag_id):
        globals()[dag_id] = build(found)
