# Everything a developer types. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos check bench fairness calendar drill lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## install Rollcall and its tools into .venv

.venv/installed: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rollcall needs Python 3.11 or later; name one: make PYTHON=python3.12 install"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "python3 could not make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## run the whole thing against a sandbox on this machine
	@$(BIN)/rollcall demo

# Each worker reads all tests: twice as fast where what was compiled is kept. Near the end the idle take from the busy.
test: install ## run the whole test suite
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n $(WORKERS) --dist worksteal

chaos: install ## take away, fill up and kill whatever it lives on, for minutes, on both databases
	@ROLLCALL_CHAOS=long $(BIN)/pytest -n $(WORKERS) tests/chaos

check: install ## lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install ## measure everything beside its references, in one run
	@$(BIN)/python benchmarks/run.py

drill: install ## lose the database under load, restore it, and print the time it took and the data lost
	@$(BIN)/python benchmarks/drill.py

fairness: install ## measure the on-call planner beside simple rules and the exact optimum
	@$(BIN)/python benchmarks/fairness.py

calendar: install ## measure a cycle of the calendar in Notion at three requests a second (a minute)
	@$(BIN)/python benchmarks/calendar_cycle.py

lock: install ## pin every dependency again, with hashes
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.lock

clean: ## remove what the other targets made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
