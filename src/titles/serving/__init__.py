"""Serve a model over HTTP, with a web page. An optional install, imported by no stage."""
