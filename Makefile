# `make` alone prints what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# the first interpreter that really runs and is one of ours: a version manager's shim may not
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
# they measure seconds or ratios, or use ports of their own
ALONE := $(addprefix tests/acceptance/,test_api.py test_candles.py test_compose.py test_exports.py \
	test_gaps.py test_imports.py test_stream.py page)
CODE := app tests benchmarks alembic
# processes begin with the libraries loaded: tests/preloaded_python.py. Without bytecode, each pytest
# worker would compile all tests anew. Importing what it does not run would take it a second
TEST := PRELOAD_PYTHON=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -m "not accept and not chaos" -n 4 \
	--ignore tests/acceptance -p no:schemathesis -p no:anyio
# the servers of tests write thousands of files: they lie in memory if 6 GB are free there
IN_MEMORY := if [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 6000000 ] 2>/dev/null; then \
	export PYTEST_DEBUG_TEMPROOT=$${TMPDIR:-/tmp} TMPDIR=$$(mktemp -d /dev/shm/tests-XXXXXX); \
	trap 'rm -rf "$$TMPDIR"' EXIT; fi;
# CI sets CI=true; measuring takes up to half of the time, so elsewhere it is asked for by COVERAGE=1
COVERAGE ?= $(CI)

help: ## Print what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.local ## Run everything here, collecting from the real exchange
	@exec $(BIN)/python -m app run

demo: $(VENV)/.local ## The same with a bundled stand-in exchange and two days of history
	@exec $(BIN)/python -m app demo

test-fast: $(VENV)/.dev ## Run the pure tests, which need no server, within half a minute
	@$(BIN)/pytest -q tests/core tests/domain tests/test_architecture.py -n 2

test: $(VENV)/.dev ## Run the tests on a real PostgreSQL and a real Redis of their own
ifeq ($(COVERAGE),)
	@$(IN_MEMORY) $(TEST)
else
	@$(BIN)/coverage erase
	@$(IN_MEMORY) $(TEST) --cov --cov-report=
	@$(BIN)/coverage report --fail-under=95
endif

accept: $(VENV)/.dev ## Run the long acceptance tests
	@$(BIN)/pytest -m accept -p no:randomly -n 4 --maxschedchunk 1 $(ALONE:%=--ignore %)
	@$(BIN)/pytest -m accept -p no:randomly $(ALONE)

chaos: $(VENV)/.dev ## Break everything, with real faults in real processes, and see it heal
	@$(BIN)/pytest tests/chaos -m chaos -p no:randomly -n 6 --dist worksteal

prove: $(VENV)/.dev ## Put known defects back, one by one, and see that their tests turn red
	@$(BIN)/python -m tests.mutation.run

mutants: $(VENV)/mutants/.done ## Change the rules of app/domain, one line at a time, and see that a test fails
	@$(VENV)/mutants/bin/python -m tests.mutation.survivors

bench: $(VENV)/.dev ## Measure it beside others, as a table of ratios (BENCH=--short: within a minute)
	@$(BIN)/python -m benchmarks $(BENCH)

check: $(VENV)/.dev ## Check format, lint, types and import contracts: all of them, then sum up
	@failed=; \
	for tool in "ruff format --check $(CODE)" "ruff check $(CODE)" mypy lint-imports; do \
		echo "== $$tool"; $(BIN)/$$tool || failed="$$failed, $${tool%% --*}"; \
	done; \
	if [ -n "$$failed" ]; then echo "FAILED: $${failed#, }"; exit 1; fi; echo "all checks passed"

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

lock: ## Renew constraints.txt from the requirements
	@rm -rf $(VENV)/lock && $(BIN)/python -m venv $(VENV)/lock
	@sed -i.old '2,$$d' constraints.txt && rm constraints.txt.old
	@$(VENV)/lock/bin/pip install --quiet --disable-pip-version-check -r requirements-mutants.txt
	@{ $(VENV)/lock/bin/pip freeze; echo colorama==0.4.6; echo tzdata==2026.6; } | sort -f >> constraints.txt
	@rm -rf $(VENV)/lock

clean: ## Remove the environment and caches; collected data stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* mutants

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11, 3.12 or 3.13 is needed"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is needed (Debian: python3-venv)"; exit 1; }

$(VENV)/.local: requirements.txt requirements-local.txt constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-local.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.local requirements-dev.txt
	@echo "installing what tests need into $(VENV), once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# an environment of its own: mutmut brings libraries that Celery uses where it finds them
$(VENV)/mutants/.done: requirements-mutants.txt requirements-dev.txt constraints.txt | $(VENV)/bin/python
	@echo "installing mutmut and the rest into $(VENV)/mutants, once"
	@$(BIN)/python -m venv $(VENV)/mutants
	@$(VENV)/mutants/bin/pip install --quiet --disable-pip-version-check -r requirements-mutants.txt
	@touch $@

.PHONY: help run demo test-fast test accept chaos bench prove mutants check format lock clean
