#!/bin/sh
# What an installation needs once and an upgrade again: every step may be repeated.
set -eu

airflow db migrate

python -m syncline.orchestration.pools >/tmp/pools.json
airflow pools import /tmp/pools.json

# The first login. The password goes through standard input: arguments can be read by others. Changed later in Airflow
# itself; where the login exists, this changes nothing.
password=$(cat /run/secrets/airflow_admin_password)
printf '%s\n%s\n' "$password" "$password" |
    airflow users create --username admin --role Admin --email admin@localhost --firstname Syncline --lastname Admin

syncline install-ledger
