"""An epoch of the plain networks on this machine's GPU: titles a second, and what share of its limit that is.

    python -m benchmarks.gpu EMBEDDED VECTORS --titles 20000000

Where EMBEDDED, which the stage `embed` wrote for the plain networks of docs/scale.md, has fewer training titles, they
come several times. Needs torch, NumPy and safetensors alone, as the training itself. Prints a line of JSON a network.
"""

import argparse
import gc
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.limits import operations
from titles.data.encoded_dataset import LabelledDataset, Vocabulary
from titles.data.ragged import Ragged
from titles.metrics.history import EpochMetrics, StepMetrics
from titles.nn.device import chosen_device
from titles.nn.hparams import CnnParams, MlpParams, ModelParams, TrainParams
from titles.nn.networks import CNN, MLP, Network
from titles.nn.word_embedding import Sizes
from titles.training import loader
from titles.training.checkpoint import Checkpoint
from titles.training.loader import BatchLoader
from titles.training.train_step import TrainStep, set_determinism
from titles.training.trainer import STEP_METRICS_INTERVAL, train

MODEL = ModelParams("relu", "trained", dropout=0.0, word_dropout=0.0, ensemble_size=1)
NETWORKS = {"mlp": (MLP, MlpParams(1, 128, 4)), "cnn": (CNN, CnnParams(128, 1, 3))}
PARAMS = TrainParams(
    seed=2019,
    threads=2,
    epochs=1,
    min_steps=1,
    patience=1,
    batch_size=2048,
    learning_rate=0.008,
    weight_decay=0.01,
    label_smoothing=0.1,
    drop_suspect_labels=False,
    objective="balanced_accuracy",
)
PROFILED_STEPS = 100
# What a GPU's operation is called; the first that fits.
KINDS = {
    "dense layers": "gemm|cutlass|cublas",
    "look-ups and sums by row": "gather|scatter|index|EmbeddingBag|sort",
    "sums": "reduce",
    "updates of dense layers": "multi_tensor.*adam",
    "copies": "memcpy|memset|foreach|multi_tensor",
}
SIZE = 8192


def repeated(titles: LabelledDataset, count: int) -> LabelledDataset:
    """So many titles, the given ones again and again."""
    return titles.take(np.arange(count) % len(titles))


def built(name: str, embedded: Path, vectors: Path) -> Network:
    """The network as training finds it."""
    lexicon, dimension = Vocabulary.load(embedded), np.load(vectors).shape[1]
    pairs = torch.from_numpy(np.load(embedded / "bigrams.npy"))
    buckets = lexicon.subword_buckets if lexicon.subword_lengths else 0
    sizes = Sizes(len(lexicon.words), buckets, len(pairs), dimension, lexicon.num_trained_categories)
    kind, own = NETWORKS[name]
    network: Network = kind(sizes, MODEL, own).to(chosen_device())  # type: ignore[arg-type, operator]
    return network


def epoch(network: Network, training: LabelledDataset, validation: LabelledDataset, spelling: Ragged) -> dict[str, Any]:
    """What an epoch takes, up to its last point, with all that training does meanwhile; then its validation."""
    told: list[tuple[float, EpochMetrics | StepMetrics]] = []
    torch.cuda.reset_peak_memory_stats()
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "this")
        train(
            network,
            training,
            validation,
            spelling,
            PARAMS,
            checkpoint,
            lambda one: told.append((time.monotonic() - started, one)),
        )
    (last_point, _), (end, of_epoch) = told[-2:]
    assert isinstance(of_epoch, EpochMetrics)
    titles = len(training) // STEP_METRICS_INTERVAL * STEP_METRICS_INTERVAL
    return {
        "titles": titles,
        "seconds": last_point,
        "titles_per_second": titles / last_point,
        "validation_titles": len(validation),
        "validation_seconds": end - last_point,
        "validation_balanced_accuracy": of_epoch.validation_balanced_accuracy,
        "gpu_memory_mb": torch.cuda.max_memory_allocated() / 1e6,
    }


def profiled(network: Network, training: LabelledDataset, spelling: Ragged) -> dict[str, float]:
    """Milliseconds of a step in which the GPU is at work, in all and by the kind of work."""
    step, titles = TrainStep(network, training, PARAMS), PARAMS.batch_size
    rows = np.random.default_rng(0).permutation(len(training))
    groups = [rows[first : first + titles] for first in range(0, titles * PROFILED_STEPS, titles)]
    made = list(BatchLoader(training, spelling, chosen_device()).iterate(network, groups))
    network.train()
    # The first steps capture what the others repeat.
    for batch, labels in made[:10]:
        step(batch, labels, titles)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for batch, labels in made:
            step(batch, labels, titles)
        torch.cuda.synchronize()
    spent: dict[str, float] = defaultdict(float)
    for event in found.events():
        kind = next((kind for kind, word in KINDS.items() if re.search(word, event.name, re.IGNORECASE)), "all else")
        spent[kind] += event.self_device_time_total / 1000 / PROFILED_STEPS
    return {"all": sum(spent.values())} | dict(sorted(spent.items(), key=lambda one: -one[1]))


def multiplied(name: str, network: Network, training: LabelledDataset) -> float:
    """What a training multiplies and adds for a title, forwards and backwards."""
    titles = training.titles.take(np.random.default_rng(0).permutation(len(training))[: PARAMS.batch_size])
    words = len(np.unique(titles.values)) / PARAMS.batch_size
    dimension, categories = network.word_vectors.own.weight.shape[1], network.output.weight.shape[2]
    sizes = {"dimension": dimension, "categories": categories}
    described = {"network": name, "sizes": sizes, "model": asdict(MODEL), "own": asdict(NETWORKS[name][1])}
    return 3 * operations(described, words)


def limits() -> dict[str, float]:
    """What the GPU does at most: multiplications of 8,192² in TF32 and bf16, and a copy, read and written."""
    a, b = torch.rand(2, SIZE, SIZE, device="cuda")
    found = {}
    for name, left, right in (("tf32", a, b), ("bf16", a.bfloat16(), b.bfloat16())):
        found[f"{name}_tflops"] = 2 * SIZE**3 / _seconds(lambda left=left, right=right: left @ right) / 1e12  # type: ignore[misc]
    source, target = torch.rand(1 << 30, device="cuda"), torch.empty(1 << 30, device="cuda")
    return found | {"copied_gb_per_second": 2 * source.nbytes / _seconds(lambda: target.copy_(source)) / 1e9}


def _seconds(call: Callable[[], Any]) -> float:
    """The median of twenty calls."""
    found = []
    for _ in range(20):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end) / 1000)
    return median(found)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedded", type=Path)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--titles", type=int, default=20_000_000)
    parser.add_argument("--network", choices=NETWORKS, action="append")
    parser.add_argument("--stream", action="store_true", help="as if the titles did not fit on the GPU")
    arguments = parser.parse_args()
    if chosen_device().type != "cuda":
        parser.error("no GPU: TITLES_DEVICE says otherwise, or this torch finds none")
    if arguments.titles < STEP_METRICS_INTERVAL:
        parser.error(f"--titles is {arguments.titles}, and there is no point to measure before {STEP_METRICS_INTERVAL}")
    set_determinism(PARAMS, chosen_device())
    if arguments.stream:
        loader.RESIDENT_MEMORY_FRACTION = 0.0
    own, validation = (LabelledDataset.load(arguments.embedded, split) for split in ("train", "validation"))
    training, spelling = repeated(own, arguments.titles), Ragged.load(arguments.embedded, "subword_ids")
    machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, **limits()}
    for name in arguments.network or NETWORKS:
        # What the network before it left on the GPU is not its own.
        gc.collect()
        torch.cuda.empty_cache()
        network = built(name, arguments.embedded, arguments.vectors)
        line = {"network": name, "stream": arguments.stream, "distinct_titles": len(own)}
        line |= epoch(network, training, validation, spelling)
        line["tflops"] = line["titles_per_second"] * multiplied(name, network, training) / 1e12
        line["milliseconds_of_a_step"] = profiled(network, training, spelling)
        print(json.dumps(line | machine), flush=True)
        del network


if __name__ == "__main__":
    main()
