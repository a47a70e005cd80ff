"""The schema of the API: requests, responses and their limits."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TITLES, MAX_TITLE_CHARACTERS, MAX_TOP = 1000, 1000, 20

Title = Annotated[str, Field(max_length=MAX_TITLE_CHARACTERS)]


class _StrictModel(BaseModel):
    # An unknown key is an error; neither true nor "3" is converted to a number.
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(_StrictModel):
    """Titles to predict, and the number of categories per title."""

    titles: Annotated[list[Title], Field(min_length=1, max_length=MAX_TITLES)]
    top: Annotated[int, Field(ge=1, le=MAX_TOP)] = 5


class ScoredCategory(BaseModel):
    """A category and its probability, from 0 to 1."""

    category: str
    score: float


class Prediction(BaseModel):
    """The categories of a title, the best first, by network and, if there are several, by their mean.

    A title without a usable word has no categories, but a reason.
    """

    title: str
    networks: dict[str, list[ScoredCategory]]
    reason: str | None


class ModelIdentity(BaseModel):
    """The model: the name of its folder, the version of titles that trained it, the SHA-256 of its files."""

    name: str
    version: str
    hash: str


class PredictResponse(BaseModel):
    """One prediction per title, in the order of the titles."""

    model: ModelIdentity
    predictions: list[Prediction]


class ExplainRequest(_StrictModel):
    """A title to explain."""

    title: Title


class ExplainResponse(BaseModel):
    """The words after normalization and, by network, how much the score of the best category drops without each."""

    model: ModelIdentity
    words: list[str]
    networks: dict[str, list[float]]


class ModelInfo(ModelIdentity):
    """The model in use.

    `words` is the size of the vocabulary. `commit` is the commit of the checkout that holds the model folder.
    `thresholds` are those of network.json, by network.
    """

    commit: str | None
    networks: list[str]
    categories: list[str]
    words: int
    thresholds: dict[str, list[dict[str, Any]]]


class StatusResponse(BaseModel):
    """The status: `alive` or `ready`."""

    status: str


class ErrorResponse(BaseModel):
    """What is wrong, and what to do."""

    detail: str
