# Everything runs in .venv, which the first target that needs it sets up from requirements.lock.
PYTHON ?= python3.11
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := src
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help setup repro test check exp ui catalogue lock

help:  ## print this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/installed  ## create .venv with what requirements.lock pins

.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	pip install --quiet --requirement requirements.lock
	touch $@

repro: setup  ## run the six stages, as far as they are not up to date, and print the balanced accuracies
	dvc repro
	@dvc metrics show --md --precision 4 | cut -d'|' -f1-3,5,6,9 || true

test: setup  ## run the tests
	pytest

check: setup  ## what pre-commit and CI check: format, lint, types, the truth of dvc.yaml
	ruff format --check .
	ruff check .
	mypy
	pytest -q tests/test_dvc_yaml.py

exp: setup  ## compare all experiments, only what differs
	dvc exp show -A --only-changed --drop '.*(src/|stages/|data/|models/|results/).*'

ui: setup  ## open the MLflow UI on http://localhost:5000
	mlflow ui --backend-store-uri sqlite:///mlflow.db

ROWS ?= 120000
CATEGORIES ?= 176
SEED ?= 2019
OUT ?= data/demo/train.csv.gz
catalogue: setup  ## write an invented catalogue: ROWS, CATEGORIES, SEED, OUT
	python -m titles.demo --rows $(ROWS) --categories $(CATEGORIES) --seed $(SEED) $(OUT)

lock:  ## pin the newest versions pyproject.toml allows
	rm -rf .venv/locking && $(PYTHON) -m venv .venv/locking
	.venv/locking/bin/pip install --quiet --upgrade pip
	.venv/locking/bin/pip install --quiet torch==2.13.0
	.venv/locking/bin/pip install --quiet --group dev . 
	.venv/locking/bin/pip freeze --exclude titles > requirements.lock
	rm -rf .venv/locking
