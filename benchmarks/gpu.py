"""One epoch of the plain networks on the GPU of this machine: titles a second, and the peak throughput of the GPU.

    python -m benchmarks.gpu EMBEDDED VECTORS --titles 20000000

EMBEDDED is the output of the stage `embed` for the plain networks of docs/scale.md. If it has fewer training titles,
they are repeated. Requires only torch, NumPy and safetensors, as training does. Prints a line of JSON per network.
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
# Kind of work by a pattern for the name of a GPU kernel; the first match counts.
KINDS = {
    "dense layers": "gemm|cutlass|cublas",
    "look-ups and sums by row": "gather|scatter|index|EmbeddingBag|sort",
    "sums": "reduce",
    "updates of dense layers": "multi_tensor.*adam",
    "copies": "memcpy|memset|foreach|multi_tensor",
}
MATRIX_SIZE = 8192


def repeat(titles: LabelledDataset, count: int) -> LabelledDataset:
    """Repeat the titles until there are `count`."""
    return titles.take(np.arange(count) % len(titles))


def build(name: str, embedded: Path, vectors: Path) -> Network:
    """Build the untrained network on the GPU."""
    vocabulary, dimension = Vocabulary.load(embedded), np.load(vectors).shape[1]
    num_bigrams = len(np.load(embedded / "bigrams.npy"))
    buckets = vocabulary.subword_buckets if vocabulary.subword_lengths else 0
    sizes = Sizes(len(vocabulary.words), buckets, num_bigrams, dimension, vocabulary.num_trained_categories)
    network_class, network_params = NETWORKS[name]
    network: Network = network_class(sizes, MODEL, network_params).to(chosen_device())  # type: ignore[arg-type, operator]
    return network


def epoch(
    network: Network, training: LabelledDataset, validation: LabelledDataset, subword_ids: Ragged
) -> dict[str, Any]:
    """Measure an epoch up to its last step metrics, with checkpoints and sampled validations; then its validation."""
    reports: list[tuple[float, EpochMetrics | StepMetrics]] = []
    torch.cuda.reset_peak_memory_stats()
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "this")

        def report(metrics: EpochMetrics | StepMetrics) -> None:
            reports.append((time.monotonic() - started, metrics))

        train(network, training, validation, subword_ids, PARAMS, checkpoint, report)
    (seconds, _), (end, epoch_metrics) = reports[-2:]
    assert isinstance(epoch_metrics, EpochMetrics)
    titles = len(training) // STEP_METRICS_INTERVAL * STEP_METRICS_INTERVAL
    return {
        "titles": titles,
        "seconds": seconds,
        "titles_per_second": titles / seconds,
        "validation_titles": len(validation),
        "validation_seconds": end - seconds,
        "validation_balanced_accuracy": epoch_metrics.validation_balanced_accuracy,
        "gpu_memory_mb": torch.cuda.max_memory_allocated() / 1e6,
    }


def profile_steps(network: Network, training: LabelledDataset, subword_ids: Ragged) -> dict[str, float]:
    """Return the milliseconds per step in which the GPU is busy, in total and by kind of work."""
    step, titles = TrainStep(network, training, PARAMS), PARAMS.batch_size
    rows = np.random.default_rng(0).permutation(len(training))
    batch_sampler = [rows[first : first + titles] for first in range(0, titles * PROFILED_STEPS, titles)]
    batches = list(BatchLoader(training, subword_ids, chosen_device()).iterate(network, batch_sampler))
    network.train()
    # The first steps capture the CUDA graphs that later steps replay.
    for batch, labels in batches[:10]:
        step(batch, labels, titles)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for batch, labels in batches:
            step(batch, labels, titles)
        torch.cuda.synchronize()
    milliseconds: dict[str, float] = defaultdict(float)
    for event in profiler.events():
        kind = next((kind for kind, word in KINDS.items() if re.search(word, event.name, re.IGNORECASE)), "all else")
        milliseconds[kind] += event.self_device_time_total / 1000 / PROFILED_STEPS
    return {"all": sum(milliseconds.values())} | dict(sorted(milliseconds.items(), key=lambda item: -item[1]))


def operations_per_title(name: str, network: Network, training: LabelledDataset) -> float:
    """Return the multiplications and additions of training per title, forward and backward."""
    titles = training.titles.take(np.random.default_rng(0).permutation(len(training))[: PARAMS.batch_size])
    words = len(np.unique(titles.values)) / PARAMS.batch_size
    dimension, categories = network.word_vectors.own.weight.shape[1], network.output.weight.shape[2]
    sizes = {"dimension": dimension, "categories": categories}
    description = {"network": name, "sizes": sizes, "model": asdict(MODEL), "network_params": asdict(NETWORKS[name][1])}
    return 3 * operations(description, words)


def peaks() -> dict[str, float]:
    """Measure the peaks of the GPU: matrix products of size 8,192² in TF32 and bf16, and a copy (read and write)."""
    a, b = torch.rand(2, MATRIX_SIZE, MATRIX_SIZE, device="cuda")
    rates = {}
    for name, left, right in (("tf32", a, b), ("bf16", a.bfloat16(), b.bfloat16())):
        seconds = _median_seconds(lambda left=left, right=right: left @ right)  # type: ignore[misc]
        rates[f"{name}_tflops"] = 2 * MATRIX_SIZE**3 / seconds / 1e12
    source, target = torch.rand(1 << 30, device="cuda"), torch.empty(1 << 30, device="cuda")
    return rates | {"copied_gb_per_second": 2 * source.nbytes / _median_seconds(lambda: target.copy_(source)) / 1e9}


def _median_seconds(call: Callable[[], Any]) -> float:
    """Return the median of twenty calls."""
    durations = []
    for _ in range(20):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        durations.append(start.elapsed_time(end) / 1000)
    return median(durations)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedded", type=Path)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--titles", type=int, default=20_000_000)
    parser.add_argument("--network", choices=NETWORKS, action="append")
    parser.add_argument("--stream", action="store_true", help="stream the titles, as if they did not fit on the GPU")
    arguments = parser.parse_args()
    if chosen_device().type != "cuda":
        parser.error("no GPU: torch finds none, or TITLES_DEVICE names another device")
    if arguments.titles < STEP_METRICS_INTERVAL:
        parser.error(f"--titles is {arguments.titles}; at least {STEP_METRICS_INTERVAL} are needed for one measurement")
    set_determinism(PARAMS, chosen_device())
    if arguments.stream:
        loader.RESIDENT_MEMORY_FRACTION = 0.0
    own, validation = (LabelledDataset.load(arguments.embedded, split) for split in ("train", "validation"))
    training, subword_ids = repeat(own, arguments.titles), Ragged.load(arguments.embedded, "subword_ids")
    machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, **peaks()}
    for name in arguments.network or NETWORKS:
        # Free the memory of the previous network.
        gc.collect()
        torch.cuda.empty_cache()
        network = build(name, arguments.embedded, arguments.vectors)
        line = {"network": name, "stream": arguments.stream, "distinct_titles": len(own)}
        line |= epoch(network, training, validation, subword_ids)
        line["tflops"] = line["titles_per_second"] * operations_per_title(name, network, training) / 1e12
        line["milliseconds_of_a_step"] = profile_steps(network, training, subword_ids)
        print(json.dumps(line | machine), flush=True)
        del network


if __name__ == "__main__":
    main()
