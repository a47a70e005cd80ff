"""Batch normalisation over the distinct words of a batch, though they be spread over processes."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from titles.data.batch import AnyBags
from titles.data.padding import PADDING, PaddedBags
from titles.nn import distributed


class _AllReduce(torch.autograd.Function):
    """The sum over all processes; as each uses it, its gradient is one, too."""

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
    """Of each word the share that is this process's, in equal parts; none of padding."""
    is_word = words != PADDING
    if distributed.world_size() == 1:
        return is_word.float()
    everywhere = torch.cat(distributed.all_gather(words)).sort().values
    times = torch.searchsorted(everywhere, words, right=True) - torch.searchsorted(everywhere, words)
    return is_word / times


class WordBatchNorm(nn.BatchNorm1d):
    """Ioffe and Szegedy (2015), where every distinct word counts once, in however many processes it stands."""

    def forward(self, vectors: Tensor, bags: AnyBags) -> Tensor:  # type: ignore[override]
        """Normalise the vectors [distinct words, dimension] of the distinct words of `bags`."""
        if not self.training:
            return self._normalize_by_running_stats(vectors)
        if isinstance(bags, PaddedBags) or distributed.world_size() > 1:
            return self._normalize_by_weighted_stats(vectors, bags.rows)
        # A single word has no variance to be normalised by.
        return super().forward(vectors) if len(vectors) > 1 else self._normalize_by_running_stats(vectors)

    def _normalize_by_running_stats(self, vectors: Tensor) -> Tensor:
        """As all words of the training were on average."""
        return F.batch_norm(vectors, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _normalize_by_weighted_stats(self, vectors: Tensor, words: Tensor) -> Tensor:
        share = _word_weights(words)[:, None]
        count = distributed.all_reduce(share.sum()).round()
        several, mean = count > 1, _all_reduce((vectors * share).sum(0)) / count.clamp(min=1)
        mean = torch.where(several, mean, self.running_mean)  # type: ignore[arg-type]
        variance = _all_reduce(((vectors - mean).square() * share).sum(0)) / count.clamp(min=1)
        variance = torch.where(several, variance, self.running_var)  # type: ignore[arg-type]
        with torch.no_grad():
            unbiased = torch.where(several, variance * count / (count - 1), variance)
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr, arg-type]
        return (vectors - mean) / (variance + self.eps).sqrt() * self.weight + self.bias
