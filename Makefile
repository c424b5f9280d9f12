# `make demo` and `make test` are all a newcomer needs; both prepare .venv themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
DATA_DIR ?= .headrace
# The first interpreter that is new enough; override with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# A user's own flows/ or api/ folder must never shadow ours.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: $(VENV)/.ready ## Create .venv with the pinned dependencies and the project

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Headrace needs Python 3.11 or newer; install it or set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Preparing $(VENV) with $$($(PYTHON) --version) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-to-test: $(VENV)/.ready requirements-dev.lock
	@echo "Adding what the tests need"
	@$(BIN)/python -m pip install --quiet --requirement requirements-dev.lock
	@touch $@

.PHONY: demo
demo: setup ## Start everything, load the real flights data, check the result, leave it running to look at
	@$(BIN)/headrace demo --data-dir $(DATA_DIR) --keep

.PHONY: up
up: setup ## Start PostgreSQL, Prefect, a worker and the API; Ctrl-C stops them
	@$(BIN)/headrace up --data-dir $(DATA_DIR)

.PHONY: down
down: setup ## Stop a stack that was started with --detach
	@$(BIN)/headrace down --data-dir $(DATA_DIR)

.PHONY: test
test: lint ## Check style, types and import direction, then run the tests
	@# Side by side: what needs a whole stack mostly waits.
	@$(BIN)/python -m pytest -m 'stack and not slow' > $(VENV)/stack-tests.log 2>&1 & stack=$$!; \
		$(BIN)/python -m pytest -m 'not stack and not slow'; others=$$?; \
		wait $$stack; with_stack=$$?; cat $(VENV)/stack-tests.log; exit $$((others + with_stack))

.PHONY: lint
lint: $(VENV)/.ready-to-test ## Check style, types and import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.ready-to-test ## Rewrite the code in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/.ready ## Write the pages that are read off the code: docs/reference.md and the JSON Schemas
	@PYTHONSAFEPATH= $(BIN)/python -m docs.generate

.PHONY: lock
lock: ## Resolve the dependencies anew: requirements.lock to run, requirements-dev.lock to test besides
	@rm -rf .lock-venv .lock-run && $(PYTHON) -m venv .lock-venv && $(PYTHON) -m venv .lock-run
	@.lock-venv/bin/python -m pip install --quiet --upgrade setuptools
	@.lock-venv/bin/python -m pip install --quiet '.[demo,models,dask,dev]'
	@.lock-venv/bin/python -m pip freeze --all --exclude headrace --exclude pip > .lock-venv/all
	@.lock-run/bin/python -m pip install --quiet --constraint .lock-venv/all setuptools '.[demo]'
	@{ $(LOCKED); .lock-run/bin/python -m pip freeze --all --exclude headrace --exclude pip; } > requirements.lock
	@{ $(LOCKED); grep -vxFf requirements.lock .lock-venv/all; } > requirements-dev.lock
	@rm -rf .lock-venv .lock-run build *.egg-info
LOCKED = echo "\# Resolved by \`make lock\` from pyproject.toml."

.PHONY: chaos
chaos: $(VENV)/.ready-to-test ## Two hundred faults at random moments of real runs; no row may be lost or doubled
	@$(BIN)/python -m tests.chaos --faults 200 --seed $${SEED:-1}

.PHONY: fuzz
fuzz: $(VENV)/.ready-to-test ## Send the API hundreds of generated requests per operation, other ones each time
	@HEADRACE_FUZZ_EXAMPLES=300 HEADRACE_FUZZ_SEED=$$RANDOM $(BIN)/python -m pytest tests/api/contract/test_schemathesis.py --timeout 1800

.PHONY: test-thorough
test-thorough: $(VENV)/.ready-to-test ## The tests that generate their data, with three times as much of it as `make test`
	@HEADRACE_TEST_EFFORT=full $(BIN)/python -m pytest -m 'not stack and not slow'

.PHONY: test-memory
test-memory: $(VENV)/.ready-to-test ## Bring 20 million rows together in 1.5 GB of memory (a few minutes)
	@$(BIN)/python -m pytest -m slow

.PHONY: test-ray
test-ray: $(VENV)/.ready-to-test ## Runs over a Ray cluster (brings the extra into .venv: 240 MB)
	@$(BIN)/python -m pip install --quiet --no-build-isolation --constraint requirements.lock --editable '.[ray]'
	@$(BIN)/python -m pytest tests/flows/prefect/test_cluster_ray.py

.PHONY: bench
bench: setup ## Measure appending against psql (about two minutes; see docs/performance.md)
	@PYTHONSAFEPATH= $(BIN)/python -m benchmarks.append

.PHONY: clean
clean: ## Remove what was built (not the data folder)
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
