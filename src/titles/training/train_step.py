"""The training step: forward, backward and optimizer step on one batch, the same in every process."""

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
    """Seed torch and fix the number of its threads, because the order of sums depends on it.

    Only the CPU gives equal bytes: on other devices torch has no deterministic implementation of some sums.
    """
    torch.manual_seed(params.seed)
    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    # No code here reads uninitialized memory, and filling it took a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class TrainStep:
    """The training step, with the state it changes: the weights, the optimizer states and the step count.

    The random numbers of a step depend only on the seed, the step's number and the rank.
    """

    def __init__(self, network: Network, training: LabelledDataset, params: TrainParams) -> None:
        embeddings = [module.weight for module in network.modules() if isinstance(module, SparseEmbedding)]
        embedding_ids = set(map(id, embeddings))
        self.network, self.params, device = network, params, network.output.bias.device
        on_gpu = device.type == "cuda"
        # A CUDA graph reads the learning rate from the memory it was in at capture, so it must be a tensor.
        self.learning_rate: float | Tensor = params.learning_rate
        if on_gpu:
            self.learning_rate = torch.tensor(params.learning_rate, device=device)
        self.update = CUDAGraphRunner(self._update) if on_gpu and distributed.world_size() == 1 else self._update
        self.sparse = [weight for weight in embeddings if weight.requires_grad]
        self.dense = [weight for weight in network.parameters() if id(weight) not in embedding_ids]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                self.dense, self.learning_rate, weight_decay=params.weight_decay, fused=True, capturable=on_gpu
            )
        ]
        if self.sparse:
            self.optimizers.append(RowwiseAdam(self.sparse, self.learning_rate))
        self.global_step, self.max_steps = 0, params.epochs * -(-len(training) // params.batch_size)
        # The shares of the titles trained on. Calibration uses those of all training titles, suspect labels included.
        shares = torch.from_numpy(np.bincount(training.labels, minlength=network.output.bias.shape[2]) / len(training))
        self.shares = shares.float().to(device)
        self.log_shares = self.shares.clamp(min=torch.finfo().tiny).log()

    def __call__(self, batch: Batch, labels: Tensor, titles: int) -> Tensor:
        """Train on this process's slice of a batch and return the mean loss of the batch's `titles`, a scalar."""
        self._set_seed_and_learning_rate()
        loss = self.update(batch, labels, titles)
        self.global_step += 1
        return loss

    def _update(self, batch: Batch, labels: Tensor, titles: int) -> Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        features, output = self.network.features(batch), self.network.output
        # Logit adjustment (Menon et al., 2021): with the log shares added, the network learns logits as if all
        # categories were equally frequent. Labels are smoothed towards the shares, because uniform smoothing would
        # require huge logits of rare categories.
        bias = output.bias + self.log_shares
        losses = cross_entropy(features, output.weight, bias, labels, self.params.label_smoothing, self.shares)
        # The mean over the ensemble members.
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
        """Sum the loss and the gradients over all processes; return the loss."""
        if distributed.world_size() == 1:
            return loss
        gradients = [weight.grad for weight in self.dense if weight.grad is not None]
        # One call for all, because each call has a latency.
        sums = distributed.all_reduce(torch.cat([loss[None], *(gradient.flatten() for gradient in gradients)]))
        gradient_sums = torch.split(sums[1:], [gradient.numel() for gradient in gradients])
        for gradient, gradient_sum in zip(gradients, gradient_sums, strict=True):
            gradient.copy_(gradient_sum.view_as(gradient))
        for weight in self.sparse:
            if weight.grad is not None:
                weight.grad = all_reduce_sparse(weight.grad)
        return sums[0]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on. The tensors are not copied."""
        state = {name: stateful.state_dict() for name, stateful in self._stateful_objects().items()}
        return state | {"global_step": self.global_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`."""
        for name, stateful in self._stateful_objects().items():
            stateful.load_state_dict(state[name])
        self.global_step = state["global_step"]

    def _stateful_objects(self) -> dict[str, Any]:
        objects: list[Any] = [self.network, *self.optimizers]
        return {str(index): stateful for index, stateful in enumerate(objects)}
