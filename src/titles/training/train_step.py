"""A batch in, its loss out, the network a little better: in every process the same."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from titles.data.batch import Batch
from titles.data.encoded_dataset import LabelledDataset
from titles.nn import distributed
from titles.nn.fused_cross_entropy import cross_entropy
from titles.nn.hparams import TrainParams
from titles.nn.networks import Network
from titles.nn.rowwise_adam import RowwiseAdam
from titles.nn.sparse_embedding import SparseEmbedding, all_reduce_sparse
from titles.training.cuda_graph import CUDAGraphRunner


def set_determinism(params: TrainParams, device: torch.device) -> None:
    """Seeds torch and fixes the number of its threads, on which the order of sums depends.

    Equal bytes are promised on the CPU alone; on other devices torch has no deterministic way for some sums.
    """
    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Nothing here reads what it has not written, and filling cost a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class TrainStep:
    """What a training changes from batch to batch: the weights, and what the optimizers know.

    What a step draws at random depends on its number and its process alone.
    """

    def __init__(self, network: Network, training: LabelledDataset, params: TrainParams) -> None:
        tables = [module.weight for module in network.modules() if isinstance(module, SparseEmbedding)]
        of_tables = set(map(id, tables))
        self.network, self.params, device = network, params, network.output.bias.device
        on_gpu = device.type == "cuda"
        # A captured step reads the learning rate where it was when it was captured.
        self.learning_rate: float | Tensor = params.learning_rate
        if on_gpu:
            self.learning_rate = torch.tensor(params.learning_rate, device=device)
        self.update = CUDAGraphRunner(self._update) if on_gpu and distributed.world_size() == 1 else self._update
        self.sparse = [weight for weight in tables if weight.requires_grad]
        self.dense = [weight for weight in network.parameters() if id(weight) not in of_tables]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                self.dense, self.learning_rate, weight_decay=params.weight_decay, fused=True, capturable=on_gpu
            )
        ]
        if self.sparse:
            self.optimizers.append(RowwiseAdam(self.sparse, self.learning_rate))
        self.global_step, self.max_steps = 0, params.epochs * -(-len(training) // params.batch_size)
        # Of the titles that are trained on, which may be fewer than those a model's calibration goes by.
        shares = torch.from_numpy(np.bincount(training.labels, minlength=network.output.bias.shape[2]) / len(training))
        self.shares = shares.float().to(device)
        self.log_shares = self.shares.clamp(min=torch.finfo().tiny).log()

    def __call__(self, batch: Batch, labels: Tensor, titles: int) -> Tensor:
        """The mean loss of the `titles` that all processes have in this step, of which the batch is this one's part."""
        self._set_seed_and_learning_rate()
        loss = self.update(batch, labels, titles)
        self.global_step += 1
        return loss

    def _update(self, batch: Batch, labels: Tensor, titles: int) -> Tensor:
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
        loss = self._all_reduce(loss.detach())
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _set_seed_and_learning_rate(self) -> None:
        seeds = np.random.SeedSequence([self.params.seed, self.global_step, distributed.rank()])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        learning_rate = self.params.learning_rate * (1 - self.global_step / self.max_steps)
        if isinstance(self.learning_rate, Tensor):
            self.learning_rate.fill_(learning_rate)
        else:
            self.learning_rate = learning_rate
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def _all_reduce(self, loss: Tensor) -> Tensor:
        """Of loss and gradients the sums over all processes."""
        if distributed.world_size() == 1:
            return loss
        gradients = [weight.grad for weight in self.dense if weight.grad is not None]
        together = distributed.all_reduce(torch.cat([loss[None], *(gradient.flatten() for gradient in gradients)]))
        parts = torch.split(together[1:], [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        for weight in self.sparse:
            if weight.grad is not None:
                weight.grad = all_reduce_sparse(weight.grad)
        return together[0]

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, not copied."""
        return {name: part.state_dict() for name, part in self._stateful_objects().items()} | {"done": self.global_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        for name, part in self._stateful_objects().items():
            part.load_state_dict(state[name])
        self.global_step = state["done"]

    def _stateful_objects(self) -> dict[str, Any]:
        parts: list[Any] = [self.network, *self.optimizers]
        return {str(number): part for number, part in enumerate(parts)}
