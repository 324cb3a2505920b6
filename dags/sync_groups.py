"""One Airflow DAG per group of manifests (`group: <name>`): `sync_group__<name>`.

Wiring only. A group with a member that has mistakes has no DAG; broken_manifests.py shows the mistakes.
"""

from airflow.sdk import get_parsing_context

from syncline.adapters.project import root
from syncline.core.groups import Group, group_names, group_or_explain
from syncline.orchestration.group_factory import build_group_dag, group_dag_id

HOME = root()
wanted = get_parsing_context().dag_id

for name, member_ids in sorted(group_names(HOME).items()):
    if wanted in (None, group_dag_id(name)):
        group = group_or_explain(HOME, name, member_ids)
        if isinstance(group, Group):
            dag = build_group_dag(group)
            globals()[dag.dag_id] = dag
        elif wanted:
            raise group
