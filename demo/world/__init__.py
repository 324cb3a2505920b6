"""The demo world: an employer of record with a hub of master data and three consumers.

    provision.py   roles, databases, tables, row security, on any one PostgreSQL server (15 or newer)
    generate.py    fills the hub; the rows come from people.py, rows.py and dirt.py, the sizes from plan.py
    change.py      lets one day pass: about 1 % of the hub changes

Everything follows from a seed: the same seed makes the same bytes, so a number seen once can be asked about
again.
"""
