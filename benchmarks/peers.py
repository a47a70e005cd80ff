"""What one would pick instead, and our networks, on the same titles: `python -m benchmarks.peers FOLDER`.

FOLDER is a data folder as the pipeline takes it. All learn from its train and validation rows: the peers fit both, our
networks fit the first and choose the epoch and the temperature by the second. Of a `--fraction` of train the peers fit
that alone. `--search` finds the peers' settings, judged on validation.
"""

import argparse
import json
import os
import pickle
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from titles.cleaning import clean
from titles.metrics import balanced_accuracy
from titles.params import load_params

# What a model needs is imported where it is fitted, as it would count in the memory of all others.
if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import Pipeline

PARAMS = Path("params.yaml")
WORD_VECTORS = Path("data/word_vectors")
WORD = r"\S+"
SEED = 2019

Predict = Callable[[Sequence[str]], Sequence[str]]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """What one would pick instead: `fit` takes rows, a folder for what it saves, and settings.

    `load` turns that folder into a function of raw titles; `best` is what `--search` found among all of `choices`.
    """

    fit: Callable[..., None]
    load: Callable[[Path], Predict]
    best: Settings
    choices: dict[str, list[Any]]

    def candidates(self) -> Iterator[Settings]:
        """Every combination of the choices."""
        return (dict(zip(self.choices, values, strict=True)) for values in product(*self.choices.values()))


def naive_bayes(alpha: float) -> "Pipeline":
    """Multinomial, on the counts of words; every category as likely as any, as balanced accuracy has it."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    return make_pipeline(CountVectorizer(token_pattern=WORD), MultinomialNB(alpha=alpha, fit_prior=False))


def word_svm(C: float) -> "Pipeline":  # noqa: N803
    """Linear, on words and pairs of words."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    return make_pipeline(_word_pairs(), LinearSVC(C=C, random_state=SEED))


def character_svm(C: float, analyzer: str) -> "Pipeline":  # noqa: N803
    """Linear, on words, pairs of words, and two to five characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    characters = TfidfVectorizer(analyzer=analyzer, ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(_word_pairs(), characters), LinearSVC(C=C, random_state=SEED))


def _word_pairs() -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)


def fit_pipeline(build: Callable[..., "Pipeline"], rows: pd.DataFrame, folder: Path, **settings: Any) -> None:
    """Any of scikit-learn's."""
    pipeline = build(**settings).fit(rows.cleaned.tolist(), rows.category.tolist())
    with (folder / "pipeline.pickle").open("wb") as file:
        pickle.dump(pipeline, file)


def load_pipeline(folder: Path) -> Predict:
    """What `fit_pipeline` saved."""
    pipeline = pickle.loads((folder / "pipeline.pickle").read_bytes())
    return lambda titles: pipeline.predict([clean(title) for title in titles])


def fit_fasttext(rows: pd.DataFrame, folder: Path, subwords: tuple[int, int], **settings: Any) -> None:
    """Its supervised softmax; labels are numbers, as the names of categories may hold spaces."""
    import fasttext

    categories = sorted(rows.category.unique())
    label = {category: number for number, category in enumerate(categories)}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.writelines(f"__label__{label[row.category]} {row.cleaned}\n" for row in rows.itertuples())
        file.flush()
        minn, maxn = subwords
        model = fasttext.train_supervised(file.name, minn=minn, maxn=maxn, dim=100, thread=2, verbose=0, **settings)
    model.save_model(str(folder / "model.bin"))
    (folder / "categories.json").write_text(json.dumps(categories), encoding="utf-8")


def load_fasttext(folder: Path) -> Predict:
    """What `fit_fasttext` saved."""
    import fasttext

    model = fasttext.load_model(str(folder / "model.bin"))
    categories = json.loads((folder / "categories.json").read_text(encoding="utf-8"))

    def predict(titles: Sequence[str]) -> list[str]:
        # Given one title instead of a list, fastText 0.9.3 fails under NumPy 2.
        labels, _ = model.predict([clean(title) for title in titles])
        return [categories[int(label.removeprefix("__label__"))] for (label,) in labels]

    return predict


PEERS = {
    "naive Bayes": Peer(
        partial(fit_pipeline, naive_bayes),
        load_pipeline,
        {"alpha": 0.3},
        {"alpha": [0.03, 0.1, 0.3]},
    ),
    "fastText": Peer(
        fit_fasttext,
        load_fasttext,
        {"epoch": 50, "lr": 0.5, "wordNgrams": 1, "subwords": (0, 0)},
        {"epoch": [25, 50], "lr": [0.5], "wordNgrams": [1, 2], "subwords": [(0, 0), (2, 5)]},
    ),
    "words, linear SVM": Peer(
        partial(fit_pipeline, word_svm),
        load_pipeline,
        {"C": 1},
        {"C": [0.3, 1, 3]},
    ),
    "words and characters, linear SVM": Peer(
        partial(fit_pipeline, character_svm),
        load_pipeline,
        {"C": 1, "analyzer": "char_wb"},
        {"C": [0.3, 1, 3], "analyzer": ["char", "char_wb"]},
    ),
}
NETWORKS = ("mlp", "cnn")
MODELS = (*PEERS, *NETWORKS, "mean")


def fit_network(name: str, work: Path, folder: Path, seed: int, changes: dict[str, Settings] | None = None) -> None:
    """The pipeline's embed and train stages, under params.yaml's settings and changes to its sections."""
    from titles.encoding import EmbedParams, embed
    from titles.hyperparameters import CnnParams, MlpParams, ModelParams, TrainParams
    from titles.model import fit

    wanted = {"embed": EmbedParams, "model": ModelParams, "mlp": MlpParams, "cnn": CnnParams, "train": TrainParams}
    params: Settings = load_params(PARAMS, wanted)
    params["train"] = replace(params["train"], seed=seed)
    params |= {section: replace(params[section], **values) for section, values in (changes or {}).items()}
    with tempfile.TemporaryDirectory() as scratch:
        embedded, vectors = Path(scratch) / "embedded", Path(scratch) / "vectors.npy"
        embed(work / "prepared", work / "reduced", WORD_VECTORS, embedded, vectors, params["embed"])
        fit(name, embedded, vectors, folder, params["model"], params[name], params["train"])


def load_networks(*folders: Path) -> Predict:
    """The network of a model folder, or the mean of the probabilities of several."""
    import torch

    from titles.classifier import Classifier

    class Mean(torch.nn.Module):
        def __init__(self, *networks: torch.nn.Module) -> None:
            super().__init__()
            self.networks = torch.nn.ModuleList(networks)

        def forward(self, batch: Any) -> torch.Tensor:
            return torch.stack([network(batch).softmax(1) for network in self.networks]).mean(0).log()

    first, *others = [Classifier.load(folder) for folder in folders]
    mean = Mean(first.network, *(other.network for other in others))
    classifier = Classifier(mean, first.lexicon) if others else first
    return lambda titles: classifier.predict(titles).category.tolist()


def load(name: str, models: Path) -> Predict:
    """The model `name` of the folder its fit wrote to, as a function of raw titles."""
    if name in PEERS:
        return PEERS[name].load(models / name)
    return load_networks(*(models / network for network in (NETWORKS if name == "mean" else [name])))


def prepare(raw: Path, work: Path, fraction: float) -> None:
    """The pipeline's prepare and reduce stages, to work/prepared and work/reduced."""
    from titles import prepared, reduced
    from titles.prepared import PrepareParams
    from titles.reduced import ReduceParams

    params: Settings = load_params(PARAMS, {"prepare": PrepareParams, "reduce": ReduceParams})
    prepared.prepare(raw, work / "prepared", params["prepare"])
    reduced.reduce(work / "prepared", work / "reduced", replace(params["reduce"], fraction=fraction))


def read(work: Path, *splits: str) -> pd.DataFrame:
    """The titles of the splits; train's are those of work/reduced."""
    files = [work / ("reduced" if split == "train" else "prepared") / f"{split}.parquet" for split in splits]
    rows = pd.concat([pd.read_parquet(file, columns=["title", "cleaned", "category"]) for file in files])
    return rows.fillna({"title": ""})


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls it in a fresh process, so that time and memory are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def fit(name: str, work: Path, models: Path, settings: Settings, splits: Sequence[str]) -> dict[str, float]:
    """Writes the model to its folder in `models`; what that took, imports included.

    Peers fit the rows of all `splits`.
    """
    folder = models / name
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if name in PEERS:
        PEERS[name].fit(read(work, *splits), folder, **settings)
    else:
        fit_network(name, work, folder, **settings)
    return {
        "fit_seconds": time.monotonic() - started,
        "peak_mb": _peak_mb(),
        "disk_mb": sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
    }


def examine(name: str, work: Path, models: Path, split: str) -> dict[str, float]:
    """What the model is worth on the titles of a split, and how fast it is from their raw text on."""
    rows, predict = read(work, split), load(name, models)
    titles = rows.title.tolist()
    started = time.monotonic()
    said = predict(titles)
    seconds = time.monotonic() - started
    return {
        "balanced_accuracy": score(rows.category, said),
        "accuracy": float((rows.category.to_numpy() == np.asarray(said, object)).mean()),
        "titles_per_second": len(titles) / seconds,
    }


def score(true: Sequence[str], said: Sequence[str]) -> float:
    """The balanced accuracy of names of categories."""
    labels = pd.factorize(np.concatenate([np.asarray(true, object), np.asarray(said, object)]))[0]
    return balanced_accuracy(labels[: len(true)], labels[len(true) :])


def _peak_mb() -> float:
    # Unlike ru_maxrss this knows nothing of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024 / 1e6


def fit_all(
    work: Path, models: Path, names: Sequence[str], seed: int, splits: Sequence[str] = ("train", "validation")
) -> dict[str, dict[str, float]]:
    """Fits models one after the other, the peers with their best settings; what each took, and the mean of ours.

    The mean takes the seconds of both networks, each with its own embed, and the memory of the larger.
    """
    costs = {}
    for name in names:
        settings = PEERS[name].best if name in PEERS else {"seed": seed}
        say(f"{name}, {', '.join(f'{key} {value}' for key, value in settings.items())}")
        costs[name] = alone(fit, name, work, models, settings, splits)
        say(f"    fitted in {costs[name]['fit_seconds']:.1f} s, at most {costs[name]['peak_mb']:.0f} MB")
    if set(NETWORKS) <= costs.keys():
        parts = pd.DataFrame([costs[network] for network in NETWORKS])
        costs["mean"] = parts.sum().to_dict() | {"peak_mb": parts.peak_mb.max()}
    return costs


def compare(work: Path, seeds: Sequence[int], splits: Sequence[str]) -> pd.DataFrame:
    """A row a model: the means over its fits, and the lowest and highest balanced accuracy. Peers are fitted once."""
    runs = []
    for seed in seeds:
        models = work / "models" / str(seed)
        names = [*PEERS, *NETWORKS] if seed == seeds[0] else NETWORKS
        for name, cost in fit_all(work, models, names, seed, splits).items():
            tested = alone(examine, name, work, models, "test")
            say(f"{name}: balanced accuracy {tested['balanced_accuracy']:.4f}")
            runs.append({"model": name} | tested | cost)
    models_runs = pd.DataFrame(runs).groupby("model", sort=False)
    table = models_runs.mean()
    table.insert(1, "lowest", models_runs.balanced_accuracy.min())
    table.insert(2, "highest", models_runs.balanced_accuracy.max())
    table.insert(3, "fits", models_runs.size())
    return table.reset_index()


def search(work: Path) -> None:
    """Fits every candidate of every peer on train, prints what it is worth on validation, and the best of each."""
    best = {}
    print("| model | settings | balanced accuracy | seconds | peak MB |\n|---|---|---|---|---|", flush=True)
    for name, peer in PEERS.items():
        scores = []
        for settings in peer.candidates():
            with tempfile.TemporaryDirectory() as models:
                cost = alone(fit, name, work, Path(models), settings, ["train"])
                found = alone(examine, name, work, Path(models), "validation")["balanced_accuracy"]
            scores.append((found, settings))
            print(
                f"| {name} | {settings} | {found:.4f} | {cost['fit_seconds']:.1f} | {cost['peak_mb']:.0f} |", flush=True
            )
        best[name] = max(scores, key=lambda candidate: candidate[0])
    print("\nbest on validation:")
    for name, (found, settings) in best.items():
        print(f"{name}: {settings}, balanced accuracy {found:.4f}")


def machine(work: Path) -> str:
    """Where this ran, and on what."""
    processor = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    rows = {split: read(work, split) for split in ("train", "validation", "test")}
    counts = ", ".join(f"{len(titles):,} {split}" for split, titles in rows.items())
    packages = ", ".join(f"{package} {version(package)}" for package in ("fasttext", "scikit-learn", "torch"))
    return (
        f"{(processor or [platform.machine()])[0]}, {len(os.sched_getaffinity(0))} cores; Python "
        f"{platform.python_version()}, {packages}\n{counts} titles; {rows['train'].category.nunique():,} categories\n"
    )


def markdown(table: pd.DataFrame, formats: dict[str, str]) -> str:
    """The table with every number in the format of its column, or with four decimals."""
    lines = [table.columns.tolist(), ["---"] * table.shape[1]]
    for row in table.itertuples(index=False):
        cells = zip(table.columns, row, strict=True)
        lines.append(
            [cell if isinstance(cell, str) else format(cell, formats.get(name, ".4f")) for name, cell in cells]
        )
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def say(line: str) -> None:
    """How far it is."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fraction", type=float, default=1, help="the share of the training titles to learn from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2019, 2020, 2021], help="of our networks")
    parser.add_argument("--search", action="store_true", help="find the peers' settings instead")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/peers.csv"), help="the table as CSV")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(options.folder, work, options.fraction)
        print(machine(work), flush=True)
        if options.search:
            search(work)
            return
        # Of a part of the training titles the peers see no more than that part; validation stays whole.
        table = compare(work, options.seeds, ["train", "validation"] if options.fraction == 1 else ["train"])
    table.to_csv(options.out, index=False)
    whole = dict.fromkeys(["fits", "peak_mb", "titles_per_second"], ",.0f")
    print(markdown(table, whole | {"fit_seconds": ".1f", "disk_mb": ",.1f"}))


if __name__ == "__main__":
    main()
