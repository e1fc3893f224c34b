# make up runs the whole system here, make test checks everything.
# A fresh machine needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: up test check bench clean help

up: $(VENV)/.run  ## run the whole system here; Ctrl-C stops it
	@exec $(BIN)/red-stats up

test: check  ## check and test everything
	$(BIN)/python -m pytest -q

check: $(VENV)/.dev  ## formatting, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## measure; each line prints a ratio
	$(BIN)/python -m bench

# The stamps remember the pins they were made from, so a warm start costs nothing.
$(VENV)/.dev: requirements-dev.txt pyproject.toml
	$(call install,requirements-dev.txt)
	@touch $(VENV)/.run $@

$(VENV)/.run: requirements.txt pyproject.toml
	$(call install,requirements.txt)
	@touch $@

define install
	@command -v $(PYTHON) >/dev/null || { echo "python3 >= 3.11 is missing: install python3 and python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "python3-venv is missing: install it"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on --require-hashes -r $(1)
	$(BIN)/python -m pip install --no-deps --no-build-isolation -q -e .
endef

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/'

clean:  ## remove the virtual environment
	rm -rf $(VENV)
