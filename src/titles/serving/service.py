"""A model that many ask at once, and that another one may replace."""

import asyncio
import json
from collections.abc import Callable

import pyarrow as pa
import torch

from titles.best_categories import Best
from titles.serving.batches import Batches
from titles.serving.loaded_model import LoadedModel
from titles.serving.measures import Measures
from titles.serving.messages import MOST_CHARACTERS
from titles.serving.words import deciding_words
from titles.title_words import words_of

# Work is counted in characters, which tell how long titles take better than their number or that of their words: known
# words cost a look-up, unknown ones a look-up for every part of their spelling. Any title costs as much again as some.
TITLE_CHARACTERS = 16
BATCH_CHARACTERS, WAITING_CHARACTERS = 1 << 17, 1 << 20

# The model that answered, and of one title by each network the labels and scores of its categories, the best first.
Answer = tuple[LoadedModel, dict[str, Best]]


class Service:
    """Answers titles of several requests in one batch, all by the same model."""

    def __init__(self, load: Callable[[], LoadedModel]) -> None:
        self.load, self.measures = load, Measures()
        self.model = load()
        self.measures.model.info(self.model.identity)
        self.reloading = asyncio.Lock()
        self.batches = Batches(self._answer, torch.get_num_threads(), BATCH_CHARACTERS, WAITING_CHARACTERS)
        self.measures.waiting.set_function(lambda: self.batches.work)

    @property
    def is_ready(self) -> bool:
        """Whether a title of any length would be admitted."""
        return self.batches.admits(MOST_CHARACTERS + TITLE_CHARACTERS)

    async def predict(self, titles: list[str], top: int) -> tuple[LoadedModel, bytes]:
        """As `Predictions` in JSON, the best categories of each title. Raises BusyError where too much waits."""
        work = sum(len(title) + TITLE_CHARACTERS for title in titles)
        with self.batches.admitted(work):
            answers = await self.batches.ask([(title, top) for title in titles], work)
            # Where this thread did it, nobody else would be heard meanwhile.
            return answers[0][0], await self.batches.call(_written, titles, answers, top)

    async def explain(self, title: str) -> tuple[LoadedModel, list[str], dict[str, list[float]]]:
        """What each word of the title weighs. Raises BusyError likewise."""
        # The title is predicted as it is, and without each of its words.
        passes = 1 + len(words_of(pa.array([title], pa.string()))[0])
        with self.batches.admitted(passes * (len(title) + TITLE_CHARACTERS)):
            return await self.batches.call(self._explained, title)

    async def reload(self) -> LoadedModel:
        """Answer by what the model folder holds now, from the next batch on.

        Raises InputError where it cannot be loaded; then the model stays.
        """
        async with self.reloading:
            self.model = await asyncio.to_thread(self.load)
            self.measures.model.info(self.model.identity)
            return self.model

    def _explained(self, title: str) -> tuple[LoadedModel, list[str], dict[str, list[float]]]:
        model = self.model
        return model, *deciding_words(model.classifier, title)

    def _answer(self, asked: list[tuple[str, int]]) -> list[Answer]:
        # Read once, as it may be replaced at any time.
        model = self.model
        titles = pa.array([title for title, _ in asked], pa.string())
        found = model.classifier.compared(titles, max(top for _, top in asked))
        self.measures.observe_batch(found)
        return [
            (model, {network: (labels[row], scores[row]) for network, (labels, scores) in found.items()})
            for row in range(len(asked))
        ]


def _written(titles: list[str], answers: list[Answer], top: int) -> bytes:
    model = answers[0][0]
    names = model.classifier.categories
    predictions = [
        {
            "title": title,
            "networks": {
                network: [
                    {"category": category, "score": score}
                    for category, score in zip(names[labels[:top]].tolist(), scores[:top].tolist(), strict=True)
                ]
                for network, (labels, scores) in answer.items()
            },
        }
        for title, (_, answer) in zip(titles, answers, strict=True)
    ]
    content = {"model": model.identity, "predictions": predictions}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
