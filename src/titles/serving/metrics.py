"""The metrics of the server, for Prometheus."""

import math
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from titles.inference.top_k import TopK
from titles.serving.middleware.status import StatusRecorder

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


class ServerMetrics:
    """Requests by path and status, their latencies, batch sizes, pending work, confidences, and the model in use."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("path", "status")
        self.requests = Counter("titles_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "titles_request_seconds",
            "Seconds from a request to its response",
            ("path",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "titles_batch_titles", "Titles per batch", buckets=BATCH_SIZE_BUCKETS, registry=self.registry
        )
        self.waiting = Gauge(
            "titles_waiting_characters", "Characters of the titles of pending requests", registry=self.registry
        )
        self.confidences = Histogram(
            "titles_confidence",
            "Score of the best category of a title",
            ("network",),
            buckets=CONFIDENCE_BUCKETS,
            registry=self.registry,
        )
        self.model = Info("titles_model", "The model in use", registry=self.registry)

    def observe_batch(self, top_k_per_network: dict[str, TopK]) -> None:
        """Count the titles of a batch, and their confidences by network."""
        for network, (_, scores) in top_k_per_network.items():
            observe = self.confidences.labels(network).observe
            # A title without a category has no score.
            for score in filter(math.isfinite, scores[:, 0].tolist()):
                observe(score)
        self.batches.observe(len(scores))

    def to_response(self) -> Response:
        """Return the metrics in the text format of Prometheus."""
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")


class MetricsMiddleware:
    """Count and time the responses of `app` by the path of their route; without a route, the path is "other"."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, recorder = time.perf_counter(), StatusRecorder(send)

        try:
            await self.app(scope, receive, recorder)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, recorder.status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started)
