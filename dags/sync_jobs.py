"""One Airflow DAG per manifest: `include/manifests/<job>.yaml` becomes the DAG `sync__<job>`.

Wiring only. A manifest with mistakes has no DAG here and does not disturb the others; broken_manifests.py shows it.
"""

from airflow.sdk import DAG, get_parsing_context

from syncline.adapters.project import root
from syncline.core.job_files import job_ids
from syncline.orchestration.dag_factory import build_or_explain, dag_id

HOME = root()
wanted = get_parsing_context().dag_id  # one DAG when a worker asks, None when the folder is scanned

for job_id in job_ids(HOME):  # sorted: a stable order in the UI
    if wanted in (None, dag_id(job_id)):
        dag = build_or_explain(HOME, job_id)
        if isinstance(dag, DAG):
            globals()[dag.dag_id] = dag
        elif wanted:
            raise dag  # a task of a broken manifest: its log says file and line
