"""Errors, params.yaml, progress, CPU and memory settings, atomic writes; none changes the content of an output."""
