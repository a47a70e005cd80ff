# Everything runs in .venv, which the first target that needs it sets up from requirements.lock.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := src
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help setup spark repro test check exp ui sync promote catalogue lock

help:  ## print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/installed  ## create .venv with the versions of requirements.lock

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	pip install --quiet --requirement requirements.lock
	pip install --quiet --no-deps --editable .
	touch $@

spark: .venv/spark  ## install PySpark for TITLES_ENGINE=spark; Java 17 or later must be installed

.venv/spark: .venv/installed requirements-spark.lock
	pip install --quiet --requirement requirements-spark.lock
	touch $@

repro: setup  ## run the stages that are not up to date, then print the balanced accuracies
	dvc repro
	@python -c 'import json; [print(f"{name:5}balanced accuracy", metrics["balanced_accuracy"]) \
		for name, metrics in json.load(open("results/metrics.json")).items()]'

# One more than the CPUs this process may use, as many tests wait for other processes.
# The shell of the recipe computes it, because .venv/bin is in its PATH.
WORKERS = $$(python -c "from titles.core.cpus import available_cpus; print(available_cpus() + 1)")
test: setup $(if $(ALL),spark)  ## run the tests; ALL=1: also those that need PostgreSQL, Java and Chromium
	pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(ALL),-m "")

check: setup  ## check format, lint, types, import layers, and dvc.yaml against the imports of the stages, as pre-commit and CI do
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	pytest -q tests/pipeline/test_dvc_yaml.py

exp: setup  ## compare all experiments, showing only the columns that differ
	dvc exp show -A --only-changed --drop '.*(src/|stages/|data/|models/|results/|_by_).*'

ui: setup  ## start the MLflow UI, unless MLFLOW_TRACKING_URI names a server, and print its address
	@python -m titles.tracking.ui

sync: setup  ## upload what MLflow lacks: unsent events, and experiments that DVC took from its cache
	python -m titles.tracking.sync

promote: setup  ## register a network as champion in MLflow: NETWORK, or the best on validation
	python -m titles.tracking.promote $(NETWORK)

ROWS ?= 120000
CATEGORIES ?= 176
SEED ?= 2019
OUT ?= data/demo/train.csv.gz
catalogue: setup  ## write an invented catalogue: ROWS, CATEGORIES, SEED, OUT
	python -m titles.demo --rows $(ROWS) --categories $(CATEGORIES) --seed $(SEED) $(OUT)

lock:  ## pin the newest versions that pyproject.toml allows
	rm -rf .venv/locking && $(PYTHON) -m venv .venv/locking
	.venv/locking/bin/pip install --quiet --upgrade pip
	.venv/locking/bin/pip install --quiet torch==2.13.0
	.venv/locking/bin/pip install --quiet --group dev --editable ".[serve,onnx]"
	(echo "# Tested on Linux x86-64 with Python 3.11; written by make lock."; .venv/locking/bin/pip freeze --exclude-editable | sed 's/+cpu//') > requirements.lock
	.venv/locking/bin/pip install --quiet --editable ".[spark]"
	(echo "# What make spark adds; written by make lock."; .venv/locking/bin/pip freeze --exclude-editable | sed 's/+cpu//' | grep -vxFf requirements.lock) \
		> requirements-spark.lock
	rm -rf .venv/locking
