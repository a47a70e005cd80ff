"""How many titles a second one CPU process makes batches of: `python -m benchmarks.batches EMBEDDED VECTORS`.

A GPU makes its batches itself (`titles.data.device_batches`). The alternative are worker processes on the CPU; this
rate says how many of them would keep up with the GPU of docs/scale.md.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.gpu import NETWORKS, PARAMS, build
from titles.data.encoded_dataset import LabelledDataset
from titles.data.ragged import Ragged
from titles.training.loader import BatchLoader

BATCHES, ROUNDS = 100, 3


def rate(name: str, embedded: Path, vectors: Path) -> float:
    """Return titles per second, the median of `ROUNDS`."""
    titles, subword_ids = LabelledDataset.load(embedded, "train"), Ragged.load(embedded, "subword_ids")
    network = build(name, embedded, vectors).cpu()
    rows = np.random.default_rng(0).integers(len(titles), size=(BATCHES, PARAMS.batch_size))
    loader, rates = BatchLoader(titles, subword_ids, torch.device("cpu")), []
    for _ in range(ROUNDS):
        started = time.monotonic()
        for _batch in loader.iterate(network, iter(rows)):
            pass
        rates.append(rows.size / (time.monotonic() - started))
    return median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embedded", type=Path)
    parser.add_argument("vectors", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in NETWORKS:
        print(json.dumps({"network": name, "titles_per_second": round(rate(name, options.embedded, options.vectors))}))


if __name__ == "__main__":
    main()
