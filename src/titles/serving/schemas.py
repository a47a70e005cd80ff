"""What is asked of the application, and what it answers: the schema of its API."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MOST_TITLES, MOST_CHARACTERS, MOST_CATEGORIES = 1000, 1000, 20

Title = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class _Asked(BaseModel):
    # A misspelt key is told, not passed over; neither true nor "3" is a number.
    model_config = ConfigDict(extra="forbid", strict=True)


class Titles(_Asked):
    """Titles as they were written."""

    titles: Annotated[list[Title], Field(min_length=1, max_length=MOST_TITLES)]
    top: Annotated[int, Field(ge=1, le=MOST_CATEGORIES)] = 5


class Scored(BaseModel):
    """A category, and how sure a network is of it, from 0 to 1."""

    category: str
    score: float


class Prediction(BaseModel):
    """Of each network, and of their mean where there are several, the categories of a title, the best first.

    A title with nothing to go on has no category, but a reason.
    """

    title: str
    networks: dict[str, list[Scored]]
    reason: str | None


class ModelIdentity(BaseModel):
    """Which model answered: its folder's name, the version of titles that trained it, the SHA-256 of its files."""

    name: str
    version: str
    hash: str


class Predictions(BaseModel):
    """In the order of the titles."""

    model: ModelIdentity
    predictions: list[Prediction]


class OneTitle(_Asked):
    """A title whose words are to be weighed."""

    title: Title


class Weights(BaseModel):
    """The words as the networks see them, and how much less sure each network is of its best category without each."""

    model: ModelIdentity
    words: list[str]
    networks: dict[str, list[float]]


class ModelFacts(ModelIdentity):
    """What answers.

    `words` is their number; `commit` that of the checkout the model folder lies in; `thresholds` are of each network,
    as network.json has them.
    """

    commit: str | None
    networks: list[str]
    categories: list[str]
    words: int
    thresholds: dict[str, list[dict[str, Any]]]


class Status(BaseModel):
    """`alive`, or `ready`."""

    status: str


class Refusal(BaseModel):
    """What is wrong, and what to do."""

    detail: str
