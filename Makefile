# make demo    install what it needs, play `og-env demo`, train on global-24 for 2 minutes, benchmark the result
# make pretrained  train the policies that come with the package, and put the best seed of each into agents/og_agents/pretrained
# make bench   the speed of the environment; RECORD=FILE keeps the figures, AGAINST=FOLDER compares another checkout with this one
# make test    lint and the tests that are quick
# make test-slow    lint and all tests but the long ones
# make test-long    the long tests alone: fuzzed input in full counts, for hours
# make test-compat  the tests of the interfaces with the newest Gymnasium on each Python, with the oldest on one, and with the
#                   lowest and highest version of every dependency; old packages may warn of one another
# make coverage    the quick tests and the share of lines that they run; below 85 % it fails
# make mutants     change one operator at a time and see whether a test notices; ONLY=REGEX, COUNT=N, SEED=K
# make audit-dependencies  known vulnerabilities of the installed packages, where pip-audit is installed
# make test-ray     the tests on a Ray cluster, in a venv of its own
# make docs    the documentation as HTML in build/docs
SHELL := /bin/sh
.DELETE_ON_ERROR:
export OMP_NUM_THREADS ?= 1

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo $$python; break; }; done)
WORKERS ?= 2
EPISODES ?= 64
MINUTES ?= 2
RUN = .venv/bin/python
STAMP = .venv/.installed
TRAIN_STAMP = .venv/.train
PYTHONS = 3.11 3.12 3.13
FOUND = $(shell for version in $(PYTHONS); do if python$$version -c "" 2>/dev/null; then echo $$version; fi; done)
COMPAT = $(FOUND:%=%-newest) $(firstword $(FOUND))-1.2.2 $(firstword $(FOUND))-lowest $(firstword $(FOUND))-highest
COMPAT_TESTS = tests/contracts/test_env.py tests/simulator/test_reset_options.py tests/contracts/test_golden.py tests/contracts/test_vector_reward.py \
	tests/agents/test_sb3_adapter.py tests/agents/learning/test_checkpoint.py tests/scripts/test_examples.py

.PHONY: venv demo pretrained bench test test-slow test-long test-compat test-ray coverage mutants audit-dependencies docs lint format \
	clean

venv: $(STAMP)

$(RUN):
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv

# one venv: training and the planners' programmes for `make demo`, the tools of development on top for the rest
$(STAMP): EXTRAS = train,dev,opt
$(TRAIN_STAMP): EXTRAS = train,opt
$(STAMP) $(TRAIN_STAMP): Makefile pyproject.toml constraints.txt | $(RUN)
	$(RUN) -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(TRAIN_STAMP) $@

demo: $(TRAIN_STAMP)
	.venv/bin/og-env demo --out runs/demo/first
	.venv/bin/og-env train --scenario global-24 --algorithm rpi --minutes $(MINUTES) --seed 0 --out runs/demo
	.venv/bin/og-env benchmark --scenario global-24 --policies all,planners,runs/demo --episodes $(EPISODES) --out runs/demo/benchmark

pretrained: $(STAMP)
	$(RUN) scripts/pretrain.py
	$(RUN) scripts/pretrain.py --recipes ppo_routing --scenarios grey-failures,price-of-distance,far-and-full,global-24

bench: $(STAMP)
	$(RUN) scripts/bench_speed.py $(if $(RECORD),--record $(RECORD)) $(if $(AGAINST),--against $(AGAINST))

test: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m 'not slow'

test-slow: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m 'not long'

test-long: lint
	$(RUN) -m pytest -q -n $(WORKERS) -m long

test-compat:
	@$(foreach version,$(filter-out $(FOUND),$(PYTHONS)),echo "python$(version) is not on this machine: not tested";)
	@test -n "$(FOUND)"
	@$(MAKE) --no-print-directory $(COMPAT:%=.venv-compat/%/.installed)
	@for version in $(COMPAT); do \
		python=.venv-compat/$$version/bin/python; \
		$$python -c 'import sys, gymnasium; print("Python", sys.version.split()[0], "gymnasium", gymnasium.__version__)' || exit 1; \
		case $$version in *-lowest) told="-W default";; *) told=;; esac; \
		$$python -m pytest -q -m 'not slow' -rs $$told $(COMPAT_TESTS) || exit 1; \
	done

coverage: $(STAMP)
	$(RUN) -m pytest -q -n $(WORKERS) -m 'not slow' --cov --cov-report=term:skip-covered

mutants: $(STAMP)
	$(RUN) scripts/mutants.py --seed $(or $(SEED),0) --count $(or $(COUNT),200) $(if $(ONLY),--only '$(ONLY)')

audit-dependencies: $(STAMP)
	@if $(RUN) -c 'import pip_audit' 2>/dev/null; then $(RUN) -m pip_audit --local --skip-editable; \
	else echo "pip-audit is not installed: $(RUN) -m pip install pip-audit"; fi

test-ray: .venv-compat/ray/.installed
	.venv-compat/ray/bin/python -m pytest -q tests/agents/cluster tests/scripts/test_examples.py

# PYTHON-GYMNASIUM, where the other packages are those of constraints.txt, or PYTHON-lowest and PYTHON-highest, where all are
# the ends of the ranges in pyproject.toml
COMPAT_PYTHON = python$(word 1,$(subst -, ,$*))
COMPAT_PACKAGES = -e '.[train,dev,mo,optuna,torchrl]' $(patsubst %,'gymnasium==%',$(filter-out newest lowest highest,$(word 2,$(subst -, ,$*))))

.venv-compat/%/.installed: pyproject.toml constraints.txt
	$(COMPAT_PYTHON) -m venv .venv-compat/$*
	$(COMPAT_PYTHON) scripts/version_ranges.py $(or $(filter lowest highest,$(word 2,$(subst -, ,$*))),pinned) > .venv-compat/$*/constraints.txt
	.venv-compat/$*/bin/python -m pip install --quiet -c .venv-compat/$*/constraints.txt $(COMPAT_PACKAGES)
	@touch $@

.venv-compat/%-lowest/.installed: COMPAT_PACKAGES = -e '.[train,dev]'
.venv-compat/ray/.installed: COMPAT_PYTHON = $(PYTHON)
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
