"""What the application tells Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
TITLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Measures:
    """Requests by path and status, how long they took, and how many titles are answered together."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("path", "status")
        self.requests = Counter("titles_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "titles_request_seconds", "From a request to its answer", ("path",), buckets=SECONDS, registry=self.registry
        )
        self.batches = Histogram(
            "titles_batch_titles", "Titles answered together", buckets=TITLES, registry=self.registry
        )
        self.waiting = Gauge("titles_waiting", "Titles that wait for their answer", registry=self.registry)

    def page(self) -> Response:
        """In the text format of Prometheus."""
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")


class Measured:
    """Counts and times what `app` answers, by the path of the route: what no route has is one path."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self.app, self.measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.measures.requests.labels(path, status).inc()
            self.measures.seconds.labels(path).observe(time.perf_counter() - started)
