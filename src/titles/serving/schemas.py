"""What is asked of the application, and what it answers: the schema of its API."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TITLES, MAX_TITLE_CHARACTERS, MAX_TOP = 1000, 1000, 20

Title = Annotated[str, Field(max_length=MAX_TITLE_CHARACTERS)]


class _StrictModel(BaseModel):
    # A misspelt key is told, not passed over; neither true nor "3" is a number.
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(_StrictModel):
    """Titles as they were written."""

    titles: Annotated[list[Title], Field(min_length=1, max_length=MAX_TITLES)]
    top: Annotated[int, Field(ge=1, le=MAX_TOP)] = 5


class ScoredCategory(BaseModel):
    """A category, and how sure a network is of it, from 0 to 1."""

    category: str
    score: float


class Prediction(BaseModel):
    """Of each network, and of their mean where there are several, the categories of a title, the best first.

    A title with nothing to go on has no category, but a reason.
    """

    title: str
    networks: dict[str, list[ScoredCategory]]
    reason: str | None


class ModelIdentity(BaseModel):
    """Which model answered: its folder's name, the version of titles that trained it, the SHA-256 of its files."""

    name: str
    version: str
    hash: str


class PredictResponse(BaseModel):
    """In the order of the titles."""

    model: ModelIdentity
    predictions: list[Prediction]


class ExplainRequest(_StrictModel):
    """A title whose words are to be weighed."""

    title: Title


class ExplainResponse(BaseModel):
    """The words as the networks see them, and how much less sure each network is of its best category without each."""

    model: ModelIdentity
    words: list[str]
    networks: dict[str, list[float]]


class ModelInfo(ModelIdentity):
    """What answers.

    `words` is their number; `commit` that of the checkout the model folder lies in; `thresholds` are of each network,
    as network.json has them.
    """

    commit: str | None
    networks: list[str]
    categories: list[str]
    words: int
    thresholds: dict[str, list[dict[str, Any]]]


class StatusResponse(BaseModel):
    """`alive`, or `ready`."""

    status: str


class ErrorResponse(BaseModel):
    """What is wrong, and what to do."""

    detail: str
