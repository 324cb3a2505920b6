# Airflow with Syncline: one image for every part of docker-compose.yaml, and for Kubernetes.
# The versions are those of requirements.txt; nothing comes from Debian's archive, so nothing is there to be upgraded.
FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3 AS base
ENV AIRFLOW_HOME=/tmp/airflow \
    PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SYNCLINE_HOME=/opt/syncline \
    SYNCLINE_VAR=/var/lib/syncline

FROM base AS build
RUN python -m venv /opt/venv
COPY deploy/requirements-image.txt /tmp/
RUN pip install --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --only-binary :all: \
        -r /tmp/requirements-image.txt \
    && pip check --disable-pip-version-check
WORKDIR /opt/syncline
COPY . .
# Editable: Airflow reads plugins/ as well, and the code has one home. Versions that do not go together, and broken
# manifests, make no image.
RUN pip install --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation --editable . \
    && chmod -R a+rX,go-w . && chmod 0755 deploy/*.sh \
    && python -m compileall -q dags plugins \
    && python -c "import airflow.providers.celery.executors.celery_executor, syncline.steps" \
    && syncline check \
    && DBT_SEND_ANONYMOUS_USAGE_STATS=false DBT_TARGET_PATH=/opt/syncline/built/dbt DBT_LOG_PATH=/tmp/dbt \
       dbt parse --no-partial-parse --project-dir dbt_project --profiles-dir dbt_project \
    && rm -rf built/dbt/partial_parse.msgpack /tmp/airflow

FROM base
# The folders that volumes are laid over: a new volume takes its owner from here.
RUN groupadd --gid 50000 syncline \
    && useradd --uid 50000 --gid 50000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin syncline \
    && install -d -o syncline -g syncline -m 0750 /var/lib/syncline /var/log/airflow \
    && ln -s /opt/syncline/built/dbt /var/lib/syncline/dbt
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/syncline /opt/syncline
USER 50000:50000
WORKDIR /opt/syncline
ENTRYPOINT ["/opt/syncline/deploy/with_secrets.sh"]
CMD ["airflow", "version"]
