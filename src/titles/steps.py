"""A batch in, its loss out, the network a little better."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from titles.batch import Batch
from titles.embedded import Labelled
from titles.hyperparameters import CLASS_BALANCES, TrainParams
from titles.lookup import Table
from titles.loss import cross_entropy
from titles.networks import Network
from titles.optimizer import RowAdam


class Step:
    """What a training changes from batch to batch: the weights, what the optimizers know, the random numbers."""

    def __init__(self, network: Network, training: Labelled, params: TrainParams) -> None:
        steps = params.epochs * -(-len(training) // params.batch_size)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        of_tables = {id(module.weight) for module in network.modules() if isinstance(module, Table)}
        sparse = [weight for weight in trained if id(weight) in of_tables]
        dense = [weight for weight in trained if id(weight) not in of_tables]
        self.network = network
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(dense, lr=params.learning_rate, weight_decay=params.weight_decay, fused=True)
        ]
        if sparse:
            self.optimizers.append(RowAdam(sparse, lr=params.learning_rate))
        self.schedules = [LambdaLR(optimizer, lambda step: 1 - step / steps) for optimizer in self.optimizers]
        self.label_smoothing = params.label_smoothing
        self.adjustment = CLASS_BALANCES[params.class_balance] * _log_shares(training)

    def __call__(self, batch: Batch, labels: Tensor) -> Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        features, output = self.network.features(batch), self.network.output
        losses = cross_entropy(features, output.weight, output.bias + self.adjustment, labels, self.label_smoothing)
        # The mean over the members of what each would lose alone.
        loss = losses / (len(features) * len(labels))
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            schedule.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, not copied."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"random": torch.get_rng_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])

    def _parts(self) -> dict[str, Any]:
        parts: list[Any] = [self.network, *self.optimizers, *self.schedules]
        return {str(number): part for number, part in enumerate(parts)}


def _log_shares(training: Labelled) -> Tensor:
    """The log of the share of each category in the training titles, [categories]; every trained category has some."""
    counts = np.bincount(training.labels)
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))
