# Relève. Two commands matter: `make run` and `make test`. `make help` lists all of them.

PYTHON ?= python3
PYTEST_ARGS ?=
JOBS ?= 6
FUZZ_S ?= 60
SEED ?= random
SECONDS ?= 600

VENV := .venv
CACHE := .cache
BOX := $(CACHE)/wheel
FUZZ := $(CACHE)/fuzz
BIN := $(VENV)/bin
PIP := -m pip --quiet --quiet --disable-pip-version-check --no-input
PACKAGES := config ctl importer instance pages server src/releve supervisor
SOURCES := pyproject.toml $(shell find $(PACKAGES) -name "*.py" -o -type d ! -name __pycache__) \
    $(wildcard systemd/* completion/*/* docs/man/* docs/releve.schema.json)
RENDERED := pages.configuration:configuration.md config.kinds.schema:releve.schema.json pages.operations:operations.md pages.operations:verbs.md \
    pages.operations:upgrades.md pages.operations:hooks.md \
    pages.from_gunicorn:from-gunicorn.md pages.manual_releve:man/releve.1 pages.manual_ctl:man/ctl.1 pages.manual_yaml:man/releve.yaml.5

# What one run leaves for the next: made again when pyproject.toml (or, for the wheel, a source) is newer.
RUNTIME := $(VENV)/.releve
TOOLS := $(VENV)/.tools
WHEEL := $(CACHE)/.wheel
INSTALLED := $(BOX)/.releve

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help run test lint format type cover bench soak chaos fuzz docs docs-compare screens site check wheel clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUNTIME) ## set up, then serve examples/hello on http://127.0.0.1:8000
	@printf '%s\n' '' \
	    'Relève starts examples/hello. Once it says "serving http://127.0.0.1:8000", open that page.' \
	    'Then, in a second terminal, in this folder:' '' \
	    '    $(BIN)/ctl status                    what runs' \
	    '    vi examples/hello/app.py                change the text of RELEASE' \
	    '    $(BIN)/ctl upgrade                   the new code serves, and nobody notices' \
	    '    $(BIN)/ctl rollback                  and back' '' \
	    'Ctrl-C here stops it.' ''
	@exec $(BIN)/releve -c examples/hello/releve.yaml

test: $(INSTALLED) ## set up, build the wheel, install it in an environment of its own, test that
	@$(BOX)/bin/pytest -n $(JOBS) $(PYTEST_ARGS)

lint: $(TOOLS) ## ruff: rules and format
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .

format: $(TOOLS) ## ruff: apply rules and format
	@$(BIN)/ruff check --quiet --fix . && $(BIN)/ruff format --quiet .

type: $(TOOLS) ## mypy, strict
	@$(BIN)/mypy --no-error-summary && $(BIN)/mypy --no-error-summary tests

cover: $(TOOLS) ## the tests on the tree, with coverage of every process
	@rm -f $(CACHE)/coverage*
	@$(BIN)/coverage run -m pytest --timeout 600 $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

bench: $(INSTALLED) ## every script in benchmarks/; bench_peers.py alone takes half an hour
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BOX)/bin/python "$$script"; done

soak: $(INSTALLED) ## the long runs
	@$(BOX)/bin/pytest -m soak --timeout 3600 $(PYTEST_ARGS)

chaos: $(INSTALLED) ## commands, kills and bad releases under load: SECONDS=600 of them, SEED=random or one that was printed
	@CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) $(BOX)/bin/pytest -m chaos -s $(PYTEST_ARGS)

fuzz: $(FUZZ)/.releve ## look for bytes that break the parsers, FUZZ_S=60 seconds for each of two targets
	@mkdir -p $(FUZZ)/{head,chunks}
	@for target in head chunks; do \
	    echo "== $$target, $(FUZZ_S) s"; \
	    $(FUZZ)/bin/python tests/fuzz/fuzz_$$target.py -max_total_time=$(FUZZ_S) -max_len=8192 -timeout=300 -verbosity=0 -print_final_stats=1 \
	        -dict=tests/fuzz/$$target.dict -artifact_prefix=$(FUZZ)/found-$$target- $(FUZZ)/$$target tests/fuzz/corpus/$$target 2>&1 \
	        | grep -Ev '^(INFO|WARNING|"|#####)'; \
	done

docs: $(RUNTIME) ## write the pages that are rendered from the code
	@for page in $(RENDERED); do $(BIN)/python -m "releve.$${page%:*}" "docs/$${page#*:}"; done

docs-compare: $(RUNTIME) ## are those pages up to date?
	@rm -rf $(CACHE)/docs && cp -r docs $(CACHE)/docs
	@for page in $(RENDERED); do $(BIN)/python -m "releve.$${page%:*}" "$(CACHE)/docs/$${page#*:}"; done
	@diff -r docs $(CACHE)/docs || { echo 'docs: not up to date; make docs renews them'; exit 1; }

screens: $(INSTALLED) ## draw the pictures of docs/screens.md: a service in /tmp/shop, and what ctl shows of it
	@$(BOX)/bin/python .ci/screens.py

site: $(TOOLS) ## the documentation as a site, in .cache/site; strictly: a link that leads nowhere is an error
	@$(BIN)/mkdocs build --strict --clean 2> $(CACHE)/site.log || { cat $(CACHE)/site.log; exit 1; }  # --quiet would count no warnings
	@echo "$(CACHE)/site/index.html"

check: lint type docs-compare site test ## everything that must pass before a change goes in

wheel: $(WHEEL) ## the wheel, in .cache/dist

clean: ## remove what these commands made
	@rm -rf $(VENV) $(CACHE) build dist *.egg-info src/*.egg-info .hypothesis .coverage* .pytest_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# ---------------------------------------------------------------- set-up

# A virtual environment at $(1), or a word on what the machine lacks.
define environment
	@command -v $(PYTHON) >/dev/null || { echo "cannot set up: no $(PYTHON) here; install Python 3.11 or later, or: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "cannot set up: $(PYTHON) is $$($(PYTHON) -V); Relève needs 3.11 or later; try: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "cannot set up: $(PYTHON) makes no virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@[ -x $(1)/bin/pip ] && $(1)/bin/python -c '' 2>/dev/null || { rm -rf $(1); $(PYTHON) -m venv $(1); }
endef

$(RUNTIME): pyproject.toml
	@mkdir -p $(CACHE)
	@echo "setting up $(VENV) ..."
	$(call environment,$(VENV))
	@$(BIN)/python $(PIP) install --editable .
	@touch $@

$(TOOLS): $(RUNTIME)
	@echo "installing the tools into $(VENV) ..."
	@$(BIN)/python $(PIP) install --editable '.[dev]'
	@touch $@

$(FUZZ)/.releve: pyproject.toml
	@mkdir -p $(CACHE)
	@echo "setting up $(FUZZ) ..."
	$(call environment,$(FUZZ))
	@$(FUZZ)/bin/python $(PIP) install --editable . 'atheris>=3.0' || \
	    { echo "cannot set up: atheris has wheels for CPython 3.11 to 3.13 on Linux; try: make fuzz PYTHON=/path/to/python"; exit 1; }
	@touch $@

$(WHEEL): $(SOURCES)
	@echo "building the wheel ..."
	$(call environment,$(BOX))
	@rm -rf build $(CACHE)/dist
	@$(BOX)/bin/python $(PIP) wheel --no-deps --wheel-dir $(CACHE)/dist .
	@$(BOX)/bin/python .ci/check_wheel.py $(CACHE)/dist/*.whl
	@rm -rf build
	@touch $@

$(INSTALLED): $(WHEEL)
	@echo "installing the wheel into $(BOX) ..."
	@wheel=$$(echo $(CACHE)/dist/*.whl); \
	    $(BOX)/bin/python $(PIP) install "$$wheel[test]"; \
	    $(BOX)/bin/python $(PIP) install --force-reinstall --no-deps "$$wheel"
	@touch $@
