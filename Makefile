# Two commands do everything on a machine with python3 (3.11 or newer), venv and make:
#
#   make demo    environment, installation, a demo clip, the main job on it, a before/after contact sheet
#   make test    environment, installation, every check
#
# Both are quick the second time: the installation is repeated only when pyproject.toml changes.
# VENV=FOLDER puts the environment elsewhere, PYTHON=COMMAND picks the interpreter that makes it.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
PRESET ?= broadcast

BIN := $(VENV)/bin
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help demo test lint clean

help:
	@sed -n 's/^#   \(make.*\)/\1/p' Makefile

# The interpreter's age is checked first: pip's own message about it comes late and is hard to read.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv "$(VENV)" \
	  || { echo "error: no virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch "$@"

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch "$@"

$(DEMO)/clip.mp4: examples/make_demo_clip.py | $(VENV)/.installed-demo
	@mkdir -p "$(DEMO)"
	"$(BIN)/python" examples/make_demo_clip.py "$@"

demo: $(VENV)/.installed-demo $(DEMO)/clip.mp4
	"$(BIN)/vidanon" run "$(DEMO)/clip.mp4" -o "$(DEMO)/anonymized.mp4" --preset "$(PRESET)" \
	  --plan "$(DEMO)/clip.vidanon" --key-file "$(DEMO)/demo.key" --overwrite
	"$(BIN)/vidanon" contact-sheet "$(DEMO)/clip.mp4" "$(DEMO)/anonymized.mp4" -o "$(DEMO)/contact-sheet.png" --overwrite
	@echo
	@echo "the clip          $(abspath $(DEMO))/clip.mp4"
	@echo "anonymized        $(abspath $(DEMO))/anonymized.mp4"
	@echo "before and after  $(abspath $(DEMO))/contact-sheet.png"

lint: $(VENV)/.installed-dev
	"$(BIN)/ruff" check
	"$(BIN)/ruff" format --check
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"

test: lint
	"$(BIN)/pytest"

clean:
	rm -rf "$(DEMO)" build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
