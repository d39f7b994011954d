# Every target sets up what it needs; `make` alone lists them.
PYTHON  ?= python3
SUBJECT ?= reference
RUNTIME ?= embedded
BROKER  ?= redis
JOBS    ?= 2
PROVE   ?= own
ARGS    ?=

BIN  := .venv/bin
READY := .venv/.ready
LOCKED := .venv/.locked

.DEFAULT_GOAL := help
.PHONY: help setup conformance test lint format prove prove-cross agree images bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  SUBJECT=reference|bare-celery|proj.celery:app|PATH.toml   what is judged'
	@echo '  RUNTIME=embedded|containers|external                   where servers and workers live'
	@echo '  BROKER=redis|rabbitmq                                  what carries messages'
	@echo '  PROVE=own|first                                        all of a bug'"'"'s scenarios, or until one catches it'
	@echo '  ARGS="--promise STALE-05 -k race ..."                  passed on to pytest'

setup: $(READY) ## make .venv from the lock file (done by the others when needed)

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; v=sys.version_info[:2]; sys.exit(0 if (3,11)<=v<(3,14) else "Python 3.11 to 3.13 is needed, $(PYTHON) is %d.%d; name another: make PYTHON=python3.12 ..." % v)'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the venv module is missing: install it (Debian: apt install python3-venv)"; exit 1; }
	@echo 'setting up .venv from requirements.lock (once) ...'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

conformance: $(READY) ## run the promises against SUBJECT on RUNTIME
	@$(BIN)/python -m pytest -n $(JOBS) --subject=$(SUBJECT) --runtime=$(RUNTIME) --broker=$(BROKER) scenarios $(ARGS)

test: $(READY) lint ## lint, then the project's own tests
	@$(BIN)/python -m pytest -n $(JOBS) tests $(ARGS)

lint: $(READY) ## Ruff, mypy, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY) ## let Ruff rewrite the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

prove: $(READY) ## put every bug back, one at a time, and see its scenarios turn red
	@$(BIN)/python -m pytest -n $(JOBS) --prove=$(PROVE) --runtime=$(RUNTIME) --broker=$(BROKER) scenarios $(ARGS)

prove-cross: $(READY) ## every defect against every scenario (long)
	@$(BIN)/python -m pytest -n $(JOBS) --prove=cross --runtime=$(RUNTIME) --broker=$(BROKER) scenarios $(ARGS)

agree: $(READY) ## compare the last reports of two runtimes, promise by promise
	@$(BIN)/python -m harness._agreement $(REPORTS) $(ARGS)

images: $(READY) ## build the images that RUNTIME=containers needs
	@$(BIN)/python -m harness._images

bench: $(READY) ## speeds, what tracking costs, false alarms and detections; ARGS="cost" for one part
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(READY) ## resolve pyproject.toml into requirements.lock again
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --all-extras \
		--no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

clean: ## remove .venv and the records of past runs
	rm -rf .venv .conformance .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
