"""A generator of invented product titles, to try and to benchmark the pipeline without real data."""
