"""The application: categories for titles, and which words decided, for people and for programs.

POST /predict    the categories of many titles, by every network and by their mean
POST /explain    what each word of a title weighs
GET  /model      what answers
GET  /health     200 while the process lives
GET  /ready      200 while a title would be answered soon, else 503
GET  /metrics    for Prometheus
GET  /           the page
GET  /docs       the page of the API
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from titles import __version__
from titles.classifier import Classifier
from titles.serving.batches import BusyError
from titles.serving.body_limit import BodyLimit
from titles.serving.headers import API_PAGE, Headers
from titles.serving.measures import Measured, Measures
from titles.serving.messages import ModelFacts, OneTitle, Predictions, Refusal, Status, Titles, Weights
from titles.serving.service import Service

PAGE = Path(__file__).with_name("page")
MOST_BYTES = 1 << 20

REFUSED: dict[int | str, dict[str, Any]] = {status: {"model": Refusal} for status in (400, 413, 503)}


def create_app(classifier: Classifier) -> FastAPI:
    """The application that answers by the classifier."""
    measures = Measures()
    service = Service(classifier, measures)

    @asynccontextmanager
    async def answering(_app: FastAPI) -> AsyncIterator[None]:
        # The server leaves it once all are answered.
        async with service.batches.answering():
            yield

    about = {"title": "Product titles to categories", "version": __version__, "lifespan": answering}
    app: FastAPI = FastAPIOffline(docs_url=API_PAGE, redoc_url=None, **about)
    app.add_middleware(BodyLimit, most=MOST_BYTES)
    app.add_middleware(Headers)
    app.add_middleware(Measured, measures=measures)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BusyError, _busy)
    app.mount("/page", StaticFiles(directory=PAGE))
    _add_predictions(app, service)
    _add_state(app, service, measures)
    return app


def _add_predictions(app: FastAPI, service: Service) -> None:
    @app.post("/predict", response_model=Predictions, responses=REFUSED)
    async def predict(asked: Titles) -> Response:
        """The categories of titles, by every network and by the mean of all."""
        # Of this form by what makes it, so that it needs no validation, which takes longer than the prediction.
        return Response(await service.predict(asked.titles, asked.top), media_type="application/json")

    @app.post("/explain", responses=REFUSED)
    async def explain(asked: OneTitle) -> Weights:
        """What each word of a title weighs."""
        words, networks = await service.explain(asked.title)
        return Weights(words=words, networks=networks)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")


def _add_state(app: FastAPI, service: Service, measures: Measures) -> None:
    @app.get("/model")
    async def model() -> ModelFacts:
        """What answers."""
        classifier = service.classifier
        words, networks = len(classifier.lexicon.vocabulary), list(classifier.networks)
        return ModelFacts(networks=networks, categories=len(classifier.categories), words=words)

    @app.get("/health")
    async def health() -> Status:
        """Answers while the process lives."""
        return Status(status="alive")

    @app.get("/ready", responses={503: {"model": Refusal}})
    async def ready() -> Status:
        """Answers 503 while too many titles wait."""
        if service.batches.is_full:
            raise BusyError
        return Status(status="ready")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return measures.page()


async def _busy(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "too many titles are waiting; try again in a second"}, 503, {"Retry-After": "1"})


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong and where, without what was sent, which need not be text that JSON can hold."""
    assert isinstance(error, RequestValidationError)
    told = [{"loc": one["loc"], "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    return JSONResponse({"detail": told}, 422)
