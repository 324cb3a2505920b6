"""Shows manifests with mistakes as an import error of their own in Airflow, and holds no DAG.

Airflow keeps one import error per file and hides every DAG of a file that has one. So the mistakes are told from this
file, and the healthy DAGs of sync_jobs.py stay (docs/decisions/0005-dags-from-manifests.md).
"""

from airflow.sdk import get_parsing_context

from syncline.adapters.project import root
from syncline.core.errors import ManifestInvalid
from syncline.core.groups import group_names, group_or_explain
from syncline.core.job_files import job_ids
from syncline.orchestration.dag_factory import build_or_explain

HOME = root()

if get_parsing_context().dag_id is None:
    tried = [build_or_explain(HOME, job_id) for job_id in job_ids(HOME)]
    tried += [group_or_explain(HOME, name, member_ids) for name, member_ids in group_names(HOME).items()]
    reports = {str(outcome): None for outcome in tried if isinstance(outcome, ManifestInvalid)}  # each once, in order
    if reports:
        raise ManifestInvalid("\n".join(reports))
