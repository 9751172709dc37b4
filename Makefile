# Requires Python 3.11-3.13 and make. PYTHON=3.12, PYTHON=python3.12 or a path selects the Python.
VENV := .venv$(if $(PYTHON),-$(or $(patsubst python%,%,$(notdir $(PYTHON))),given))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Variables that the shell sets for other Pythons are removed: PYTHONPATH would shadow packages, and with
# PYTHONDONTWRITEBYTECODE every airflow command takes 13 s.
unexport $(filter PYTHON%,$(.VARIABLES))

.DEFAULT_GOAL := help
.PHONY: help up down status logs notebook rules plan tables test test-compose prove bench check lock audit clean distclean

help:  ## List the commands
	@echo "Usage: make TARGET. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-13s%s\n", $$1, $$2 }'

up: $(READY)  ## Start everything on this machine and send a first request; VOUCHER_SOURCE=… selects your own history, API_PORT, AIRFLOW_PORT, POSTGRES_PORT and S3_PORT the ports; all are remembered
	@$(BIN)/python -m dev up

down: $(if $(wildcard .local),| $(BIN)/python)  ## Stop everything that `make up` started
	@[ ! -d .local ] || $(BIN)/python -m dev down

status: | $(BIN)/python  ## Show the running services, their addresses, the history and the published run
	@$(BIN)/python -m dev status

logs: | $(BIN)/python  ## Follow the logs of all services; PART=api selects one
	@$(BIN)/python -m dev logs $(PART)

notebook: $(READY)  ## Open the notebooks in Jupyter, with the history of `make up`
	@$(BIN)/python -m dev notebook $(ARGS)

rules: $(READY)  ## Run the notebooks that write pipeline/rules.toml and segments.toml, with the same history, and update the tables in README and docs/
	@$(BIN)/python -m dev rules
	@$(MAKE) --silent tables

plan: $(READY)  ## Show what the rules and segments here would change of what `make up` published, as Markdown; BASE=commit compares with those of a commit instead, on the sample or VOUCHER_SOURCE
	@$(BIN)/python -m dev plan $(BASE)

tables: $(READY)  ## Update the generated tables and pictures in README and docs/
	@$(BIN)/python -m cogapp -r -P --verbosity=1 README.md docs/*.md
	@$(BIN)/python -c 'from pipeline.publish.changes.models import schema; print(schema(), end="")' > docs/plan.schema.json
	@$(BIN)/python -c 'from pipeline.notices.content import schema; print(schema(), end="")' > docs/notice.schema.json
	@$(BIN)/python -m dev.tools.tables

# The npm packages of the browser tests. Without npm or its registry, these tests are skipped.
AXE := tests/browser/node_modules/.package-lock.json
$(AXE): tests/browser/package-lock.json
	-@npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error && touch $@

test: $(READY) $(if $(shell command -v npm),$(AXE))  ## Run all but the long tests; ARGS="-m quick" for those that need no server, "-m long" for the long ones, "-k name" for some
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-compose: $(READY)  ## Build the images, start docker-compose.yml under its own name and ports, and test it; ARGS="-k name" selects some tests
	@TEST_COMPOSE=1 $(BIN)/python -m pytest tests/compose -x -s -p no:cacheprovider $(ARGS)

# In `make prove crash`, `crash` is the name of a proof, not a target.
PROOF := $(if $(filter prove,$(firstword $(MAKECMDGOALS))),$(wordlist 2,9,$(MAKECMDGOALS)))
$(if $(PROOF),$(eval .PHONY: $(PROOF))$(eval $(PROOF): ; @:))

prove: $(READY)  ## Run a proof at full size, as in `make prove crash`; without a name, list them; ARGS=--fresh does not resume
	@$(BIN)/python -m proofs $(or $(PROOF),$(NAME)) $(ARGS)

bench: $(READY)  ## Compare service and pipeline with references, in eight minutes; ARGS="service --quick" for a quick try
	@$(BIN)/python -m benchmarks $(ARGS)

check: $(READY)  ## Check lint, format, types, import directions, generated tables, Dockerfiles, manifests, workflows
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m cogapp --check -P --verbosity=1 --check-fail-msg="A table or picture in README.md or docs/ is out of date; run: make tables" README.md docs/*.md
	@$(BIN)/hadolint docker/*.Dockerfile
	@$(BIN)/kubernetes-validate --strict --quiet docker/kubernetes/*.yaml
	@$(BIN)/zizmor --offline --quiet .github

LOCK = $(BIN)/uv pip compile -q --universal --generate-hashes setup.cfg
LOCK_IMAGE = $(LOCK) --python-version 3.12 -c requirements.lock --no-annotate --custom-compile-command "make lock"
LOCK_CLIENT = $(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-annotate --custom-compile-command "make lock"

lock: $(READY)  ## Pin the dependencies of setup.cfg in requirements.lock and docker/; ARGS=--upgrade for newer versions
	@$(LOCK) --python-version 3.11 --all-extras -o requirements.lock $(ARGS)
	@$(LOCK_IMAGE) -o docker/api.lock --extra app
	@$(LOCK_IMAGE) -o docker/airflow.lock --extra pipeline --extra dask --extra airflow-postgres
	@$(LOCK_IMAGE) -o docker/s3.lock --extra s3-standin
	@$(LOCK_IMAGE) -o docker/notebook.lock --extra notebook --extra pipeline
	@for each in openapi-generator openapi-python-client; do $(LOCK_CLIENT) tests/clients/$$each.in -o tests/clients/$$each.txt $(ARGS); done

audit: $(READY)  ## Check the pinned packages for known vulnerabilities
	@$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock $(ARGS)

clean: $(if $(wildcard .local),| $(BIN)/python)  ## Stop everything, and delete its data: database, Airflow's history, logs
	@[ ! -d .local ] || $(BIN)/python -m dev clean

distclean: clean  ## Do the same, and delete the Python environments and npm packages
	@rm -rf .venv .venv-* tests/browser/node_modules

$(READY): requirements.lock setup.cfg
	@sh dev/tools/venv.sh $(VENV) $(PYTHON)
	@touch $@

$(BIN)/python:
	@$(MAKE) --no-print-directory $(READY)
