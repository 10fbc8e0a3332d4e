# Each target does its own set-up: the virtual environment is made when it is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

FUZZ ?= 10000,50

.PHONY: help demo test fuzz check format bench race clean

help:
	@echo "make demo    the whole desk on this machine; no account and no key needed"
	@echo "make test    the tests"
	@echo "make fuzz    the state machine of sync at length (FUZZ=examples,steps)"
	@echo "make sweep   sync and the executor killed at every system call, 10,000 rounds (hours)"
	@echo "make check   lint, format, types, import contracts"
	@echo "make race    10,000 tasks, four agents, 500 kills and cuts, judged from the hub's history"
	@echo "make bench   the numbers of docs/numbers.md, measured here"
	@echo "make clean   remove what the other targets made"

demo: $(VENV)/.demo
	@$(BIN)/agent-local demo $(ARGS)

test: $(VENV)/.dev $(VENV)/.servers
	@$(BIN)/python -m pytest -n logical --dist worksteal $(ARGS)

fuzz: $(VENV)/.dev
	@TRIAL_FUZZ=$(FUZZ) $(BIN)/python -m pytest -s tests/sync/test_state_machine.py $(ARGS)

sweep: $(VENV)/.dev
	@TRIAL_LONG=1 $(BIN)/python -m pytest -s tests/sync/test_crash_sweep.py \
	  tests/sync/test_flatness.py tests/approval $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/ruff format --no-cache --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev
	@for file in first_light execute sync growth; do $(BIN)/python benchmarks/$$file.py || exit 1; done

# Real servers for the tests; what cannot be installed is told, and its tests are skipped.
$(VENV)/.servers: tests/install-servers $(BIN)/python
	@tests/install-servers
	@touch $@

race: $(VENV)/.dev
	@$(BIN)/python tests/race/conductor.py $(ARGS)

clean:
	rm -rf $(VENV) build dist .ruff_cache .mypy_cache .hypothesis .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Nightdesk needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Install Python's venv first, on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo
