"""`make demo`: the whole line on one machine, with nothing prepared.

    run.py         the story, from top to bottom; what `make demo` starts
    servers.py     PostgreSQL: embedded, or the server that SYNCLINE_DEMO_ADMIN names
    world/         the company whose data are kept in agreement
    airflow.py     real Airflow, and a small client for its REST API
    balance.py     the balance sheet, from the ledger
    processes.py   starting programs so that none outlives the demo (with tether.py)
    settings.py    what can be set from the environment
    vault.py       generated passwords and keys

All of it writes below var/ and nowhere else.
"""
