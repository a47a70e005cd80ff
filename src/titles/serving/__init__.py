"""A model as an HTTP service with a page: an optional install, which no stage imports."""
