"""The application: categories for titles, and which words decided, for people and for programs.

POST /predict    the categories of many titles, by every network and by their mean
POST /explain    what each word of a title weighs
POST /reload     loads the model folder anew, where that is allowed
GET  /model      what answers
GET  /health     200 while the process lives
GET  /ready      200 while a title would be answered soon, else 503
GET  /metrics    for Prometheus
GET  /           the page
GET  /docs       the page of the API
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
from titles.serving.dynamic_batcher import BusyError
from titles.serving.metrics import Measured
from titles.serving.middleware.access_log import AccessLog
from titles.serving.middleware.body_limit import BodyLimit
from titles.serving.middleware.head import HeadAsGet
from titles.serving.middleware.headers import API_PAGE, Headers
from titles.serving.middleware.hosts import AllowedHosts
from titles.serving.middleware.shutdown import AnswerAtShutdown, Shutdown
from titles.serving.reload import reload_on_hangup
from titles.serving.schemas import ModelFacts, ModelIdentity, OneTitle, Predictions, Refusal, Status, Titles, Weights
from titles.serving.service import Service

PAGE = Path(__file__).with_name("page")
MOST_BYTES, BODY_SECONDS = 1 << 20, 10.0

REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal} for status in (400, 408, 413, 415, 421, 500, 503)
}


def create_app(
    service: Service,
    shutdown: Shutdown,
    allowed_hosts: Sequence[str] = (),
    allow_reload: bool = False,
    access_log: bool = False,
) -> ASGIApp:
    """The application that answers by the service."""

    @asynccontextmanager
    async def answering(_app: FastAPI) -> AsyncIterator[None]:
        # The server leaves it once all are answered.
        async with service.batches.answering():
            if allow_reload:
                reload_on_hangup(service)
            yield

    about = {"title": "Product titles to categories", "version": __version__, "lifespan": answering}
    app: FastAPI = FastAPIOffline(docs_url=API_PAGE, redoc_url=None, **about)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(Exception, _failed)
    app.mount("/page", StaticFiles(directory=PAGE))
    _add_predictions(app, service)
    _add_state(app, service, shutdown)
    if allow_reload:
        _add_reload(app, service)
    # Around the application and its errors, from within.
    within: ASGIApp = BodyLimit(app, MOST_BYTES, BODY_SECONDS, shutdown)
    within = AllowedHosts(HeadAsGet(within), allowed_hosts)
    within = Headers(AnswerAtShutdown(within, shutdown), lambda: service.model.identity, shutdown)
    within = Measured(within, service.measures)
    return AccessLog(within) if access_log else within


async def _json_only(request: Request) -> None:
    """Refuses other bodies, which also keeps pages of other sites from sending any: browsers ask before they do."""
    sent = request.headers.get("content-type")
    if (sent or "").partition(";")[0].strip().lower() != "application/json":
        found = f"is {sent}" if sent else "is missing"
        raise HTTPException(415, f"the header Content-Type {found}; send JSON with Content-Type: application/json")


def _add_predictions(app: FastAPI, service: Service) -> None:
    @app.post("/predict", response_model=Predictions, responses=REFUSED, dependencies=[Depends(_json_only)])
    async def predict(asked: Titles, request: Request) -> Response:
        """The categories of titles, by every network and by the mean of all."""
        request.state.titles = len(asked.titles)
        model, content = await service.predict(asked.titles, asked.top)
        request.state.model = model.identity
        # Of this form by what makes it, so that it needs no validation, which takes longer than the prediction.
        return Response(content, media_type="application/json")

    @app.post("/explain", responses=REFUSED, dependencies=[Depends(_json_only)])
    async def explain(asked: OneTitle, request: Request) -> Weights:
        """What each word of a title weighs."""
        request.state.titles = 1
        model, words, networks = await service.explain(asked.title)
        request.state.model = model.identity
        return Weights(model=ModelIdentity(**model.identity), words=words, networks=networks)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")


def _add_state(app: FastAPI, service: Service, shutdown: Shutdown) -> None:
    @app.get("/model")
    async def model() -> ModelFacts:
        """What answers."""
        model = service.model
        classifier = model.classifier
        return ModelFacts(
            **model.identity,
            commit=model.commit,
            networks=list(classifier.networks),
            categories=classifier.categories.tolist(),
            words=len(classifier.lexicon.vocabulary),
            thresholds=model.thresholds,
        )

    @app.get("/health")
    async def health() -> Status:
        """Answers while the process lives."""
        return Status(status="alive")

    @app.get("/ready", responses={503: {"model": Refusal}})
    async def ready() -> Status:
        """Answers 503 while too much waits, and once the server is to end."""
        if shutdown.has_begun:
            raise HTTPException(503, "the server is ending; ask another one")
        if not service.is_ready:
            raise BusyError
        return Status(status="ready")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return service.measures.page()


def _add_reload(app: FastAPI, service: Service) -> None:
    @app.post(
        "/reload", responses={409: {"model": Refusal}, 415: {"model": Refusal}}, dependencies=[Depends(_json_only)]
    )
    async def reload() -> ModelIdentity:
        """Loads the model folder anew; 409 where it cannot be loaded, and the model stays."""
        try:
            model = await service.reload()
        except InputError as error:
            raise HTTPException(409, str(error)) from error
        return ModelIdentity(**model.identity)


async def _busy(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "too many titles are waiting; try again in a second"}, 503, {"Retry-After": "1"})


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the server failed; its log says why"}, 500)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong and where, without what was sent, which need not be text that JSON can hold."""
    assert isinstance(error, RequestValidationError)
    told = [{"loc": one["loc"], "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    return JSONResponse({"detail": told}, 422)
