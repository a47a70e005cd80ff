"""The prediction service: one model, batches across requests, and reloads while requests are answered."""

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

# Work is counted in characters, which predict the time better than titles or words do: a word of the vocabulary costs
# one look-up, any other word one look-up per n-gram. Each title costs a constant number of characters more.
TITLE_OVERHEAD_CHARACTERS = 16
MAX_BATCH_CHARACTERS, MAX_QUEUED_CHARACTERS = 1 << 17, 1 << 20

# A title, its number of categories, and the model to predict with.
TitleRequest = tuple[str, int, LoadedModel]
# The labels and scores of one title by each network, the best first.
TitlePrediction = dict[str, TopK]


class Service:
    """Predict titles of several requests in one batch. Each request uses the model that is current on its arrival."""

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
        """Whether a title of maximal length would be admitted."""
        return self.batcher.can_admit(MAX_TITLE_CHARACTERS + TITLE_OVERHEAD_CHARACTERS)

    async def predict(self, titles: list[str], top: int) -> tuple[LoadedModel, bytes]:
        """Return the model and a `PredictResponse` in JSON. Raises OverloadedError if too much work is pending."""
        model, predictions = self.model, list[TitlePrediction]()
        with self.batcher.admit(_count_characters(titles)):
            # One batch after the other, so that small requests need not wait for all batches of a large one.
            for batch in _split_batches(titles):
                requests = [(title, top, model) for title in batch]
                predictions += await self.batcher.submit(requests, _count_characters(batch))
            # In a thread, so that it does not block the event loop.
            return model, await self.batcher.run_in_thread(_predictions_to_json, model, titles, predictions, top)

    async def explain(self, title: str) -> tuple[LoadedModel, list[str], dict[str, list[float]]]:
        """Return the model, and the words of the title with their weights. Raises OverloadedError like `predict`."""
        # One forward pass for the title, and one without each of its words.
        passes = 1 + len(tokenize(pa.array([title], pa.string()))[0])
        model = self.model
        with self.batcher.admit(passes * _count_characters([title])):
            return model, *await self.batcher.run_in_thread(occlusion_attribution, model.classifier, title)

    async def reload(self) -> LoadedModel:
        """Load the model folder again and use it for all later requests.

        Raises InputError if it cannot be loaded; the old model then stays in use.
        """
        async with self.reload_lock:
            self.model = await asyncio.to_thread(self.load)
            self.metrics.model.info(self.model.identity)
            return self.model

    def _predict_batch(self, requests: list[TitleRequest]) -> list[TitlePrediction]:
        predictions: list[TitlePrediction] = []
        # A batch has requests for two models only directly after a reload.
        for _, group in groupby(requests, key=lambda request: id(request[2])):
            titles, tops, models = zip(*group, strict=True)
            top_k = models[0].classifier.top_k_per_network(pa.array(titles, pa.string()), max(tops))
            self.metrics.observe_batch(top_k)
            predictions += [
                {network: (labels[row], scores[row]) for network, (labels, scores) in top_k.items()}
                for row in range(len(titles))
            ]
        return predictions


def _count_characters(titles: list[str]) -> int:
    return sum(len(title) + TITLE_OVERHEAD_CHARACTERS for title in titles)


def _split_batches(titles: list[str]) -> Iterator[list[str]]:
    """Split the titles into lists of about the work of a batch."""
    work = accumulate(len(title) + TITLE_OVERHEAD_CHARACTERS for title in titles)
    for _, group in groupby(zip(work, titles, strict=True), key=lambda pair: pair[0] // MAX_BATCH_CHARACTERS):
        yield [title for _, title in group]


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
                for network, (labels, scores) in prediction.items()
            },
            "reason": no_category_reason(title) if _has_no_category(prediction) else None,
        }
        for title, prediction in zip(titles, title_predictions, strict=True)
    ]
    content = {"model": model.identity, "predictions": predictions}
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _has_no_category(prediction: TitlePrediction) -> bool:
    """Whether the title has no usable word, see `titles.inference.top_k`."""
    _, scores = next(iter(prediction.values()))
    return bool(math.isnan(scores[0]))
