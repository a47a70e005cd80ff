"""Batch normalisation over the distinct words of a batch, though they be spread over processes."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titles import processes


class _Total(torch.autograd.Function):
    """The sum over all processes; as each uses it, its gradient is one, too."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        return processes.add_up(values.clone())

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return processes.add_up(gradient.clone())


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Total.apply(values)  # type: ignore[no-untyped-call]
    return total


class WordNorm(nn.BatchNorm1d):
    """Ioffe and Szegedy (2015), where every distinct word counts once, in however many processes it stands."""

    def forward(self, vectors: Tensor, words: Tensor) -> Tensor:  # type: ignore[override]
        """The vectors [words, dimension] of the distinct `words`, normalised."""
        if not self.training:
            return self._by_running(vectors)
        if processes.count() > 1:
            return self._by_all(vectors, words)
        # A single word has no variance to be normalised by.
        return super().forward(vectors) if len(vectors) > 1 else self._by_running(vectors)

    def _by_running(self, vectors: Tensor) -> Tensor:
        return F.batch_norm(vectors, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _by_all(self, vectors: Tensor, words: Tensor) -> Tensor:
        everywhere = torch.cat(processes.gather(words)).sort().values
        times = torch.searchsorted(everywhere, words, right=True) - torch.searchsorted(everywhere, words)
        share = (1 / times)[:, None]
        count = len(torch.unique_consecutive(everywhere))
        if count < 2:
            return self._by_running(vectors)
        mean = _total((vectors * share).sum(0)) / count
        variance = _total(((vectors - mean).square() * share).sum(0)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)  # type: ignore[union-attr, arg-type]
        return (vectors - mean) / (variance + self.eps).sqrt() * self.weight + self.bias
