"""A model that many ask at once, and that another one may replace."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from itertools import accumulate, groupby

import pyarrow as pa
import torch

from titles.inference.top_k import TopK, no_category_reason
from titles.serving.dynamic_batcher import DynamicBatcher
from titles.serving.explain import occlusion_attribution
from titles.serving.loaded_model import LoadedModel
from titles.serving.metrics import ServerMetrics
from titles.serving.schemas import MAX_TITLE_CHARACTERS
from titles.text.tokenizer import tokenize

# Work is counted in characters, which tell how long titles take better than their number or that of their words: known
# words cost a look-up, unknown ones a look-up for every part of their spelling. Any title costs as much again as some.
TITLE_OVERHEAD_CHARACTERS = 16
MAX_BATCH_CHARACTERS, MAX_QUEUED_CHARACTERS = 1 << 17, 1 << 20

# A title, how many categories it is to get, and the model that is to answer.
TitleRequest = tuple[str, int, LoadedModel]
# Of one title by each network the labels and scores of its categories, the best first.
TitlePrediction = dict[str, TopK]


class Service:
    """Answers titles of several requests in one batch, and a request by the model there is when it comes."""

    def __init__(self, load: Callable[[], LoadedModel]) -> None:
        self.load, self.metrics = load, ServerMetrics()
        self.model = load()
        self.metrics.model.info(self.model.identity)
        self.reload_lock = asyncio.Lock()
        self.batcher = DynamicBatcher(
            self._predict_batch, torch.get_num_threads(), MAX_BATCH_CHARACTERS, MAX_QUEUED_CHARACTERS
        )
        self.metrics.waiting.set_function(lambda: self.batcher.work)

    @property
    def is_ready(self) -> bool:
        """Whether a title of any length would be admitted."""
        return self.batcher.can_admit(MAX_TITLE_CHARACTERS + TITLE_OVERHEAD_CHARACTERS)

    async def predict(self, titles: list[str], top: int) -> tuple[LoadedModel, bytes]:
        """As `Predictions` in JSON, the best categories of each title. Raises BusyError where too much waits."""
        model, answers = self.model, list[TitlePrediction]()
        with self.batcher.admit(_count_characters(titles)):
            # One after the other, so that whoever asks for less need not wait for all.
            for piece in _split_batches(titles):
                answers += await self.batcher.submit([(title, top, model) for title in piece], _count_characters(piece))
            # Where this thread did it, nobody else would be heard meanwhile.
            return model, await self.batcher.run_in_thread(_predictions_to_json, model, titles, answers, top)

    async def explain(self, title: str) -> tuple[LoadedModel, list[str], dict[str, list[float]]]:
        """What each word of the title weighs. Raises BusyError likewise."""
        # The title is predicted as it is, and without each of its words.
        passes = 1 + len(tokenize(pa.array([title], pa.string()))[0])
        model = self.model
        with self.batcher.admit(passes * _count_characters([title])):
            return model, *await self.batcher.run_in_thread(occlusion_attribution, model.classifier, title)

    async def reload(self) -> LoadedModel:
        """Answer what comes from now on by what the model folder holds now.

        Raises InputError where it cannot be loaded; then the model stays.
        """
        async with self.reload_lock:
            self.model = await asyncio.to_thread(self.load)
            self.metrics.model.info(self.model.identity)
            return self.model

    def _predict_batch(self, requests: list[TitleRequest]) -> list[TitlePrediction]:
        answers: list[TitlePrediction] = []
        # Of two models only where one has just replaced the other.
        for _, questions in groupby(requests, key=lambda question: id(question[2])):
            titles, tops, models = zip(*questions, strict=True)
            found = models[0].classifier.top_k_per_network(pa.array(titles, pa.string()), max(tops))
            self.metrics.observe_batch(found)
            answers += [
                {network: (labels[row], scores[row]) for network, (labels, scores) in found.items()}
                for row in range(len(titles))
            ]
        return answers


def _count_characters(titles: list[str]) -> int:
    return sum(len(title) + TITLE_OVERHEAD_CHARACTERS for title in titles)


def _split_batches(titles: list[str]) -> Iterator[list[str]]:
    """The titles, as many at a time as a batch has."""
    work = accumulate(len(title) + TITLE_OVERHEAD_CHARACTERS for title in titles)
    for _, piece in groupby(zip(work, titles, strict=True), key=lambda pair: pair[0] // MAX_BATCH_CHARACTERS):
        yield [title for _, title in piece]


def _predictions_to_json(
    model: LoadedModel, titles: list[str], title_predictions: list[TitlePrediction], top: int
) -> bytes:
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
            "reason": no_category_reason(title) if _has_no_category(answer) else None,
        }
        for title, answer in zip(titles, title_predictions, strict=True)
    ]
    content = {"model": model.identity, "predictions": predictions}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _has_no_category(prediction: TitlePrediction) -> bool:
    """Whether the title of the answer has nothing to go on."""
    _, scores = next(iter(prediction.values()))
    return bool(math.isnan(scores[0]))
