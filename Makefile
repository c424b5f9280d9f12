# `make demo` and `make test` are all a newcomer needs; both prepare .venv themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
DATA_DIR ?= .headrace
# Where the API and Prefect listen; 0 takes free ports.
PORT ?= 8000
PREFECT_PORT ?= 4200
# The first interpreter that is new enough and built with optimizations (as those of distributions are: a run takes 1.4 s
# on one and 2.5 s on one without), else the first that is new enough; override with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in $$(type -ap python3.13 python3.12 python3.11 python3 python); do \
	$$p -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	first=$${first:-$$p}; case $$p in (/usr/bin/*|/bin/*) echo $$p; exit;; esac; \
	$$p -c 'import sys, sysconfig; sys.exit("--enable-opt" not in sysconfig.get_config_var("CONFIG_ARGS"))' && echo $$p && exit; \
	done; echo $$first)
# As many processes as cores, and one: one has the tests that need a stack (tests/distribution.py), and waits for a
# third of its time. Each more costs 17 s of CPU to collect the tests, and servers of its own.
PYTEST = $(BIN)/python -m pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadscope --no-loadscope-reorder --max-worker-restart 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # tests start dozens of processes; none need compile what another has

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: $(VENV)/.ready ## Create .venv with the pinned dependencies and the project

$(VENV)/.ready: requirements.lock pyproject.toml .ci/install.py
	@test -n "$(PYTHON)" || { echo "Headrace needs Python 3.11 or newer; install it or set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Preparing $(VENV) with $$($(PYTHON) --version) (less than a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# uv installs in a tenth of pip's time; .ci/install.py does with pip what uv cannot.
	@$(BIN)/python -m pip install --quiet "$$(grep ^uv== requirements-dev.lock)" || echo "without uv: pip takes some minutes"
	@$(BIN)/python .ci/install.py --requirement requirements.lock
	@$(BIN)/python .ci/install.py --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-to-test: $(VENV)/.ready requirements-dev.lock
	@echo "Adding what the tests need"
	@$(BIN)/python .ci/install.py --requirement requirements-dev.lock
	@touch $@

.PHONY: demo
demo: setup ## Start everything, load the real flights data, check the result, leave it running to look at
	@$(BIN)/headrace demo --data-dir $(DATA_DIR) --port $(PORT) --prefect-port $(PREFECT_PORT) --keep

.PHONY: up
up: setup ## Start PostgreSQL, Prefect, a worker and the API; Ctrl-C stops them
	@$(BIN)/headrace up --data-dir $(DATA_DIR) --port $(PORT) --prefect-port $(PREFECT_PORT)

.PHONY: down
down: setup ## Stop a stack that was started with --detach
	@$(BIN)/headrace down --data-dir $(DATA_DIR)

.PHONY: test
test: $(VENV)/.ready-to-test ## Check style, types and import direction, and run the tests (on 2 cores less than ten minutes)
	@# Generated data are the same each time; `make test-all` has others each time.
	@$(MAKE) --no-print-directory lint > $(VENV)/lint.log 2>&1 & lint=$$!; \
		$(PYTEST) --hypothesis-seed=0 -m 'not slow'; tests=$$?; \
		if [ $$tests = 2 ]; then \
			echo "A process of the tests died in the test that is named above: correct it. All are run once more."; \
			$(PYTEST) --hypothesis-seed=0 -m 'not slow'; tests=$$?; \
		fi; \
		if [ $$tests = 1 ]; then \
			echo "What failed is run once more, alone. A test that passes now depends on its neighbours or on time: correct it."; \
			$(BIN)/python -m pytest --hypothesis-seed=0 -m 'not slow' --last-failed --maxfail 5; tests=$$?; \
		fi; \
		wait $$lint; linted=$$?; cat $(VENV)/lint.log; exit $$((tests + linted))

.PHONY: test-all
test-all: test ## Everything: `make test`, then all tests with all data that they generate, chaos, fuzz, benchmarks (hours)
	@HEADRACE_TEST_EFFORT=full HEADRACE_EVERY_SERVER=1 $(PYTEST) -m ''
	@$(MAKE) --no-print-directory chaos fuzz test-ray
	@$(MAKE) --no-print-directory bench OUT=$(VENV)/benchmarks.json

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
	@$(BIN)/python -m docs.generate

.PHONY: lock
lock: ## Resolve the dependencies again: requirements.lock to run, requirements-dev.lock to test besides
	@rm -rf .lock-venv .lock-run && $(PYTHON) -m venv .lock-venv && $(PYTHON) -m venv .lock-run
	@.lock-venv/bin/python -m pip install --quiet --upgrade setuptools
	@.lock-venv/bin/python -m pip install --quiet '.[local,demo,models,files,sftp,snowflake,redshift,mongodb,bigquery,databricks,kafka,kinesis,dask,mcp,dev]'
	@.lock-venv/bin/python -m pip freeze --all --exclude headrace --exclude pip > .lock-venv/all
	@.lock-run/bin/python -m pip install --quiet --constraint .lock-venv/all setuptools '.[local,demo]'
	@{ $(LOCKED); .lock-run/bin/python -m pip freeze --all --exclude headrace --exclude pip; } > requirements.lock
	@{ $(LOCKED); grep -vxFf requirements.lock .lock-venv/all; } > requirements-dev.lock
	@sed -i -E 's/^(pgpq==.*)$$/\1 ; $(NOT_ARM)\n$(ON_ARM)/; s/^(backports\.zstd==.*)$$/\1 ; python_version < "3.14"/' requirements.lock
	@rm -rf .lock-venv .lock-run build *.egg-info
# The one package whose newest release has no wheel for Linux on ARM.
NOT_ARM = sys_platform != "linux" or platform_machine != "aarch64"
ON_ARM = pgpq==0.9.0 ; sys_platform == "linux" and platform_machine == "aarch64"
LOCKED = echo "\# Resolved by \`make lock\` from pyproject.toml."

.PHONY: chaos
chaos: $(VENV)/.ready-to-test ## Two hundred faults at random moments of real runs, and of streams; no row may be lost or doubled
	@$(BIN)/python -m tests.chaos --faults 200 --seed $${SEED:-1}

.PHONY: fuzz
fuzz: $(VENV)/.ready-to-test ## Send the API hundreds of generated requests per operation, other ones each time
	@HEADRACE_FUZZ_EXAMPLES=300 HEADRACE_FUZZ_SEED=$$RANDOM $(BIN)/python -m pytest tests/api/contract/test_schemathesis.py --timeout 1800

.PHONY: test-ray
test-ray: $(VENV)/.ready-to-test ## Runs over a Ray cluster (brings the extra into .venv: 240 MB)
	@$(BIN)/python -m pip install --quiet --no-build-isolation --constraint requirements.lock --editable '.[ray]'
	@$(BIN)/python -m pytest -m slow tests/flows/prefect/test_cluster_ray.py

.PHONY: bench
bench: $(VENV)/.ready-to-test ## Run all benchmarks (about an hour), or those of NAMES="append upsert"; ROWS= ROUNDS= MINUTES= PEERS=1
	@$(BIN)/python -m benchmarks $(NAMES) $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(PEERS),--peers) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(OUT),--out $(OUT))

.PHONY: clean
clean: ## Remove what was built (not the data folder)
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
