"""A batch in, its loss out, the network a little better: in every process the same."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from titles.data.batch import Batch
from titles.data.encoded_dataset import Labelled
from titles.nn import distributed
from titles.nn.fused_cross_entropy import cross_entropy
from titles.nn.hparams import TrainParams
from titles.nn.networks import Network
from titles.nn.rowwise_adam import RowAdam
from titles.nn.sparse_embedding import Table, add_up_rows
from titles.training.cuda_graph import Captured


def set_determinism(params: TrainParams, device: torch.device) -> None:
    """Seeds torch and fixes the number of its threads, on which the order of sums depends.

    Equal bytes are promised on the CPU alone; on other devices torch has no deterministic way for some sums.
    """
    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Nothing here reads what it has not written, and filling cost a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class Step:
    """What a training changes from batch to batch: the weights, and what the optimizers know.

    What a step draws at random depends on its number and its process alone.
    """

    def __init__(self, network: Network, training: Labelled, params: TrainParams) -> None:
        tables = [module.weight for module in network.modules() if isinstance(module, Table)]
        of_tables = set(map(id, tables))
        self.network, self.params, device = network, params, network.output.bias.device
        on_gpu = device.type == "cuda"
        # A captured step reads the learning rate where it was when it was captured.
        self.learning_rate: float | Tensor = params.learning_rate
        if on_gpu:
            self.learning_rate = torch.tensor(params.learning_rate, device=device)
        self.learn = Captured(self._learn) if on_gpu and distributed.count() == 1 else self._learn
        self.sparse = [weight for weight in tables if weight.requires_grad]
        self.dense = [weight for weight in network.parameters() if id(weight) not in of_tables]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                self.dense, self.learning_rate, weight_decay=params.weight_decay, fused=True, capturable=on_gpu
            )
        ]
        if self.sparse:
            self.optimizers.append(RowAdam(self.sparse, self.learning_rate))
        self.done, self.steps = 0, params.epochs * -(-len(training) // params.batch_size)
        # Of the titles that are trained on, which may be fewer than those a model's calibration goes by.
        shares = torch.from_numpy(np.bincount(training.labels, minlength=network.output.bias.shape[2]) / len(training))
        self.shares = shares.float().to(device)
        self.log_shares = self.shares.clamp(min=torch.finfo().tiny).log()

    def __call__(self, batch: Batch, labels: Tensor, titles: int) -> Tensor:
        """The mean loss of the `titles` that all processes have in this step, of which the batch is this one's part."""
        self._begin()
        loss = self.learn(batch, labels, titles)
        self.done += 1
        return loss

    def _learn(self, batch: Batch, labels: Tensor, titles: int) -> Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        features, output = self.network.features(batch), self.network.output
        # With the log shares added, the network learns to tell categories apart as if all were equally frequent (Menon
        # et al., 2021). Smoothing goes towards the shares: were it even, rare categories would need huge logits for it.
        bias = output.bias + self.log_shares
        losses = cross_entropy(features, output.weight, bias, labels, self.params.label_smoothing, self.shares)
        # The mean over the members of what each would lose alone.
        loss = losses / (len(features) * titles)
        loss.backward()  # type: ignore[no-untyped-call]
        loss = self._add_up(loss.detach())
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _begin(self) -> None:
        seeds = np.random.SeedSequence([self.params.seed, self.done, distributed.rank()])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        learning_rate = self.params.learning_rate * (1 - self.done / self.steps)
        if isinstance(self.learning_rate, Tensor):
            self.learning_rate.fill_(learning_rate)
        else:
            self.learning_rate = learning_rate
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def _add_up(self, loss: Tensor) -> Tensor:
        """Of loss and gradients the sums over all distributed."""
        if distributed.count() == 1:
            return loss
        gradients = [weight.grad for weight in self.dense if weight.grad is not None]
        together = distributed.add_up(torch.cat([loss[None], *(gradient.flatten() for gradient in gradients)]))
        parts = torch.split(together[1:], [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        for weight in self.sparse:
            if weight.grad is not None:
                weight.grad = add_up_rows(weight.grad)
        return together[0]

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, not copied."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.done = state["done"]

    def _parts(self) -> dict[str, Any]:
        parts: list[Any] = [self.network, *self.optimizers]
        return {str(number): part for number, part in enumerate(parts)}
