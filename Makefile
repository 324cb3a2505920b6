# Two commands matter: `make demo` and `make test`. Everything they need goes to .venv/ and var/.

PYTHON ?= python3
unexport PYTHONPATH
export AIRFLOW_HOME ?= $(CURDIR)/var/airflow-tools
# Temporary files stay in the checkout as well, unless that makes the names of sockets too long.
ifeq ($(shell test $$(printf %s "$(CURDIR)/var/tmp" | wc -c) -le 60 && echo short),short)
export TMPDIR := $(CURDIR)/var/tmp
endif
export RUFF_CACHE_DIR ?= $(CURDIR)/var/ruff_cache
export HYPOTHESIS_STORAGE_DIRECTORY ?= $(CURDIR)/var/hypothesis
export GX_ANALYTICS_ENABLED := false
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export SCARF_ANALYTICS := false
export DO_NOT_TRACK := 1
export AIRFLOW__CORE__LOAD_EXAMPLES := False
export AIRFLOW__COSMOS__ENABLE_TELEMETRY := False

PROCESSES := --numprocesses logical --maxprocesses 4 --dist worksteal
# Each of their tests starts a real Airflow, which wants the machine for itself.
AIRFLOWS := tests/demo tests/faults/test_airflow.py

.DEFAULT_GOAL := help
.PHONY: help demo demo-once test faults soak check bench lock clean bootstrap

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: bootstrap ## Build the demo world, sync it under real Airflow, show the balance sheet, stay up until Ctrl-C
	@exec .venv/bin/python -m demo.run

demo-once: bootstrap ## The same, then stop; exits non-zero if any batch is not `matched`
	@exec .venv/bin/python -m demo.run --once

test: bootstrap ## Run all tests but the long ones, and the check beside them
	@$(MAKE) --no-print-directory check & \
	.venv/bin/python -m pytest $(PROCESSES); tests=$$?; \
	wait $$! || { echo "make: the check failed, see above" >&2; exit 1; }; \
	exit $$tests

faults: bootstrap ## Run the long tests, too: every fault, those that take minutes, root or a real Airflow
	@.venv/bin/python -m pytest -m long $(PROCESSES) $(AIRFLOWS:%=--ignore %); faults=$$?; \
	.venv/bin/python -m pytest -m long $(AIRFLOWS) && exit $$faults

soak: bootstrap ## Compare records a thousand times while a writer changes both sides
	@exec .venv/bin/python -m pytest -s -m long tests/machines/test_comparison_soak.py

check: bootstrap ## Lint, format, types, manifests and mappings
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy --strict plugins/syncline
	@.venv/bin/syncline check
	@.venv/bin/syncline generate --check
	@.venv/bin/pre-commit validate-config

bench: bootstrap ## Time the line, the comparison, the words of mappings, the check and the parsing of manifests
	@.venv/bin/python benchmarks/batch.py
	@.venv/bin/python benchmarks/compare.py
	@.venv/bin/python benchmarks/transforms.py
	@.venv/bin/python benchmarks/check.py
	@.venv/bin/python benchmarks/parse.py

lock: bootstrap ## Write requirements.txt and the image's anew from their .in files
	@.venv/bin/uv pip compile --quiet --upgrade --no-build --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		requirements.in -o requirements.txt
	@.venv/bin/uv pip compile --quiet --no-build --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -c requirements.txt \
		deploy/requirements-image.in -o deploy/requirements-image.txt

clean: ## Remove var/ (the demo's databases, logs and secrets) and build leftovers; .venv stays
	@if [ -x .venv/bin/python ] && [ -d var ]; then .venv/bin/python -m demo.run --clean; fi
	@rm -rf var build dist plugins/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

bootstrap:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "make: there is no $(PYTHON): install Python 3.11 to 3.13, or name one: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; }
	@"$(PYTHON)" scripts/bootstrap.py
