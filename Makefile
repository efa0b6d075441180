# Each target makes .venv from the lock first if it is not there or if the lock has changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
WORKERS ?= 2
PORT ?= 0
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# Without byte code every kernel would parse pandas anew: 3.4 times slower.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport VIRTUAL_ENV

.PHONY: help book test quick serve bench calibrate reference browser lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(READY) ## execute what changed and render the site into _build/html
	@$(PY) -m bookpress book

# The site is made first: its links are checked in any case, and a browser opens it where there is one.
test: $(READY) ## style, unit tests, every chapter against its reference, and the site in a browser if there is one
	@$(VENV)/bin/ruff check .
	@$(PY) -m bookpress book
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --nbval --nbval-current-env tests

quick: $(READY) ## style and unit tests only: no chapter is executed, no browser
	@$(VENV)/bin/ruff check .
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile -m "not slow" --ignore tests/site tests

serve: $(READY) ## show the site on this machine; PORT=8000 chooses the port
	@$(PY) -m bookpress serve --port $(PORT)

bench: $(READY) ## timings of the model, the book and the pages
	@$(PY) -m benchmarks

calibrate: $(READY) ## fit the constants to data/measurements.csv: renews data/calibration.csv and data/residuals.csv
	@$(VENV)/bin/costpertoken calibrate --out data

reference: $(READY) ## renew tests/reference, verdicts too, and say which numbers moved
	@$(PY) -m bookpress reference
	@$(VENV)/bin/costpertoken claims --json > tests/reference/verdicts.json.part
	@mv tests/reference/verdicts.json.part tests/reference/verdicts.json

browser: $(READY) ## find or install Chromium for the browser tests; CHROMIUM=path names one
	@$(PY) -m bookpress browser --install

lock: ## renew requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --extra book --extra test --extra build pyproject.toml -o requirements.lock

clean: ## remove what was built, but not .venv
	rm -rf _build .pytest_cache .ruff_cache .hypothesis

# The first Python that runs and that the lock was made for: a shim may be on PATH and yet fail when called.
$(READY): requirements.lock pyproject.toml
	@set -eu; find_python() { \
	  for name in $${PYTHON:-python3.13 python3.12 python3.11 python3}; do \
	    if "$$name" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; \
	    then echo "$$name"; return; fi; \
	  done; \
	  echo "Python 3.11, 3.12 or 3.13 is needed and none was found; name one: make PYTHON=/path/to/python book" >&2; \
	  return 1; \
	}; \
	python=$$(find_python); \
	if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then \
	  [ -x $(PY) ] || uv venv --quiet --allow-existing --python "$$("$$python" -c 'import sys; print(sys.executable)')" $(VENV); \
	  uv pip sync --quiet --python $(PY) --compile-bytecode --require-hashes requirements.lock; \
	  uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .; \
	else \
	  $(PY) -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear $(VENV); \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $(READY)
