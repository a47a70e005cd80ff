"""The FastAPI application and its routes.

POST /predict    predict the categories of titles, by each network and by their mean
POST /explain    weigh the words of a title
POST /reload     reload the model folder, if the server allows it
GET  /model      describe the model in use
GET  /health     200 while the process is alive
GET  /ready      200 if the server accepts requests, 503 if it is overloaded or shutting down
GET  /metrics    metrics in the text format of Prometheus
GET  /           the web page
GET  /docs       the documentation of the API
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from titles import __version__
from titles.core.errors import InputError
from titles.serving.dynamic_batcher import OverloadedError
from titles.serving.metrics import MetricsMiddleware
from titles.serving.middleware.access_log import AccessLogMiddleware
from titles.serving.middleware.body_limit import BodyLimitMiddleware
from titles.serving.middleware.head import HeadAsGetMiddleware
from titles.serving.middleware.headers import DOCS_URL, ResponseHeadersMiddleware
from titles.serving.middleware.hosts import AllowedHostsMiddleware
from titles.serving.middleware.shutdown import ShutdownMiddleware, ShutdownState
from titles.serving.reload import reload_on_sighup
from titles.serving.schemas import (
    ErrorResponse,
    ExplainRequest,
    ExplainResponse,
    ModelIdentity,
    ModelInfo,
    PredictRequest,
    PredictResponse,
    StatusResponse,
)
from titles.serving.service import Service

PAGE = Path(__file__).with_name("page")
MAX_BODY_BYTES, BODY_TIMEOUT_SECONDS = 1 << 20, 10.0

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 408, 413, 415, 421, 500, 503)
}


def create_app(
    service: Service,
    shutdown: ShutdownState,
    allowed_hosts: Sequence[str] = (),
    allow_reload: bool = False,
    access_log: bool = False,
) -> ASGIApp:
    """Build the application, with its middleware, on top of a service."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The server ends the lifespan once all requests are answered.
        async with service.batcher.running():
            if allow_reload:
                reload_on_sighup(service)
            yield

    about = {"title": "Product titles to categories", "version": __version__, "lifespan": lifespan}
    app: FastAPI = FastAPIOffline(docs_url=DOCS_URL, redoc_url=None, **about)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(OverloadedError, _handle_overload)
    app.add_exception_handler(Exception, _handle_server_error)
    app.mount("/page", StaticFiles(directory=PAGE))
    _add_prediction_routes(app, service)
    _add_state_routes(app, service, shutdown)
    if allow_reload:
        _add_reload_route(app, service)
    # The middleware, from the innermost to the outermost; it also wraps the responses to errors.
    wrapped: ASGIApp = BodyLimitMiddleware(app, MAX_BODY_BYTES, BODY_TIMEOUT_SECONDS, shutdown)
    wrapped = AllowedHostsMiddleware(HeadAsGetMiddleware(wrapped), allowed_hosts)
    wrapped = ResponseHeadersMiddleware(ShutdownMiddleware(wrapped, shutdown), lambda: service.model.identity, shutdown)
    wrapped = MetricsMiddleware(wrapped, service.metrics)
    return AccessLogMiddleware(wrapped) if access_log else wrapped


async def _require_json(request: Request) -> None:
    """Refuse other content types. A page of another site cannot send JSON, as its preflight fails."""
    content_type = request.headers.get("content-type")
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        found = f"is {content_type}" if content_type else "is missing"
        raise HTTPException(415, f"the header Content-Type {found}; send JSON with Content-Type: application/json")


def _add_prediction_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        "/predict", response_model=PredictResponse, responses=ERROR_RESPONSES, dependencies=[Depends(_require_json)]
    )
    async def predict(body: PredictRequest, request: Request) -> Response:
        """Predict the categories of titles, by each network and by their mean."""
        request.state.titles = len(body.titles)
        model, content = await service.predict(body.titles, body.top)
        request.state.model = model.identity
        # Not validated against the response model, which would take longer than the prediction.
        return Response(content, media_type="application/json")

    @app.post("/explain", responses=ERROR_RESPONSES, dependencies=[Depends(_require_json)])
    async def explain(body: ExplainRequest, request: Request) -> ExplainResponse:
        """Weigh the words of a title."""
        request.state.titles = 1
        model, words, networks = await service.explain(body.title)
        request.state.model = model.identity
        return ExplainResponse(model=ModelIdentity(**model.identity), words=words, networks=networks)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")


def _add_state_routes(app: FastAPI, service: Service, shutdown: ShutdownState) -> None:
    @app.get("/model")
    async def model() -> ModelInfo:
        """Describe the model in use."""
        model = service.model
        classifier = model.classifier
        return ModelInfo(
            **model.identity,
            commit=model.commit,
            networks=list(classifier.networks),
            categories=classifier.categories.tolist(),
            words=len(classifier.vocabulary.words),
            thresholds=model.thresholds,
        )

    @app.get("/health")
    async def health() -> StatusResponse:
        """Answer while the process is alive."""
        return StatusResponse(status="alive")

    @app.get("/ready", responses={503: {"model": ErrorResponse}})
    async def ready() -> StatusResponse:
        """Answer 503 if the server is overloaded or shutting down."""
        if shutdown.has_begun:
            raise HTTPException(503, "the server is ending; ask another one")
        if not service.is_ready:
            raise OverloadedError
        return StatusResponse(status="ready")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return service.metrics.to_response()


def _add_reload_route(app: FastAPI, service: Service) -> None:
    @app.post(
        "/reload",
        responses={409: {"model": ErrorResponse}, 415: {"model": ErrorResponse}},
        dependencies=[Depends(_require_json)],
    )
    async def reload() -> ModelIdentity:
        """Reload the model folder. If it cannot be loaded, answer 409 and keep the old model in use."""
        try:
            model = await service.reload()
        except InputError as error:
            raise HTTPException(409, str(error)) from error
        return ModelIdentity(**model.identity)


async def _handle_overload(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "too many titles are waiting; try again in a second"}, 503, {"Retry-After": "1"})


async def _handle_server_error(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)


async def _handle_validation_error(_request: Request, error: Exception) -> JSONResponse:
    """List the errors without the input, which may not be representable in JSON."""
    assert isinstance(error, RequestValidationError)
    errors = [{"loc": one["loc"], "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    return JSONResponse({"detail": errors}, 422)
