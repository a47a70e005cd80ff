"""Errors, params.yaml, progress, CPU and memory settings, atomic writes: helpers that change no result."""
