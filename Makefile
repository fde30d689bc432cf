# make demo    install, train PPO on global-24 for 2 minutes, benchmark it against every heuristic and quick planner
# make test    lint and the tests that are quick
SHELL := /bin/sh
.DELETE_ON_ERROR:
export OMP_NUM_THREADS ?= 1

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo $$python; break; }; done)
WORKERS ?= 2
EPISODES ?= 100
MINUTES ?= 2
RUN = .venv/bin/python
STAMP = .venv/.installed

.PHONY: venv demo bench test test-slow lint format clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[train,dev,opt]'
	@touch $(STAMP)

demo: $(STAMP)
	$(RUN) scripts/train.py --scenario global-24 --env og_env/Placement-v0 --minutes $(MINUTES) --seed 0 --out runs/demo
	$(RUN) scripts/benchmark.py --scenario global-24 --policies all,planners,runs/demo --episodes $(EPISODES) --out runs/demo/benchmark

bench: $(STAMP)
	$(RUN) scripts/bench_speed.py

test: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m 'not slow'

test-slow: lint
	$(RUN) -m pytest -q -n $(WORKERS)

lint: $(STAMP)
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pyright

format: $(STAMP)
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
