"""Robustness to damaged titles and label noise: `python -m benchmarks.robustness FOLDER`, or `--mislabelled`.

The first form fits the peers and the networks on FOLDER and evaluates them on damaged copies of its test titles.

`--mislabelled` gives a growing share of the train and validation titles a wrong category. Only labels that nobody
reviewed are changed (label_quality is not "reliable"), and the labels of the test titles are correct. The titles are
those of an invented catalogue, or with `--real FOLDER` those of a data folder. In the latter, the category similar to
another is the one with the most similar words, and the share of reviewed labels is reduced to that of the challenge.
Peers have their default settings and are fitted once, networks once per seed. The table gives the mean, the lowest and
the highest balanced accuracy.
"""

import argparse
import random
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks.contenders import NETWORKS, load
from benchmarks.damage import DAMAGES, damage_titles
from benchmarks.peer_models import WORD
from benchmarks.peers import compare, installed_peers
from benchmarks.report import log_progress, markdown
from benchmarks.trials import describe_run, fit_all, prepare, read, score, training_splits
from titles.demo.catalogue import categories

SEED = 2019
# Share of reviewed labels in the challenge.
REVIEWED_SHARE = 0.06
# Share of the wrong labels that name a category similar to the true one, as in the demo.
SIMILAR_CATEGORY_SHARE = 0.9


def by_damage(work: Path) -> pd.DataFrame:
    """Return the balanced accuracy of each model on the test titles, a row per damage."""
    models = work / "models"
    names = fit_all(work, models, [*installed_peers(), *NETWORKS], SEED)
    rows = read(work, "test")
    copies = {damage: damage_titles(rows.title.tolist(), damage) for damage in DAMAGES}
    table = pd.DataFrame({"test titles": list(DAMAGES)})
    for name in names:
        log_progress(f"evaluating {name}")
        predict = load(name, models)
        table[name] = [score(rows.category, predict(titles)) for titles in copies.values()]
    return table


def write_catalogue(folder: Path, rows: int, num_categories: int) -> None:
    """Write the catalogue of the demo, without label noise."""
    from titles.demo import __main__ as demo

    with (
        mock.patch.object(demo, "LABEL_NOISE", 0),
        (folder / "train.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        demo.write_csv(file, rows, num_categories, SEED)


def most_similar_categories(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return for each category the one with the highest cosine similarity of summed TF-IDF vectors."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder().fit(rows[["category"]])
    vectors = TfidfVectorizer(token_pattern=WORD).fit_transform(rows.cleaned)
    similarity = cosine_similarity(encoder.transform(rows[["category"]]).T @ vectors)
    np.fill_diagonal(similarity, -1)
    names = encoder.categories_[0].tolist()
    return {name: [names[other]] for name, other in zip(names, similarity.argmax(1), strict=True)}


def reduce_reviewed(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave a random `REVIEWED_SHARE` of the reliable rows reliable."""
    is_changed = (np.random.default_rng(SEED).random(len(rows)) >= REVIEWED_SHARE) & (rows.label_quality == "reliable")
    return rows.assign(label_quality=rows.label_quality.mask(is_changed, "unreliable"))


def mislabel(rows: pd.DataFrame, rate: float, similar: dict[str, list[str]]) -> pd.DataFrame:
    """Give a share of the unreviewed rows a wrong category; a higher rate also changes all rows of a lower one."""
    rng, names = random.Random(SEED), []
    others = {name: [other for other in similar if other != name] for name in rows.category.unique()}
    for name, quality in zip(rows.category, rows.label_quality, strict=True):
        chance, is_similar = rng.random(), rng.random() < SIMILAR_CATEGORY_SHARE
        wrong = rng.choice((is_similar and similar.get(name)) or others[name])
        names.append(wrong if chance < rate and quality != "reliable" else name)
    return rows.assign(category=names)


def by_rate(work: Path, similar: dict[str, list[str]], options: argparse.Namespace) -> pd.DataFrame:
    """Return the balanced accuracy of each model on correct labels, a row per rate of wrong training labels."""
    files = [work / "reduced" / "train.parquet", work / "prepared" / "validation.parquet"]
    original, table = {file: pd.read_parquet(file) for file in files}, []
    for rate in options.rates:
        for file, rows in original.items():
            changed = mislabel(reduce_reviewed(rows) if options.real else rows, rate, similar)
            log_progress(f"{file.stem}: {(changed.category != rows.category).mean():.1%} of the labels are wrong")
            (changed.assign(label_quality="unknown") if options.without_quality else changed).to_parquet(file)
        results = compare(work, options.seeds, training_splits(options.fraction)).set_index("model")
        shutil.rmtree(work / "models")
        single, several = "{0.balanced_accuracy:.4f}", "{0.balanced_accuracy:.4f} ({0.lowest:.4f} to {0.highest:.4f})"
        cells = {name: (single if row.fits == 1 else several).format(row) for name, row in results.iterrows()}
        table.append({"mislabelled": f"{rate:.0%}"} | cells)
    return pd.DataFrame(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.robustness", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folder", type=Path, nargs="?")
    source.add_argument("--mislabelled", action="store_true", help="wrong labels instead of damaged titles")
    parser.add_argument("--fraction", type=float, default=1, help="share of the training titles to train on")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0, 0.2, 0.3], help="rates of wrong labels among those not reviewed"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[2019, 2020, 2021], help="seeds of the networks")
    parser.add_argument("--without-quality", action="store_true", help="hide which labels were reviewed")
    parser.add_argument("--real", type=Path, help="mislabel this data folder instead of an invented catalogue")
    parser.add_argument("--rows", type=int, default=120_000, help="rows of the invented catalogue")
    parser.add_argument("--categories", type=int, default=176, help="categories of the invented catalogue")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as folder:
        work, source = Path(folder), options.folder or options.real
        if not source:
            write_catalogue(Path(raw), options.rows, options.categories)
        prepare(source or Path(raw), work, options.fraction)
        print(describe_run(work), flush=True)
        if options.real:
            similar = most_similar_categories(read(work, "train"))
        else:
            similar = {category.name: category.like for category in categories(options.categories)}
        print(markdown(by_rate(work, similar, options) if options.mislabelled else by_damage(work), {}))


if __name__ == "__main__":
    main()
