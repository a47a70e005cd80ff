"""A model that many ask at once, and that another one may replace."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from itertools import accumulate, groupby

import pyarrow as pa
import torch

from titles.inference.top_k import Best, reason_of
from titles.serving.dynamic_batcher import Batches
from titles.serving.explain import deciding_words
from titles.serving.loaded_model import LoadedModel
from titles.serving.metrics import Measures
from titles.serving.schemas import MOST_CHARACTERS
from titles.text.tokenizer import words_of

# Work is counted in characters, which tell how long titles take better than their number or that of their words: known
# words cost a look-up, unknown ones a look-up for every part of their spelling. Any title costs as much again as some.
TITLE_CHARACTERS = 16
BATCH_CHARACTERS, WAITING_CHARACTERS = 1 << 17, 1 << 20

# A title, how many categories it is to get, and the model that is to answer.
Question = tuple[str, int, LoadedModel]
# Of one title by each network the labels and scores of its categories, the best first.
Answer = dict[str, Best]


class Service:
    """Answers titles of several requests in one batch, and a request by the model there is when it comes."""

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
        model, answers = self.model, list[Answer]()
        with self.batches.admitted(_work(titles)):
            # One after the other, so that whoever asks for less need not wait for all.
            for piece in _pieces(titles):
                answers += await self.batches.ask([(title, top, model) for title in piece], _work(piece))
            # Where this thread did it, nobody else would be heard meanwhile.
            return model, await self.batches.call(_written, model, titles, answers, top)

    async def explain(self, title: str) -> tuple[LoadedModel, list[str], dict[str, list[float]]]:
        """What each word of the title weighs. Raises BusyError likewise."""
        # The title is predicted as it is, and without each of its words.
        passes = 1 + len(words_of(pa.array([title], pa.string()))[0])
        model = self.model
        with self.batches.admitted(passes * _work([title])):
            return model, *await self.batches.call(deciding_words, model.classifier, title)

    async def reload(self) -> LoadedModel:
        """Answer what comes from now on by what the model folder holds now.

        Raises InputError where it cannot be loaded; then the model stays.
        """
        async with self.reloading:
            self.model = await asyncio.to_thread(self.load)
            self.measures.model.info(self.model.identity)
            return self.model

    def _answer(self, asked: list[Question]) -> list[Answer]:
        answers: list[Answer] = []
        # Of two models only where one has just replaced the other.
        for _, questions in groupby(asked, key=lambda question: id(question[2])):
            titles, tops, models = zip(*questions, strict=True)
            found = models[0].classifier.compared(pa.array(titles, pa.string()), max(tops))
            self.measures.observe_batch(found)
            answers += [
                {network: (labels[row], scores[row]) for network, (labels, scores) in found.items()}
                for row in range(len(titles))
            ]
        return answers


def _work(titles: list[str]) -> int:
    return sum(len(title) + TITLE_CHARACTERS for title in titles)


def _pieces(titles: list[str]) -> Iterator[list[str]]:
    """The titles, as many at a time as a batch has."""
    work = accumulate(len(title) + TITLE_CHARACTERS for title in titles)
    for _, piece in groupby(zip(work, titles, strict=True), key=lambda pair: pair[0] // BATCH_CHARACTERS):
        yield [title for _, title in piece]


def _written(model: LoadedModel, titles: list[str], answers: list[Answer], top: int) -> bytes:
    names = model.classifier.categories
    predictions = [
        {
            "title": title,
            "networks": {
                network: [
                    {"category": category, "score": score}
                    for category, score in zip(names[labels[:top]].tolist(), scores[:top].tolist(), strict=True)
                    if not math.isnan(score)
                ]
                for network, (labels, scores) in answer.items()
            },
            "reason": reason_of(title) if _has_nothing(answer) else None,
        }
        for title, answer in zip(titles, answers, strict=True)
    ]
    content = {"model": model.identity, "predictions": predictions}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _has_nothing(answer: Answer) -> bool:
    """Whether the title of the answer has nothing to go on."""
    _, scores = next(iter(answer.values()))
    return bool(math.isnan(scores[0]))
