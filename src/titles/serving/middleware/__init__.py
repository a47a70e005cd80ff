"""ASGI middleware of the server: limits, headers, hosts, access log, shutdown."""
