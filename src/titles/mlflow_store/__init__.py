"""The MLflow store of a checkout: experiment, runs, models, paths and credentials."""
