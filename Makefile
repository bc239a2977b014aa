# Every target sets itself up: .venv is made and the locked requirements are installed
# when they changed. Nothing is needed but make and Python 3.11 or newer.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run demo test fuzz chaos check audit bench lock clean
.DELETE_ON_ERROR:

# Most targets start many processes: what Python compiled for one serves the next.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PYTHON := $(BIN)/python
EMBEDDED := .venv/.embedded-installed
DEV := .venv/.dev-installed
# One more than cores: tests wait for the processes that they start.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(EMBEDDED) ## Start everything for a try-out (ARGS="--free-ports" chooses ports)
	@$(PYTHON) manage.py up $(ARGS)

demo: $(EMBEDDED) ## Send real mail through a throw-away installation and check every outcome
	@folder=$$(mktemp -d) || exit; \
	if EXPIRE_SECONDS=1 $(PYTHON) manage.py up --free-ports --data "$$folder" --run "manage.py demo $(ARGS)"; \
	then rm -rf "$$folder"; \
	else status=$$?; echo "The data and logs of this run are kept in $$folder." >&2; exit $$status; fi

test: $(DEV) ## Run all tests (ARGS="tests/routing -k catch" chooses some)
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

fuzz: $(DEV) ## Drive the pure protocol with arbitrary octets (FUZZ_EXAMPLES=10000)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-10000} $(BIN)/pytest tests/gateway/test_fuzz.py $(ARGS)

chaos: $(DEV) ## Kill every part at random under load; nothing may be lost (CHAOS_SECONDS=90)
	@timeout 480 $(BIN)/pytest -s tests/chaos $(ARGS)

check: $(DEV) ## Format, lint, types, layers, migrations, deployment checks, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	env DATABASE_URL=postgresql://localhost/mail BROKER_URL=amqp://localhost EMBEDDED=0 DEBUG=0 \
	  SECRET_KEY=made-up-for-this-check-with-0123456789-and-more-characters STATIC_ROOT=/srv/static \
	  $(PYTHON) manage.py check --deploy --fail-level WARNING
	$(BIN)/deptry .
	$(BIN)/djlint templates --lint

audit: $(DEV) ## Ask PyPI for known vulnerabilities of what is locked (needs its network)
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.txt $(ARGS)

bench: $(DEV) ## Measure beside Postfix, Exim and Haraka, one server up at a time (docs/performance.md)
	@$(PYTHON) -m benchmarks $(ARGS)

lock: $(DEV) ## Resolve requirements/*.in anew, with hashes (ARGS="--upgrade" takes newer ones)
	for name in dev embedded base; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" $(ARGS) \
	    requirements/$$name.in --output-file requirements/$$name.txt || exit; \
	done

clean: ## Remove .venv and the tools' caches; data folders stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(EMBEDDED): requirements/embedded.txt | $(PYTHON)
	@echo "Installing $< into .venv ..."
	@$(INSTALL) -r $<
	@touch $@

$(DEV): requirements/dev.txt | $(PYTHON)
	@echo "Installing $< into .venv ..."
	@$(INSTALL) -r $<
	@touch $@ $(EMBEDDED)

# The system's Python comes first: the system keeps it patched. A name on PATH may be a shim without a
# Python behind it, so each is asked for its version.
$(PYTHON):
	@for python in /usr/bin/python3 python3.13 python3.12 python3.11 python3; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  found=$$python; \
	  $$python -m venv .venv >.venv-log 2>&1 && rm -f .venv-log && exit; \
	  rm -rf .venv; \
	done; \
	if [ "$$found" ]; then \
	  cat .venv-log >&2; rm -f .venv-log; \
	  echo "$$found cannot make a virtual environment: install its venv module" \
	    "(Debian: apt install python3-venv) and run make again." >&2; \
	else \
	  echo "Python 3.11 or newer is needed and none was found on PATH: install one" \
	    "(Debian 12: apt install python3 python3-venv) and run make again." >&2; \
	fi; \
	exit 1
