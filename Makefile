.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Which Python makes the environment: `make PYTHON=/path/to/python setup` overrides the search.
PYTHON ?=
INSTALLED := .venv/.installed
PIP := .venv/bin/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: help setup demo test check sim chaos-storage explore fuzz bench bench-setup clean

help: ## show this list
	@echo "hvlab: a failover cluster with live migration. Words to make:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s%s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) ## make .venv from the lock; install what system-packages.txt lists
	@names=$$(sed 's/#.*//' system-packages.txt | xargs); missing=; \
	if [ -z "$$names" ]; then echo "setup: no system packages are needed"; exit 0; fi; \
	for name in $$names; do \
		dpkg-query -W -f '$${Status}' "$$name" 2>/dev/null | grep -q 'ok installed' \
			|| missing="$$missing $$name"; \
	done; \
	if [ -z "$$missing" ]; then echo "setup: the system packages are there: $$names"; \
	elif [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
		echo "setup: installing system packages:$$missing"; \
		export PATH="$$PATH:/usr/sbin:/sbin"; apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $$missing; \
	else echo "setup: some tests need these system packages, please install them:$$missing"; fi

demo: $(INSTALLED) ## watch a running virtual machine move between two real processes
	@.venv/bin/hvlab demo

test: setup ## run all tests; as root it installs what system-packages.txt lists
	@echo "test: running all tests, two at a time"
	@.venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

check: $(INSTALLED) ## lint, format, types, and the rules of the repository
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -q --durations=0 --durations-min=1 tests/test_rules.py

sim: $(INSTALLED) ## play broken networks, steps, 10,000 seeds, and 5,000 of shared storage
	@.venv/bin/hvlab sim --tables --seeds 10000
	@.venv/bin/hvlab sim --storage --seeds 5000

chaos-storage: $(INSTALLED) ## hurt a lab with a SAN 200 times, and join what disks and guests say
	@.venv/bin/python -m lab.chaos_storage

explore: $(INSTALLED) ## go through every execution of two short stories, as far as 45 minutes go
	@.venv/bin/python -m lab.exploration --minutes 15

fuzz: $(INSTALLED) ## look for five minutes for bytes that a receiver of pages does not survive
	@.venv/bin/python -m tests.fuzz -max_total_time=300 -max_len=4096

bench: $(INSTALLED) ## measure migrations, failovers, disks, a cluster at rest; build/bench.html
	@mkdir -p build
	@.venv/bin/python -m lab.bench --html build/bench.html --json-file build/bench.json

# Under TCG, QEMU loses pages before version 8: from Debian's backports where apt knows them.
bench-setup: ## install what migrations are measured beside: QEMU, and gcc for its guest
	@export PATH="$$PATH:/usr/sbin:/sbin"; names="qemu-system-x86 gcc iproute2"; \
	suite=$$(apt-cache policy 2>/dev/null | grep -o 'n=[a-z]*-backports' | head -n 1 | cut -c 3-); \
	if [ "$$(id -u)" != 0 ] || ! [ -e /etc/debian_version ]; then \
		echo "bench-setup: please install these system packages: $$names"; exit 1; \
	fi; \
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
		$${suite:+-t $$suite} $$names; \
	echo "bench-setup: $$(qemu-system-x86_64 --version | head -n 1)"; \
	[ -n "$$suite" ] || echo "bench-setup: for QEMU 10 on Debian 12, add its backports to apt's sources"

clean: ## remove .venv and all that tools have left
	@echo "clean: removing .venv, caches and build products"
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A name on the PATH proves nothing (version switchers leave stubs), so each candidate must run.
$(INSTALLED): requirements.lock pyproject.toml
	@if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		old=; bare=; \
		for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
			"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
				|| { old="$$old $$python"; continue; }; \
			"$$python" -c 'import ensurepip, venv' 2>/dev/null && break; \
			bare=$$("$$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); python=; \
		done; \
		if ! "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			if [ -n "$$bare" ]; then \
				echo "setup: $$bare cannot make virtual environments; on Debian: apt-get install $$bare-venv" >&2; \
			else \
				echo "setup: hvlab needs Python 3.11 or newer, and none of these is:$$old" >&2; \
			fi; exit 1; \
		fi; \
		echo "setup: making .venv with $$("$$python" -V)"; \
		"$$python" -m venv --clear .venv; \
	fi
	@echo "setup: installing the packages of requirements.lock into .venv (once, about a minute)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
