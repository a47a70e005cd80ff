"""The MLflow store of a checkout: its runs, its models, its paths and credentials."""
