#!/bin/sh
# Start a program with the connections and alert settings of /run/secrets in its environment.
#
# Airflow reads its own secrets from files (`AIRFLOW__..._CMD`), but a connection only from a variable, and so does the
# `syncline` command. A file is exported under its own name; an empty one counts as not set.
set -eu

for file in /run/secrets/AIRFLOW_CONN_* /run/secrets/SYNCLINE_*; do
    [ -f "$file" ] || continue # no file matches the pattern
    value=$(cat "$file")
    [ -z "$value" ] || export "${file##*/}=$value"
done

# Airflow takes a file literally, with the newline that an editor leaves: better told now than as a failed login.
for file in /run/secrets/airflow_* /run/secrets/celery_redis; do
    if [ -f "$file" ] && [ "$(wc -l <"$file")" -gt 0 ]; then
        echo "$file ends with a newline, which would become a part of the secret: write it with printf '%s'" >&2
        exit 1
    fi
done

# What the image was built with, also where SYNCLINE_VAR is an empty folder of its own.
[ -e "$SYNCLINE_VAR/dbt" ] || ln -s /opt/syncline/built/dbt "$SYNCLINE_VAR/dbt" 2>/dev/null || :

exec "$@"
