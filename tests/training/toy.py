"""A toy data set of three separable categories, and trainings on it."""

from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from safetensors.torch import save_file

from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.nn.networks import CNN, MLP, predict
from titles.nn.word_embedding import Sizes
from titles.training.checkpoint import Checkpoint
from titles.training.train_step import set_determinism
from titles.training.trainer import train

PARAMS = TrainParams(
    seed=2,
    threads=1,
    epochs=8,
    min_steps=1,
    patience=8,
    batch_size=8,
    learning_rate=0.05,
    weight_decay=0.0,
    label_smoothing=0.0,
    drop_suspect_labels=False,
    objective="accuracy",
)
NETWORKS = {"mlp": (MLP, MlpParams(1, 8, 4)), "cnn": (CNN, CnnParams(8, 1, 2))}
MODEL = ModelParams("relu", "trained", dropout=0.1, word_dropout=0.1, ensemble_size=2)
WORDS = 10


def ragged(rows):
    return Ragged(np.array(list(chain(*rows)), np.int32), np.cumsum([0, *map(len, rows)]))


def labelled(titles, labels):
    return LabelledDataset(ragged(titles), np.array(labels, np.int32), np.zeros(len(labels), bool))


# Each word is its own subword. Words 0-2 are of category 0, 3-5 of category 1, 6-8 of category 2, word 9 of all.
SUBWORD_IDS = ragged([[word] for word in range(WORDS)])
TRAINING = labelled([[word, 9] for word in range(9)] * 3, [word // 3 for word in range(9)] * 3)
VALIDATION = labelled([[0, 1], [9, 2], [3, 4, 9], [5], [6, 8, 9], [7, 8]], [0, 0, 1, 1, 2, 2])


def run(folder, training=TRAINING, validation=VALIDATION, name="mlp", model=MODEL, on_epoch=None, **params):
    """Train the network `name`; return its history, the file of its weights, and the network."""
    params = replace(PARAMS, **params)
    set_determinism(params, torch.device("cpu"))
    network_class, network_params = NETWORKS[name]
    network = network_class(Sizes(WORDS, WORDS, 1, 4, int(training.labels.max()) + 1), model, network_params)
    checkpoint = Checkpoint(folder / "checkpoints" / "this")
    history, _ = train(
        network, training, validation, SUBWORD_IDS, params, checkpoint, lambda e: on_epoch and on_epoch(e, network)
    )
    weights = folder / "weights.safetensors"
    save_file(network.state_dict(), weights)
    return history, weights, network


def predicted(network, titles):
    return torch.cat(list(predict(network, titles, SUBWORD_IDS))).argmax(1).numpy()
