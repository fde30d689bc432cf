# make demo    install, train on global-24 for 3 minutes, benchmark against every heuristic and quick planner
# make pretrained  train the policies that come with the package, and put the best seed of each into agents/og_agents/pretrained
# make bench   the speed of the environment; RECORD=FILE keeps the figures, AGAINST=FOLDER compares another checkout with this one
# make test    lint and the tests that are quick
# make test-slow    lint and all tests but the long ones
# make test-long    the long tests alone: fuzzed input in full counts, for hours
# make test-compat  the tests of the interfaces with the oldest and with the newest Gymnasium, in venvs of their own
# make test-ray     the tests on a Ray cluster, in a venv of its own
# make docs    the documentation as HTML in build/docs
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
COMPAT = 1.2.2 newest
COMPAT_TESTS = tests/contracts/test_env.py tests/simulator/test_reset_options.py tests/contracts/test_golden.py tests/contracts/test_vector_reward.py \
	tests/agents/test_sb3_adapter.py tests/agents/learning/test_checkpoint.py tests/scripts/test_examples.py

.PHONY: venv demo pretrained bench test test-slow test-long test-compat test-ray docs lint format clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[train,dev,opt]'
	@touch $(STAMP)

demo: $(STAMP)
	$(RUN) scripts/train.py --scenario global-24 --algorithm rpi --minutes $(MINUTES) --seed 0 --out runs/demo-rpi
	$(RUN) scripts/train.py --scenario global-24 --start runs/demo-rpi --minutes 1 --seed 0 --out runs/demo
	$(RUN) scripts/benchmark.py --scenario global-24 --policies all,planners,runs/demo --episodes $(EPISODES) --out runs/demo/benchmark

pretrained: $(STAMP)
	$(RUN) scripts/pretrain.py

bench: $(STAMP)
	$(RUN) scripts/bench_speed.py $(if $(RECORD),--record $(RECORD)) $(if $(AGAINST),--against $(AGAINST))

test: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m 'not slow'

test-slow: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m 'not long'

test-long: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m long

test-compat: $(COMPAT:%=.venv-compat/%/.installed)
	@for version in $(COMPAT); do \
		python=.venv-compat/$$version/bin/python; \
		$$python -c 'import gymnasium; print("gymnasium", gymnasium.__version__)' || exit 1; \
		$$python -m pytest -q -m 'not slow' -rs $(COMPAT_TESTS) || exit 1; \
	done

test-ray: .venv-compat/ray/.installed
	.venv-compat/ray/bin/python -m pytest -q tests/agents/cluster/test_ray_evaluate.py tests/agents/cluster/test_rllib.py tests/scripts/test_examples.py

# the other packages are those of constraints.txt
.venv-compat/%/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-compat/$*
	grep -v '^gymnasium==' constraints.txt > .venv-compat/$*/constraints.txt
	.venv-compat/$*/bin/python -m pip install --quiet -c .venv-compat/$*/constraints.txt $(COMPAT_PACKAGES)
	@touch $@

.venv-compat/newest/.installed: COMPAT_PACKAGES = -e '.[train,dev,mo,optuna,torchrl]' 'gymnasium<2'
.venv-compat/1.2.2/.installed: COMPAT_PACKAGES = -e '.[train,dev,mo,optuna,torchrl]' 'gymnasium==1.2.2'
.venv-compat/ray/.installed: COMPAT_PACKAGES = -e '.[train,dev,opt,rllib]'

docs: $(STAMP)
	@$(RUN) -c 'import furo, myst_parser, sphinx' 2>/dev/null || $(RUN) -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(RUN) -m sphinx -W --keep-going -q -b html .github/docs build/docs

lint: $(STAMP)
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pyright

format: $(STAMP)
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

clean:
	rm -rf .venv .venv-compat build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
