# Each target sets up what it needs: only Python 3.11+, make and a package index are assumed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# What is imported is compiled once, not by each of the processes that tests start; what is not, never.
export PYTHONDONTWRITEBYTECODE :=

# What meets the libraries whose versions may differ.
LOWEST := tests/warehouse tests/ledger/test_leases.py tests/ledger/test_recording.py tests/whole/test_check.py \
  tests/whole/test_sync.py tests/test_settings.py tests/test_schema.py tests/test_mapping.py

.PHONY: help demo quick test test-dbt test-airflow test-airflow-standalone test-dagster test-lowest emulators prove bench instructions lint format docs site read-site pictures wheel clean

help:  ## show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

demo: $(INSTALLED)  ## see the whole story on sample data and a local Engage
	@$(BIN)/connector demo

quick: $(READY)  ## run the tests that start nothing, in seconds
	$(BIN)/python -m pytest -q --quick --numprocesses 2 --dist worksteal

test: $(READY)  ## run all tests: all that guards a promise
	$(BIN)/python -m pytest -q --numprocesses 6 --dist worksteal

# dbt has an environment of its own: its packages are none of ours. Made once.
DBT := .venv-dbt
test-dbt: $(READY)  ## run the tests that build a project with dbt itself
	@[ -x $(DBT)/bin/dbt ] || { $(PYTHON) -m venv $(DBT) && $(DBT)/bin/python -m pip --quiet \
	  --disable-pip-version-check install --no-compile "dbt-core==1.11.*" dbt-duckdb; } || rm -rf $(DBT)
	@if [ -x $(DBT)/bin/dbt ]; then \
	  CONNECTOR_DBT="$(CURDIR)/$(DBT)/bin/dbt" $(BIN)/python -m pytest -q tests/dbt/test_real.py \
	  "tests/test_tutorials.py::test_what_a_page_says_to_type_does_what_it_says[from-dbt]"; \
	else echo "dbt could not be installed (is the package index out of reach?); its tests are skipped" >&2; fi

# So has each orchestrator. With AIRFLOW=3.1 another version, in a folder of its own.
AIRFLOW ?= 3.3
AIRFLOW_VENV := .venv-airflow/$(AIRFLOW)
WITH_AIRFLOW := CONNECTOR_PYTHON="$(CURDIR)/$(BIN)/python" $(AIRFLOW_VENV)/bin/python -W ignore
.PHONY: airflow
airflow: $(READY)
	@[ -f $(AIRFLOW_VENV)/.ready ] || { $(PYTHON) -m venv $(AIRFLOW_VENV) && $(AIRFLOW_VENV)/bin/python -m pip \
	  --quiet --disable-pip-version-check install "apache-airflow==$(AIRFLOW).*" pytest psycopg2-binary asyncpg \
	  apache-airflow-providers-openlineage --editable integrations/airflow && touch $(AIRFLOW_VENV)/.ready; } || \
	  rm -rf $(AIRFLOW_VENV)

test-airflow: airflow  ## run the DAG of a project with Airflow itself
	@if [ -f $(AIRFLOW_VENV)/.ready ]; then $(WITH_AIRFLOW) -m pytest -q integrations/airflow/tests; \
	else echo "Airflow could not be installed (is the package index out of reach?); its tests are skipped" >&2; fi

test-airflow-standalone: airflow  ## kill and freeze parts of a whole Airflow, for some minutes
	$(WITH_AIRFLOW) integrations/airflow/tests/standalone.py

DAGSTER := .venv-dagster
test-dagster: $(READY)  ## materialize the assets of a project with Dagster itself
	@[ -f $(DAGSTER)/.ready ] || { $(PYTHON) -m venv $(DAGSTER) && $(DAGSTER)/bin/python -m pip --quiet \
	  --disable-pip-version-check install dagster dagster-dbt "dbt-core==1.11.*" dbt-duckdb pytest \
	  --editable integrations/dagster && touch $(DAGSTER)/.ready; } || rm -rf $(DAGSTER)
	@if [ -f $(DAGSTER)/.ready ]; then CONNECTOR_PYTHON="$(CURDIR)/$(BIN)/python" \
	  $(DAGSTER)/bin/python -W ignore -m pytest -q integrations/dagster/tests; \
	else echo "Dagster could not be installed (is the package index out of reach?); its tests are skipped" >&2; fi

test-lowest: .venv-lowest/.ready  ## run the main part of the tests with the oldest versions that are allowed
	.venv-lowest/bin/python -m pytest -q --numprocesses 5 --dist worksteal -W default::DeprecationWarning $(LOWEST)

emulators: $(READY)  ## install what speaks for BigQuery, Snowflake and ClickHouse in the tests
	for each in bigquery snowflake clickhouse; do $(PYTHON) -m venv .venv-emulators/$$each && \
	  .venv-emulators/$$each/bin/python -m pip --quiet install -r tests/warehouse/emulators/$$each.txt || exit 1; done
	$(PIP) install --constraint constraints.txt --editable ".[bigquery,snowflake,clickhouse]"

prove: $(READY)  ## run their long forms, and try for ten minutes to send a row twice or to lose one
	CONNECTOR_PROVE=1 PYTEST_TIMEOUT=3600 $(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal
	$(BIN)/python -m tests.proof.prove

bench: $(READY)  ## measure against other tools, and write docs/performance.md
	$(PIP) install --constraint constraints.txt --group bench
	$(BIN)/python -m benchmarks

instructions: $(READY)  ## count what a start takes, with valgrind; fails where it is a tenth more than on record
	$(BIN)/python -m benchmarks.instructions

lint: $(READY)  ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## write the generated parts of the documentation anew
	$(BIN)/python -m tests.generated

site: $(READY)  ## build the documentation as a site, into site/
	$(PIP) install --constraint constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

read-site: site  ## let axe read the site, in light and in dark, with the machine's Chromium
	$(BIN)/python -m tests.read_site

pictures: $(READY)  ## make the pictures of the page in docs/images anew, with the machine's Chromium
	$(BIN)/python -m tests.web.pictures

wheel:  ## build what is published, and do with it what a stranger does, in empty environments
	$(PYTHON) -m tests.stranger

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .venv-airflow .venv-dagster .venv-lowest .venv-emulators .venv-bench-peers .venv-docs dist site .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-compile --constraint constraints.txt --editable .
	@touch $(INSTALLED)

$(READY): pyproject.toml constraints.txt
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(PIP) install --no-compile --upgrade "pip>=25.1"
	$(PIP) install --no-compile --constraint constraints.txt --editable ".[postgres]" --group dev --group api
	@touch $(INSTALLED) $(READY)

.venv-lowest/.ready: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip --quiet install --upgrade "pip>=25.1"
	.venv-lowest/bin/python -m pip --quiet install --constraint constraints-lowest.txt --editable ".[postgres]" --group dev
	@touch .venv-lowest/.ready
