# Commands for working on Stepcast. `make` alone lists them.
# Another interpreter: make PYTHON=python3.13 run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup run test test-docker lint docs train universal skill bench crash soak lock clean

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.installed-dev ## Install everything: to serve, to train and to develop

run: $(VENV)/.installed-service ## Install what serving needs and serve the bundled models
	@$(BIN)/stepcast serve

test: setup ## Run the tests, on all cores
	$(BIN)/pytest --numprocesses auto --dist loadfile

test-docker: setup ## Build the images and test them (needs a Docker engine)
	$(BIN)/pytest tests/docker

lint: setup ## Check style, types and the arrows between the packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs ## Build the site of the documentation into site/; a link that leads nowhere fails
	$(BIN)/mkdocs build --strict

train: setup ## Fit the worked example again
	$(BIN)/stepcast train --config examples/recipes/shampoo.toml --force

universal: setup ## Make the universal model again (ten minutes on two cores)
	$(BIN)/stepcast pretrain --config examples/recipes/universal.toml --force

skill: setup ## Score the universal model and what training makes of it on data sets, into docs/
	$(BIN)/python -m benchmarks.skill
	$(BIN)/python -m benchmarks.trained

bench: $(VENV)/.installed-bench ## Measure what docs/performance.md claims (needs wrk, ten minutes)
	$(BIN)/python -m benchmarks

crash: setup ## Kill the service 500 times under load, with another seed each time
	CRASH_ROUNDS=500 CRASH_SEED="$${CRASH_SEED:-$$(date +%s)}" $(BIN)/pytest -q -rP tests/app/test_crash.py

soak: setup ## Send 500,000 mixed requests and watch memory, open files and disk
	SOAK_REQUESTS="$${SOAK_REQUESTS:-500000}" $(BIN)/pytest -q -rP tests/app/test_soak.py

# Versions that still fit are kept. To take newer ones: make lock LOCK_FLAGS=--upgrade
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(LOCK_FLAGS)

lock: $(BIN)/pip ## Write requirements/*.txt again from pyproject.toml
	@$(PIP) install uv
	$(COMPILE) pyproject.toml --extra dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra bench -c requirements/dev.txt -o requirements/bench.txt
	$(COMPILE) pyproject.toml --extra training -c requirements/dev.txt -o requirements/training.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/service.txt
	$(COMPILE) pyproject.toml --extra peers -o requirements/peers.txt
	$(COMPILE) pyproject.toml --extra docs -c requirements/dev.txt -o requirements/docs.txt
	echo 'setuptools>=80' | $(COMPILE) - -c requirements/dev.txt -o requirements/build.txt

clean: ## Remove the environment, caches and build output
	rm -rf $(VENV) build dist site *.egg-info .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# A stamp is written once its packages are in, and is redone when a file it was made from changes.
INSTALL = $(PIP) install --require-hashes -r requirements/build.txt -r
INSTALL_PROJECT = $(PIP) install --no-deps --no-build-isolation --editable .

$(VENV)/.installed-service: requirements/build.txt requirements/service.txt pyproject.toml | $(BIN)/pip
	@echo 'Installing what serving needs into $(VENV) ...'
	@$(INSTALL) requirements/service.txt
	@$(INSTALL_PROJECT)
	@touch $@

# The lock for development holds all that serving needs, in the same versions: one install, two stamps.
$(VENV)/.installed-dev: requirements/build.txt requirements/dev.txt pyproject.toml | $(BIN)/pip
	@echo 'Installing what development needs into $(VENV), TensorFlow included ...'
	@$(INSTALL) requirements/dev.txt
	@$(INSTALL_PROJECT)
	@touch $@ $(VENV)/.installed-service

$(VENV)/.installed-bench: requirements/bench.txt | setup
	@echo 'Installing what the benchmarks compare with into $(VENV) ...'
	@$(INSTALL) requirements/bench.txt
	@touch $@

$(VENV)/.installed-docs: requirements/docs.txt | $(BIN)/pip
	@echo 'Installing what the site is built with into $(VENV) ...'
	@$(INSTALL) requirements/docs.txt
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Stepcast needs Python 3.11 or newer: make PYTHON=/path/to/python ...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
