# Python 3.11 to 3.13 and make are all that is needed. PYTHON=3.12, PYTHON=python3.12 or a path choose the Python.
VENV := .venv$(if $(PYTHON),-$(or $(patsubst python%,%,$(notdir $(PYTHON))),given))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What a shell sets for other Pythons does not reach this one: PYTHONPATH would shadow its packages, and with
# PYTHONDONTWRITEBYTECODE every airflow command takes 13 s.
unexport $(filter PYTHON%,$(.VARIABLES))

.DEFAULT_GOAL := help
.PHONY: help up down status logs notebook rules test test-compose prove bench check lock audit clean distclean

help:  ## This list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-13s%s\n", $$1, $$2 }'

up: $(READY)  ## Start everything on this machine and answer a first request; VOUCHER_SOURCE=… is your own history, remembered; ports: API_PORT, AIRFLOW_PORT, POSTGRES_PORT, S3_PORT
	@$(BIN)/python -m dev up

down: $(if $(wildcard .local),| $(BIN)/python)  ## Stop all that `make up` started
	@[ ! -d .local ] || $(BIN)/python -m dev down

status: | $(BIN)/python  ## What runs, where, since when, from which history, and what is published
	@$(BIN)/python -m dev status

logs: | $(BIN)/python  ## Follow the logs of all parts; PART=api for those of one
	@$(BIN)/python -m dev logs $(PART)

notebook: $(READY)  ## Open the notebooks in Jupyter, on the history that `make up` uses
	@$(BIN)/python -m dev notebook $(ARGS)

rules: $(READY)  ## Run the notebook that writes pipeline/rules.toml, on the same history, and the tables of README and docs/
	@$(BIN)/python -m dev rules

# What the browser tests take from npm. Without npm they skip, and so they do where it reaches no registry.
AXE := tests/browser/node_modules/.package-lock.json
$(AXE): tests/browser/package-lock.json
	-@npm ci --prefix tests/browser --no-audit --no-fund --loglevel=error && touch $@

test: $(READY) $(if $(shell command -v npm),$(AXE))  ## Run the tests but the long ones; ARGS="-m quick" for a minute's worth, "-m long" for the long ones, "-k name" for some
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-compose: $(READY)  ## Build the images, start docker-compose.yml under a name and on ports of its own, and test what runs; ARGS="-k name"
	@TEST_COMPOSE=1 $(BIN)/python -m pytest tests/compose -x -s -p no:cacheprovider $(ARGS)

# In `make prove crash` the word after prove is what to prove, and no target to make.
PROOF := $(if $(filter prove,$(firstword $(MAKECMDGOALS))),$(wordlist 2,9,$(MAKECMDGOALS)))
$(if $(PROOF),$(eval .PHONY: $(PROOF))$(eval $(PROOF): ; @:))

prove: $(READY)  ## Prove at full size, resumable; alone, it lists them; ARGS=--fresh starts anew
	@$(BIN)/python -m tests.proofs $(or $(PROOF),$(NAME)) $(ARGS)

bench: $(READY)  ## Measure service and pipeline beside references, in seven minutes; ARGS="service --quick" to see it work
	@$(BIN)/python -m benchmarks $(ARGS)

check: $(READY)  ## Lint, format, types, import directions, generated tables, Dockerfiles, manifests, workflows
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/cog --check -P --verbosity=1 --check-fail-msg="A table or picture in README.md or docs/ is old: make rules" README.md docs/*.md
	@$(BIN)/hadolint docker/*.Dockerfile
	@$(BIN)/kubernetes-validate --strict --quiet docker/kubernetes/*.yaml
	@$(BIN)/zizmor --offline --quiet .github

LOCK = $(BIN)/uv pip compile -q --universal --generate-hashes setup.cfg
LOCK_IMAGE = $(LOCK) --python-version 3.12 -c requirements.lock --no-annotate --custom-compile-command "make lock"
LOCK_CLIENT = $(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-annotate --custom-compile-command "make lock"

lock: $(READY)  ## Pin the dependencies of setup.cfg in requirements.lock, and of it in docker/; ARGS=--upgrade for newer ones
	@$(LOCK) --python-version 3.11 --all-extras -o requirements.lock $(ARGS)
	@$(LOCK_IMAGE) -o docker/api.lock --extra app
	@$(LOCK_IMAGE) -o docker/airflow.lock --extra pipeline --extra dask --extra airflow-postgres
	@$(LOCK_IMAGE) -o docker/s3.lock --extra s3-standin
	@$(LOCK_IMAGE) -o docker/notebook.lock --extra notebook --extra pipeline
	@for each in openapi-generator openapi-python-client; do $(LOCK_CLIENT) tests/clients/$$each.in -o tests/clients/$$each.txt $(ARGS); done

audit: $(READY)  ## Ask PyPI for known vulnerabilities of what the lock file pins
	@$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock $(ARGS)

clean: $(if $(wildcard .local),| $(BIN)/python)  ## Stop all, and delete what it kept: database, Airflow's history, logs
	@[ ! -d .local ] || $(BIN)/python -m dev clean

distclean: clean  ## The same, and delete the Python environments and what npm brought
	@rm -rf .venv .venv-* tests/browser/node_modules

$(READY): requirements.lock setup.cfg
	@sh dev/venv.sh $(VENV) $(PYTHON)
	@touch $@

$(BIN)/python:
	@$(MAKE) --no-print-directory $(READY)
