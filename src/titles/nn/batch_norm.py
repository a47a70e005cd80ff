"""Batch normalisation over the distinct words of a batch, in one process or several."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titles.data.batch import AnyBags
from titles.data.padding import PADDING, PaddedBags
from titles.nn import distributed


class _AllReduce(torch.autograd.Function):
    """Sum over all processes. Every process uses the sum, so that the gradient is a sum over processes, too."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        return distributed.all_reduce(values.clone())

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return distributed.all_reduce(gradient.clone())


def _all_reduce(values: Tensor) -> Tensor:
    total: Tensor = _AllReduce.apply(values)  # type: ignore[no-untyped-call]
    return total


def _word_weights(words: Tensor) -> Tensor:
    """Weight each word by one over the number of processes that have it, and padding by zero; float [words]."""
    is_word = words != PADDING
    if distributed.world_size() == 1:
        return is_word.float()
    all_words = torch.cat(distributed.all_gather(words)).sort().values
    num_processes = torch.searchsorted(all_words, words, right=True) - torch.searchsorted(all_words, words)
    return is_word / num_processes


class WordBatchNorm(nn.BatchNorm1d):
    """Batch normalisation (Ioffe and Szegedy, 2015) in which every distinct word counts once.

    A word that several processes have counts once in all, and padding does not count.
    """

    def forward(self, vectors: Tensor, bags: AnyBags) -> Tensor:  # type: ignore[override]
        """Normalise `vectors` [distinct words, dimension], one per row of `bags`; evaluation ignores `bags`."""
        if not self.training:
            return self._normalize_by_running_stats(vectors)
        if isinstance(bags, PaddedBags) or distributed.world_size() > 1:
            return self._normalize_by_weighted_stats(vectors, bags.rows)
        # A single word has no variance.
        return super().forward(vectors) if len(vectors) > 1 else self._normalize_by_running_stats(vectors)

    def _normalize_by_running_stats(self, vectors: Tensor) -> Tensor:
        """Normalise by the running mean and variance, as in evaluation."""
        return F.batch_norm(vectors, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _normalize_by_weighted_stats(self, vectors: Tensor, words: Tensor) -> Tensor:
        """Normalise by the mean and variance of the words of all processes; by the running ones for a single word."""
        weights = _word_weights(words)[:, None]
        count = distributed.all_reduce(weights.sum()).round()
        has_variance, mean = count > 1, _all_reduce((vectors * weights).sum(0)) / count.clamp(min=1)
        mean = torch.where(has_variance, mean, self.running_mean)  # type: ignore[arg-type]
        variance = _all_reduce(((vectors - mean).square() * weights).sum(0)) / count.clamp(min=1)
        variance = torch.where(has_variance, variance, self.running_var)  # type: ignore[arg-type]
        with torch.no_grad():
            unbiased = torch.where(has_variance, variance * count / (count - 1), variance)
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr, arg-type]
        return (vectors - mean) / (variance + self.eps).sqrt() * self.weight + self.bias
