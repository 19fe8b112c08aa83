# Two commands for a newcomer:  make demo   and   make test.
# Each creates .venv and installs into it when pyproject.toml or constraints.txt changed, else at once.

PYTHON ?= python3
SEED ?= 1
SEEDS ?= 1
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/installed

.PHONY: help demo test check lint types simulate simulate-jobs faults systems bench clean

help:  ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# "compat" is a plain line in a .pth file; the finder of other editable installs costs each process 14 ms.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %s; try: make PYTHON=python3.11" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	@touch $(READY)

demo: $(READY)  ## Start a cluster, count the words of Python's own library on it, check the answer, stop it
	$(BIN)/python -m examples.demo

# Hundreds of processes start in it: they find modules compiled, whatever the environment says.
test: $(READY)  ## All tests (below six minutes on two cores; a third process, as some of them wait)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(READY)  ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy --strict over dynamo and mapreduce
	$(BIN)/mypy

check: lint types test  ## What CI runs

simulate: $(READY)  ## One simulated run with its ladder (SEED=n), or many on all cores (SEED=n SEEDS=1000)
	$(BIN)/python -m dynamo.simulation --seed $(SEED) --seeds $(SEEDS)

simulate-jobs: $(READY)  ## The same for the scheduler of jobs (SEED=n, or SEEDS=10000 for some minutes)
	$(BIN)/python -m tests.simulation.jobs --seed $(SEED) --seeds $(SEEDS)

faults: $(READY)  ## All that may be killed while jobs run or the ring changes, and some minutes of random faults (SEED=n)
	FAULTS_SEED=$(SEED) $(BIN)/python -m pytest -m faults -rP --timeout 1200

systems: $(READY)  ## What the systems we come from promise, at full length: their suites, ssh, sandboxes (some minutes)
	$(BIN)/python -m pytest -m systems -n 2 --timeout 600

bench: $(READY)  ## Every benchmark, side by side in one run (about ten minutes, with the extra bench installed twenty)
	$(BIN)/python -m benchmarks

clean:  ## Remove the environment and caches
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
