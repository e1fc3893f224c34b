# make test: everything that is checked here. A fresh machine needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: test check clean

test: check
	$(BIN)/python -m pytest -q

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The stamp remembers the pins it was made from, so a warm start costs nothing.
$(VENV)/.dev: requirements-dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 >= 3.11 is missing: install python3 and python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "python3-venv is missing: install it"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -q -e .
	@touch $@

clean:
	rm -rf $(VENV)
