# `make help` lists the targets. Every target sets up what it needs.

PYTHON ?= python3
# Extra options for the installation of torch, e.g. an index that has CPU builds:
#   make run TORCH_OPTIONS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_OPTIONS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
TORCH := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow faults attack lint types format schema migrations evaluate benchmarks calibrate lock sbom audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first and without hashes: its build depends on the machine (CPU or GPU). What it needs
# is in the lock file, so that pip adds nothing that is not pinned there.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing (once; this takes a few minutes) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH_OPTIONS) $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(STAMP)
	@echo "Installing the tools for tests (once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

install: $(STAMP) ## Create .venv with everything that the server needs

run: $(STAMP) ## Start the server
	@exec $(BIN)/python server.py serve

test: $(DEV_STAMP) ## Run the tests (ARGS="..." is given to pytest)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations 15 \
		-m "not slow" $(ARGS)

# The attack tools are no part of the product and pin other versions of what it uses.
ATTACK := .venv-attack
$(ATTACK)/.installed: tools/attack_tools.txt | $(BIN)/python
	$(BIN)/python -m venv $(ATTACK)
	$(ATTACK)/bin/python -m pip install --quiet --disable-pip-version-check -r tools/attack_tools.txt
	@touch $@

test-slow: $(DEV_STAMP) $(ATTACK)/.installed ## Run the tests that wait for outages or measure, some minutes
	$(BIN)/python -m pytest --durations 15 -m slow $(ARGS)

attack: $(DEV_STAMP) $(ATTACK)/.installed ## Attack running servers with public tools (docs/security.md)
	$(BIN)/python -m pytest tests/attack $(ARGS)

faults: $(DEV_STAMP) ## Kill, starve and cut off the server for some minutes (docs/faults.md)
	GROUNDQL_FAULT_ROUNDS=20 $(BIN)/python -m pytest -s tests/faults $(ARGS)

lint: $(DEV_STAMP) ## Check style and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(DEV_STAMP) ## Check types
	$(BIN)/mypy

format: $(DEV_STAMP) ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

schema: $(STAMP) ## Write schema/schema.graphql
	$(BIN)/python server.py schema > schema/schema.graphql

migrations: $(STAMP) ## Write a migration for changed models
	$(BIN)/python -m tortoise makemigrations $(ARGS)

benchmarks: $(DEV_STAMP) ## Measure retrieval, speed and size (what the README quotes)
	$(BIN)/python -m benchmarks

evaluate: $(STAMP) ## Measure retrieval and citations on the golden questions (ARGS="FOLDER ..." adds collections)
	$(BIN)/python -m rag.evaluate --golden tests/golden/questions.jsonl --documents kb_docs $(ARGS)

calibrate: $(DEV_STAMP) ## Fit the relevance score to the development half of the golden questions
	$(BIN)/python -m benchmarks.calibrate

lock: $(BIN)/python ## Pin all dependencies anew (needs uv)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python tools/lock.py

# Tools that look at the environment have one of their own, so that they are not found in it.
TOOLS := .venv-tools
$(TOOLS)/.installed: | $(BIN)/python
	$(BIN)/python -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check \
		"cyclonedx-bom>=7,<8" "pip-licenses>=5,<6" "pip-audit>=2.10,<3"
	@touch $@

sbom: $(STAMP) $(TOOLS)/.installed ## Write what is installed as CycloneDX, and its licences, to build/
	$(BIN)/python tools/sbom.py $(TOOLS)/bin $(BIN)/python build

audit: $(TOOLS)/.installed ## Look up known faults of the pinned packages (needs PyPI's own service)
	$(TOOLS)/bin/pip-audit --disable-pip --no-deps --strict -r requirements.lock

clean: ## Remove the virtual environment and caches (your data stays)
	rm -rf $(VENV) $(TOOLS) $(ATTACK) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
