"""The only place that knows Airflow: manifests become DAGs, a failed task is retried or told to a person.

Nothing here decides what a batch does; that is `syncline.steps`, which runs from a shell just as well. Modules
are imported at every parse of the DAG file, so none of them may touch a database, a Variable or a connection while
it is imported, and the steps (with their drivers) are imported inside the tasks.
"""
