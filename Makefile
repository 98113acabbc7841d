# Run, test and check Tokenbook. PYTHON names the interpreter that the environment is made with.

SHELL := /bin/sh
PYTHON ?=
PY := .venv/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
CANDIDATES := $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python)
SOURCES := accounts budgets config exports usage
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# Checks read the settings and touch neither a database nor the data directory.
CHECK_ENV := env -u DATABASE_URL TOKENBOOK_DATA=.venv/no-data \
	SECRET_KEY=for-checks-only-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEF

.PHONY: run test soak check format bench lock clean environment test-environment bench-environment \
	browser

# What `manage.py up` does too, after a second of loading Django for nothing.
run: environment
	@exec $(PY) -m config.launcher

# By three runs side by side, each over a server and directories of its own, because tests wait more
# than they compute; they share the tests out among themselves (tests/sharing.py). What the others
# say is told when all are done.
test: test-environment browser check
	@export TESTS_SHARED=.venv/tests-shared; rm -rf $$TESTS_SHARED; mkdir $$TESTS_SHARED; \
	$(PY) -m pytest -q -p tests.sharing > .venv/first-run.log 2>&1 & first=$$!; \
	$(PY) -m pytest -q -p tests.sharing > .venv/second-run.log 2>&1 & second=$$!; \
	$(PY) -m pytest -q -p tests.sharing; third=$$?; \
	wait $$first; first=$$?; wait $$second; second=$$?; \
	cat .venv/first-run.log .venv/second-run.log; exit $$((first | second | third))

# Everything that may happen to a company's processes, again and again; as root also a full disk.
SOAK_MINUTES ?= 15
soak: test-environment
	@SOAK_MINUTES=$(SOAK_MINUTES) SOAK_TABLE=.venv/soak.md \
		$(PY) -m pytest -q -s tests/faults/test_soak.py; code=$$?; \
	echo "The table is in .venv/soak.md, what the processes said in .venv/soak.log"; exit $$code

check: test-environment
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(CHECK_ENV) $(PY) -m mypy $(SOURCES)
	$(CHECK_ENV) $(PY) -W 'ignore:Got an error checking a consistent migration history' \
		manage.py makemigrations --check --dry-run
	$(CHECK_ENV) $(PY) manage.py check
	$(PY) -m pytest -q tests/test_architecture.py

format: test-environment
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: bench-environment
	@for script in bench/[a-z]*.py; do \
		$(PY) -m "bench.$$(basename "$$script" .py)" || exit 1; done

# What pyproject.toml asks for, resolved for every platform, with the hash of every file.
lock: environment
	$(PIP) install uv
	$(PY) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--no-header --output-file requirements.txt pyproject.toml
	$(PY) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--no-header --constraints requirements.txt --output-file tests/requirements.txt \
		--group dev
	$(PY) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--no-header --constraints requirements.txt --constraints tests/requirements.txt \
		--output-file bench/requirements.txt --group bench

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp holds what was installed: nothing is asked of the index until it differs.
environment: $(PY)
	@cmp -s requirements.txt .venv/requirements.txt || { \
		echo "Installing requirements.txt ..." && \
		$(PIP) install --require-hashes -r requirements.txt && \
		cp requirements.txt .venv/requirements.txt; }

test-environment: environment
	@cmp -s tests/requirements.txt .venv/tests-requirements.txt || { \
		echo "Installing tests/requirements.txt ..." && \
		$(PIP) install --require-hashes -r tests/requirements.txt && \
		cp tests/requirements.txt .venv/tests-requirements.txt; }

bench-environment: test-environment
	@cmp -s bench/requirements.txt .venv/bench-requirements.txt || { \
		echo "Installing bench/requirements.txt ..." && \
		$(PIP) install --require-hashes -r bench/requirements.txt && \
		cp bench/requirements.txt .venv/bench-requirements.txt; }

$(PY):
	@$(if $(FOUND),$(FOUND) -m venv .venv,$(error $(TOO_OLD)))

FOUND = $(shell for candidate in $(CANDIDATES); do \
	"$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$candidate" && break; done)
TOO_OLD = Tokenbook needs Python 3.11 or newer$(if $(PYTHON), and $(PYTHON) is not): \
	name one with PYTHON=/path/to/python3

# The browser that tests drive: Debian's where there is one, else Playwright's own.
browser: test-environment
	@command -v chromium >/dev/null || { \
		if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
			apt-get update -qq && apt-get install -y -qq chromium; \
		else \
			$(PY) -m playwright install chromium; \
		fi; }
