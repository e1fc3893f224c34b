# make up runs the whole system here, make test checks everything.
# A fresh machine needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: up test quick check browser bench faults soak lock clean help

up: $(VENV)/.run  ## run the whole system here; Ctrl-C stops it
	@exec $(BIN)/red-stats up

# Compiled once: it starts hundreds of processes, and where PYTHONDONTWRITEBYTECODE is set each would compile again.
test: check browser  ## check and test everything
	$(BIN)/python -m compileall -q red_common red_service red_stats
	$(BIN)/python -m pytest -q

quick: $(VENV)/.dev  ## the tests that need neither Kafka nor processes, in a few minutes
	$(BIN)/python -m pytest -q -m 'not system'

check: $(VENV)/.dev  ## formatting, lint, types, imports, spelling, and what is in deploy/
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(addprefix .github/ISSUE_TEMPLATE/,bug.yml feature.yml)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/python -m pytest -q tests/deploy

browser:  ## Chromium for the tests of the pages: they are skipped where it is not and cannot be had
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -q -y --no-install-recommends chromium; } \
	  || echo "no Chromium: the tests of the pages will be skipped; apt-get install chromium"

bench: $(VENV)/.dev  ## measure; each line prints a ratio
	$(BIN)/python -m bench

faults: $(VENV)/.dev  ## every fault in its long form, an hour or two; writes docs/reliability.md
	$(BIN)/python -m tests.faults --long

soak: $(VENV)/.dev  ## an hour under steady load; draws docs/images/soak.svg
	$(BIN)/python -m bench.soak

# The stamps remember the pins they were made from, so a warm start costs nothing.
$(VENV)/.dev: requirements-dev.txt pyproject.toml
	$(call install,requirements-dev.txt)
	@$(BIN)/python -m red_service.redness.kernel
	@$(BIN)/python -m red_stats.kafka.scanner
	@$(BIN)/python -m red_stats.local.kafka_training
	@touch $(VENV)/.run $@

$(VENV)/.run: requirements.txt pyproject.toml
	$(call install,requirements.txt)
	@command -v cc gcc clang >/dev/null || $(BIN)/python -m pip install -q --require-hashes -r requirements-compiler.txt || true
	@$(BIN)/python -m red_service.redness.kernel
	@$(BIN)/python -m red_stats.kafka.scanner
	@$(BIN)/python -m red_stats.local.kafka_training
	@touch $@

define install
	@command -v $(PYTHON) >/dev/null || { echo "python3 >= 3.11 is missing: install python3 and python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "python3-venv is missing: install it"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on --require-hashes -r $(1)
	$(BIN)/python -m pip install --no-deps --no-build-isolation -q -e .
endef

PIN := pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url

lock: $(VENV)/.dev  ## pin anew what pyproject.toml asks for, one version for running and testing
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv $(PIN) --upgrade pyproject.toml --group dev -o requirements-dev.txt
	$(BIN)/uv $(PIN) --group build pyproject.toml -c requirements-dev.txt -o requirements.txt
	$(BIN)/uv $(PIN) --group compiler -c requirements-dev.txt -o requirements-compiler.txt

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## /\1\t/p' Makefile | expand -t 10

clean:  ## remove the virtual environment
	rm -rf $(VENV)
