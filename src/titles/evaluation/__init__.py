"""Metrics, tables, charts and the report of the test titles."""
