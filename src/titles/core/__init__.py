"""Errors, parameters, progress and files: what every other package uses and what changes no result."""
