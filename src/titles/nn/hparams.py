"""Hyperparameters of networks and training, with their allowed values; imports no torch."""

from dataclasses import dataclass
from typing import Annotated

from titles.core.constraints import Interval, OneOf, check_range

# Names in params.yaml and the classes of torch.nn.
ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "gelu": "GELU", "silu": "SiLU"}

# For each objective of the decision, the power of the share of a category in the training titles by which its
# probability is divided. Accuracy needs 0. Balanced accuracy needs 1 if probabilities are exact (Menon et al., 2021,
# Long-tail learning via logit adjustment). Those of rare categories are not exact, and division by a small share
# multiplies their errors, so that a lower power does better.
OBJECTIVES = {"balanced_accuracy": 0.75, "accuracy": 0.0}

EMBEDDINGS = ("trained", "frozen")


@dataclass(frozen=True)
class ModelParams:
    """Section `model` of params.yaml; docs/parameters.md explains the keys."""

    activation: Annotated[str, OneOf(ACTIVATIONS)]
    embeddings: Annotated[str, OneOf(EMBEDDINGS)]
    dropout: Annotated[float, Interval("[0, 1)")]
    word_dropout: Annotated[float, Interval("[0, 1)")]
    ensemble_size: Annotated[int, Interval("[1, 1024]")]


@dataclass(frozen=True)
class MlpParams:
    """Section `mlp` of params.yaml; docs/parameters.md explains the keys."""

    hidden_layers: Annotated[int, Interval("[0, 64]")]
    hidden_units: Annotated[int, Interval("[1, 65536]")]
    filters: Annotated[int, Interval("[1, 65536]")]


@dataclass(frozen=True)
class CnnParams:
    """Section `cnn` of params.yaml; docs/parameters.md explains the keys."""

    filters: Annotated[int, Interval("[1, 65536]")]
    min_kernel_size: Annotated[int, Interval("[1, 16]")]
    max_kernel_size: Annotated[int, Interval("[1, 16]")]

    def __post_init__(self) -> None:
        """Raise ValueError if the largest kernel size is below the smallest."""
        check_range("min_kernel_size", self.min_kernel_size, "max_kernel_size", self.max_kernel_size)

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Every kernel size from the smallest to the largest."""
        return tuple(range(self.min_kernel_size, self.max_kernel_size + 1))


# The parameters of any network.
NetworkParams = MlpParams | CnnParams


@dataclass(frozen=True)
class TrainParams:
    """Section `train` of params.yaml; docs/parameters.md explains the keys."""

    seed: Annotated[int, Interval("[0, 4294967295]")]
    threads: Annotated[int, Interval("[1, 1024]")]
    epochs: Annotated[int, Interval("[1, inf)")]
    min_steps: Annotated[int, Interval("[1, inf)")]
    patience: Annotated[int, Interval("[1, inf)")]
    batch_size: Annotated[int, Interval("[1, inf)")]
    learning_rate: Annotated[float, Interval("(0, 1]")]
    weight_decay: Annotated[float, Interval("[0, 1)")]
    label_smoothing: Annotated[float, Interval("[0, 1)")]
    drop_suspect_labels: bool
    objective: Annotated[str, OneOf(OBJECTIVES)]

    def num_epochs(self, titles: int) -> int:
        """The number of epochs over `titles` training titles: `epochs`, or more if `min_steps` needs them."""
        batches = -(-titles // self.batch_size)
        return max(self.epochs, -(-self.min_steps // batches))
