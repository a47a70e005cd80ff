"""What steers networks and training, and the tables of names that params.yaml may use; loads without torch."""

from dataclasses import dataclass
from typing import Annotated

from titles.limits import Interval, NotEmpty, OneOf

# The classes of torch.nn by the name users know them by.
ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "gelu": "GELU", "silu": "SiLU"}

# How much of the log of a category's share the loss adds to its logit: with 1 the network, which predicts without it,
# aims at balanced accuracy. Menon et al. (2021), Long-tail learning via logit adjustment.
CLASS_BALANCES = {"none": 0.0, "logit_adjustment": 1.0}

EMBEDDINGS = ("trained", "frozen")


@dataclass(frozen=True)
class ModelParams:
    activation: Annotated[str, OneOf(ACTIVATIONS)]
    embeddings: Annotated[str, OneOf(EMBEDDINGS)]
    dropout: Annotated[float, Interval("[0, 1)")]
    word_dropout: Annotated[float, Interval("[0, 1)")]
    members: Annotated[int, Interval("[1, 1024]")]


@dataclass(frozen=True)
class MlpParams:
    hidden: tuple[Annotated[int, Interval("[1, 65536]")], ...]


@dataclass(frozen=True)
class CnnParams:
    filters: Annotated[int, Interval("[1, 65536]")]
    widths: Annotated[tuple[Annotated[int, Interval("[1, 16]")], ...], NotEmpty()]


@dataclass(frozen=True)
class TrainParams:
    seed: Annotated[int, Interval("[0, 4294967295]")]
    threads: Annotated[int, Interval("[1, 1024]")]
    epochs: Annotated[int, Interval("[1, inf)")]
    min_steps: Annotated[int, Interval("[1, inf)")]
    patience: Annotated[int, Interval("[1, inf)")]
    batch_size: Annotated[int, Interval("[1, inf)")]
    learning_rate: Annotated[float, Interval("(0, 1]")]
    weight_decay: Annotated[float, Interval("[0, 1)")]
    label_smoothing: Annotated[float, Interval("[0, 1)")]
    class_balance: Annotated[str, OneOf(CLASS_BALANCES)]
