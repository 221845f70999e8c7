# make install | make demo [ARGS=--once] | make test    (README.md says what each does)
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
PYTEST := $(BIN)/python -m pytest

# make bench-hl7    how fast orders become durable, beside a floor and hl7apy
# make bench-mwl [ARGS=--quick]    how fast worklists are answered, beside DCMTK, Orthanc, pynetdicom and a floor
.PHONY: install demo bench-hl7 bench-mwl test lint types tests tests-postgresql programs lock clean

install: .venv/installed

.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.lock
	touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	$(PIP) -r requirements-dev.lock
	touch $@

demo: install
	$(BIN)/python manage.py demo $(ARGS)

test: lint types tests tests-postgresql

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy ris worklist hl7

tests: .venv/installed-dev programs
	$(PYTEST) -n 2

tests-postgresql: .venv/installed-dev programs
	$(BIN)/python -m tests.postgres $(PYTEST) -n 2 --ignore=tests/web --only-database

programs:
	tests/programs

bench-hl7: .venv/installed-dev
	$(BIN)/python -m benchmarks.hl7

bench-mwl: .venv/installed-dev programs
	$(BIN)/python -m benchmarks.mwl $(ARGS)

lock: .venv/installed-dev
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements-dev.lock pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
