# Needs Python 3.11 or newer, pip, make and git. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
# Handed on to the command: make demo ARGS="--fail HUNTER_ENRICH", make test ARGS="tests/core -x"
ARGS ?=
# Test files that run at once: more than cores, for most tests wait for processes and servers. Their order stays, so
# that the few long ones aren't left for the end.
WORKERS ?= 4

.PHONY: help install demo dev test faults failover crash-points resources bench bench-peers check schemas clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed-dev ## Install everything for development into .venv

demo: $(VENV)/.installed-all ## Run a lead-generation plan, with a NATS server and stand-ins for the third-party APIs
	@$(BIN)/leadplan demo $(ARGS)

dev: $(VENV)/.installed-all ## Keep everything running until Ctrl-C, to try things
	@$(BIN)/leadplan dev $(ARGS)

test: $(VENV)/.installed-dev ## Run all tests
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(VENV)/.installed-dev ## Run thousands of plans under hundreds of faults, check every rule, print the figures (3 min)
	@$(BIN)/python tests/faults/run_faults.py $(ARGS)

failover: $(VENV)/.installed-dev ## Measure how long a plan stands still when its executor is gone (4 min)
	@$(BIN)/python tests/faults/run_failover.py $(ARGS)

crash-points: $(VENV)/.installed-dev ## Let executors lose power at every point of every plan shape, and in the integration tests (6 min)
	@$(BIN)/python tests/faults/run_crash_points.py $(ARGS)
	@for family in append request reply ack; do echo "integration tests, executors lost at: $$family"; \
	  LEADPLAN_CRASH_POINTS=$$family $(BIN)/pytest -q -n $(WORKERS) --dist loadfile tests/integration || exit 1; done

resources: $(VENV)/.installed-dev ## Fill disks, run ten thousand plans at once and very large ones, print the figures (10 min)
	@$(BIN)/python tests/faults/run_resources.py $(ARGS)

bench: $(VENV)/.installed-bench ## Measure throughput and latency beside what the bus itself allows; a table, JSON and plots (9 min)
	@$(BIN)/python benchmarks/run.py $(ARGS)

bench-peers: $(VENV)/.installed-all ## Measure leadplan beside Restate, DBOS, Celery, taskiq and Prefect; a table and JSON (10 min)
	@$(BIN)/python benchmarks/peers/run_peers.py $(ARGS)

check: $(VENV)/.installed-dev ## Check style, types, import rules and that the generated files are fresh
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m leadplan_contracts.generate --check
	$(BIN)/python -m leadplan_executor.generate --check
	$(BIN)/python -m leadplan_cli.tool_pages --check

schemas: $(VENV)/.installed-dev ## Write the JSON Schema files, the AsyncAPI document and the generated parts of docs/ anew
	@$(BIN)/python -m leadplan_contracts.generate
	@$(BIN)/python -m leadplan_executor.generate
	@$(BIN)/python -m leadplan_cli.tool_pages

clean: ## Remove the virtual environment, caches and built files (data of `make dev` stays)
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find schemas services tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are younger than what they depend on, so that a second run starts at once.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@rm -rf $(VENV)
	@echo "Creating a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "No virtual environment: on Debian and Ubuntu, apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.installed-all: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing leadplan (only the first time and after a change of what it needs) ..."
	@$(PIP) install -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing leadplan and the development tools (only the first time and after a change of what it needs) ..."
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed-all $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@echo "Installing what draws the plots ..."
	@$(PIP) install -c constraints.txt -e '.[dev,bench]'
	@touch $@
