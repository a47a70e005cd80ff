"""A classifier that many ask at once."""

import json
import math

import pyarrow as pa
import torch

from titles.best_categories import Best, reason_of
from titles.classifier import Classifier
from titles.serving.batches import Batches
from titles.serving.measures import Measures
from titles.serving.words import deciding_words

BATCH_TITLES, WAITING_TITLES = 2048, 20_000

# Of one title by each network the labels and the scores of its categories, the best first.
Answer = dict[str, Best]


class Service:
    """Answers titles of several requests in one batch."""

    def __init__(self, classifier: Classifier, measures: Measures) -> None:
        self.classifier, self.measures = classifier, measures
        self.batches = Batches(self._answer, torch.get_num_threads(), BATCH_TITLES, WAITING_TITLES)
        measures.waiting.set_function(lambda: self.batches.waiting)

    async def predict(self, titles: list[str], top: int) -> bytes:
        """As `Predictions` in JSON, the best categories of each title. Raises BusyError where too many wait."""
        answers = await self.batches.ask([(title, top) for title in titles])
        # Where this thread did it, nobody else would be heard meanwhile.
        return await self.batches.call(self._written, titles, answers, top)

    async def explain(self, title: str) -> tuple[list[str], dict[str, list[float]]]:
        """What each word of the title weighs. Raises BusyError likewise."""
        return await self.batches.call(deciding_words, self.classifier, title)

    def _written(self, titles: list[str], answers: list[Answer], top: int) -> bytes:
        names = self.classifier.categories
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
        return json.dumps({"predictions": predictions}, ensure_ascii=False, separators=(",", ":")).encode()

    def _answer(self, asked: list[tuple[str, int]]) -> list[Answer]:
        self.measures.batches.observe(len(asked))
        titles = pa.array([title for title, _ in asked], pa.string())
        said = self.classifier.compared(titles, max(top for _, top in asked))
        return [
            {network: (labels[row], scores[row]) for network, (labels, scores) in said.items()}
            for row in range(len(asked))
        ]


def _has_nothing(answer: Answer) -> bool:
    """Whether the title of the answer has nothing to go on."""
    _, scores = next(iter(answer.values()))
    return bool(math.isnan(scores[0]))
