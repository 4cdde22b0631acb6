# lbsync: `make demo` for the rehearsal, `make test` for everything that is checked. Both set themselves up.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
OTHER_PYTHONS := 3.12 3.13 3.14
SOURCES := lbsync providers certs tests tools bench
PROGRAMS := haproxy nginx libnginx-mod-stream openssh-server iproute2
# The dashboard is tested in it.
BROWSER := chromium

# CI turns every skip for want of these into a failure.
ifeq ($(CI),true)
export LBSYNC_REQUIRE ?= haproxy,nginx,sshd,chromium,data
endif
# Tests that touch the world wait for real programs more than they compute: five workers for two processors. Long ones stand beside each other in
# their files: who is done takes over from who is not (--dist worksteal).
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell echo $$((5 * $$(nproc) / 2)))
# Tests start the command hundreds of times: with no bytecode kept, each start compiles all of it again (a second).
export PYTHONDONTWRITEBYTECODE :=
# The wheels bring node and pyright with them: no look-up, no download, whatever else is on PATH.
export PYRIGHT_PYTHON_GLOBAL_NODE := 0
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT := 1

# Coverage is measured where decisions are tested: it costs a third of the time, and what must be covered in full is pure.
# These touch the world, but for the files of theirs with _pure in their names.
ACTING := $(addprefix tests/,balancers bench cli exchange f5 haproxy kit lab ledger nginx rollout service testing)
DECIDING := $(filter-out $(ACTING) tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/))) $(wildcard $(ACTING:%=%/*_pure*.py))

.PHONY: help setup packages demo test longer lint style types types-elsewhere deciding collecting acting bench soak compat lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## the locked environment in .venv (quick when up to date)
	@tools/setup.sh

packages:
	@tools/packages.sh $(PROGRAMS) $(BROWSER)

demo: setup ## a whole rollout on a rehearsal farm, and back (DEMO="--balancer nginx --ssh" through NGINX, over SSH)
	@tools/packages.sh $(if $(DEMO),$(PROGRAMS),haproxy)
	@PATH="$$PATH:/usr/sbin:/sbin" $(BIN)/lbsync lab demo $(DEMO)

test: setup packages ## set up, lint, types, floors, every test
	@echo "Style, types and the tests of decisions first, at the same time: some minutes, each told when it ends."
	@$(MAKE) -j $$(nproc) --output-sync=target style types types-elsewhere deciding collecting
	@$(MAKE) acting

longer: setup packages ## every test, with the variants that `make test` leaves out (half an hour)
	LBSYNC_LONGER=1 $(MAKE) deciding acting

lint: style types types-elsewhere ## ruff, mypy, pyright, import-linter, typos

style: setup
	$(BIN)/ruff check --no-cache --quiet $(SOURCES)
	$(BIN)/ruff format --quiet --check $(SOURCES)
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/typos

types: setup
	$(BIN)/mypy
	$(BIN)/pyright

# The Pythons that are not run here: mypy as each of them, pyright as the newest.
types-elsewhere: setup
	@for version in $(OTHER_PYTHONS); do \
	  echo "mypy as Python $$version"; $(BIN)/mypy --python-version $$version; done
	@echo "pyright as Python $(lastword $(OTHER_PYTHONS))"
	@$(BIN)/pyright --pythonversion $(lastword $(OTHER_PYTHONS)) lbsync providers certs

deciding: setup
	$(BIN)/python -m pytest -n $$(nproc) --dist worksteal --cov --cov-branch --cov-report=json:.coverage.json $(DECIDING)
	$(BIN)/python tools/floors.py .coverage.json

# What pytest makes of each file is kept: made once here, or by each worker at the same time.
collecting: setup
	@said=$$($(BIN)/python -m pytest --collect-only -qq $(ACTING)) || { tail -n 60 <<<"$$said"; exit 1; }

acting: setup
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore-glob='*_pure*.py' $(ACTING)

bench: setup packages ## speed and memory, as ratios of one run (BENCH=--quick for a short one)
	@PATH="$$PATH:/usr/sbin:/sbin" $(BIN)/python -m bench $(BENCH)

soak: setup packages ## 500 seeded kills of the real command (KILLS=n, SEED=n)
	LBSYNC_LONGER=1 LBSYNC_KILLS=$(or $(KILLS),500) LBSYNC_SEED=$(SEED) $(BIN)/python -m pytest -q -n auto --dist worksteal tests/rollout/test_sigkill.py

compat: setup ## the tests of HAProxy and NGINX against other Debian packages, unpacked into .compat
	@tools/compat.sh

lock: setup ## resolve requirements/*.txt again, with hashes, for Python 3.11 to 3.14
	@tools/lock.sh

clean: ## everything that was made here, the environments included
	rm -rf .venv .uv .bench .compat .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
