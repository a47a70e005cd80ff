"""What is asked of the application, and what it answers: the schema of its API."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_TITLES, MOST_CHARACTERS, MOST_CATEGORIES = 1000, 1000, 20

Title = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class _Asked(BaseModel):
    # A misspelt key is told, not passed over.
    model_config = ConfigDict(extra="forbid")


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


class Predictions(BaseModel):
    """In the order of the titles."""

    predictions: list[Prediction]


class OneTitle(_Asked):
    """A title whose words are to be weighed."""

    title: Title


class Weights(BaseModel):
    """The words as the networks see them, and how much less sure each network is of its best category without each."""

    words: list[str]
    networks: dict[str, list[float]]


class ModelFacts(BaseModel):
    """What answers."""

    networks: list[str]
    categories: int
    words: int


class Status(BaseModel):
    """`alive`, or `ready`."""

    status: str


class Refusal(BaseModel):
    """What is wrong, and what to do."""

    detail: str
