# Every target sets up what it needs; the machine brings Python >= 3.11, make and git.
#   make demo [DATA=cifar10]   make test   make test-long   make test-floors
#   make lint   make docs   make bench   make clean
# PYTHON=/path/to/python chooses the interpreter; JOBS=8 runs that many test processes.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-long test-floors lint docs bench clean

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# The first of $(1) that runs and can make environments (Debian ships pythons that cannot).
usable = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= $(1))
find-python = $(shell for p in $(2); do \
    "$$p" -c "$(call usable,$(1))" >/dev/null 2>&1 && { command -v "$$p"; break; }; done)

PYTHON ?= $(call find-python,(3, 99),python3.14 python3.13 python3.12 python3.11 python3 python)
# numpy, torch and torchvision have no wheels of the floors for a newer Python than 3.12.
PYTHON_FLOORS ?= $(call find-python,(3, 12),$(PYTHON) python3.11 python3.12 python3 python)

JOBS ?= 2
# Many tests write files, and each waits for the disk; in memory they need not, where there is room.
IN_MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 2000000 && $$6 == "/dev/shm" \
    { print "PYTEST_DEBUG_TEMPROOT=/dev/shm" }')
# Two processes of one thread each take less time than one of two threads. One hash seed for all of
# them: a net's repr, hence the name of a test, holds a set.
PYTEST = $(IN_MEMORY) PYTHONDONTWRITEBYTECODE= PYTHONHASHSEED=0 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE \
    $(1)/bin/python -m pytest -n $(JOBS) --dist loadgroup
comma := ,
BENCHMARKS ?= $(wildcard benchmarks/bench_*.py)
# Packaging does not depend on the floors.
FLOORS_TESTS ?= tests --ignore=tests/test_packaging.py

help:
	@sed -n 's/^#   /    /p' Makefile

# $(call make-env,folder,variable of the python,its versions,pip options,extras): an environment that exists, made by
# hand or by an interrupted run, is completed and not thrown away.
define make-env
	@$(1)/bin/python -m pip --version >/dev/null 2>&1 || { \
	    python="$($(2))"; \
	    test -n "$$python" || { echo "No Python $(3) that can make virtual environments was found." \
	        "Install one, or name it: $(2)=/path/to/python" >&2; exit 1; }; \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	        echo "skunlearn needs Python >= 3.11: $$python is older or does not run." >&2; exit 1; }; \
	    "$$python" -m venv $(1); }
	$(1)/bin/python -m pip install $(4) -e ".[$(5)]"
	@touch $@
endef

.venv/.installed: pyproject.toml setup.cfg
	$(call make-env,.venv,PYTHON,>= 3.11,,tests)

.venv/.docs-installed: pyproject.toml setup.cfg
	$(call make-env,.venv,PYTHON,>= 3.11,,tests$(comma)docs)

.venv-floors/.installed: pyproject.toml setup.cfg tests/floors.txt
	$(call make-env,.venv-floors,PYTHON_FLOORS,3.11 or 3.12,-c tests/floors.txt,tests)

demo: .venv/.installed
	$(if $(filter cifar10,$(DATA)),.venv/bin/python examples/plot_cifar10_automobile.py,.venv/bin/python -m skunlearn.demo)

test: .venv/.installed
	$(call PYTEST,.venv) --ignore=tests/long --doctest-modules tests skunlearn

test-long: .venv/.installed
	$(call PYTEST,.venv) -m long tests

test-floors: .venv-floors/.installed
	$(call PYTEST,.venv-floors) --ignore=tests/long $(FLOORS_TESTS)

lint: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# The pages' doctests and code, the site with warnings as errors, and its links; -E, as pages that are generated
# for new names would be missed otherwise. SKUNLEARN_DOCS_LONG=1 runs the
# examples that take long too.
DOCS_RUN = PYTHONHASHSEED=0 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE .venv/bin/python
docs: .venv/.docs-installed
	$(DOCS_RUN) -m pytest -q --doctest-glob='*.rst' docs/start docs/guide
	$(DOCS_RUN) docs/run_code.py README.md docs/start/*.rst
	$(DOCS_RUN) -m sphinx -E -W --keep-going -b html docs build/docs
	.venv/bin/python docs/check_links.py build/docs
	@echo "Open build/docs/index.html"

bench: .venv/.installed
	@test -n "$(BENCHMARKS)" || { echo "benchmarks/ holds no bench_*.py." >&2; exit 1; }
	.venv/bin/python benchmarks/run.py $(BENCHMARKS)

# The environments stay: they cost gigabytes to fetch. `rm -r .venv .venv-floors` removes them.
clean:
	rm -rf build dist skunlearn.egg-info .pytest_cache .ruff_cache
	rm -rf docs/api docs/auto_examples docs/generated docs/_static/generated
	rm -f docs/references.rst docs/sg_execution_times.rst
	find skunlearn tests examples benchmarks docs -name __pycache__ -type d -prune \
	    -exec rm -rf {} + 2>/dev/null || true
