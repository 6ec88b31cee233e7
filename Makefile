# `make install`, `make quickstart`, `make test` do everything on a fresh clone; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

.PHONY: help
help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

.PHONY: install
install: $(VENV)/.installed  ## create .venv and install hemf in it, at the tested versions

$(VENV)/.installed: pyproject.toml constraints.txt hatch_build.py $(wildcard src/hemf/models/kernels/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	@touch $@

.PHONY: quickstart
quickstart: install  ## make images, train a small HEMF on them, evaluate it: under five minutes
	rm -rf prepared/demo runs/quickstart
	$(BIN)/hemf data demo --out prepared/demo
	$(BIN)/hemf train --data prepared/demo --recipe quickstart --name quickstart
	$(BIN)/hemf evaluate runs/quickstart

.PHONY: test
test: install  ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

.PHONY: fuzz
fuzz: install  ## a thousand damaged files through every verb, with the result in benchmarks/results
	OMP_NUM_THREADS=1 $(BIN)/python tests/hostile/fuzz.py

.PHONY: kill
kill: install  ## 200 random SIGKILLs over all verbs that write, each followed by the same command: about an hour
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kill.py --kills 200 --out kill.json

.PHONY: load
load: install  ## 50 clients on a server for a minute: throughput beside the bare model, waiting times, memory
	rm -rf prepared/load runs/load
	$(BIN)/hemf data demo --out prepared/load
	$(BIN)/hemf train --data prepared/load --recipe quickstart --name load --epochs 1
	$(BIN)/python benchmarks/serving.py runs/load --images prepared/load --seconds 60 --out load.json

.PHONY: lint
lint: install  ## style, format, types, and which way imports go
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/pyright --pythonpath $(BIN)/python

# Not --quiet, with which mkdocs does not count the warnings that --strict stops at.
.PHONY: docs
docs: install  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
