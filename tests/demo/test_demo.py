"""The generator of the demo catalogue, and the committed catalogue in data/demo."""

import csv
import gzip
import io
import os
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import yaml

from titles.core.errors import InputError
from titles.demo.__main__ import HEADER, LABEL_NOISE, SIMILAR_CATEGORY_SHARE, _noisy_label, generate, write_csv
from titles.demo.catalogue import apply_variant, categories, handwritten_categories, shop, weights
from titles.demo.seller import Seller

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "data" / "demo" / "train.csv.gz"
DEPARTMENTS = sorted((ROOT / "src" / "titles" / "demo" / "catalogue").glob("*.yaml"))
KINDS = [(kind, language) for kind in ("nouns", "words") for language in ("es", "pt")]


def run_command_line(*arguments):
    """Run `python -m titles.demo` of this checkout; return its exit status and its standard error."""
    command = [sys.executable, "-m", "titles.demo", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def committed():
    return pd.read_csv(COMMITTED, keep_default_na=False)


def test_the_committed_catalogue_is_what_the_command_line_writes_by_default(tmp_path):
    assert run_command_line(tmp_path / "train.csv") == (0, "")
    # Only the content is compared, because the compressed bytes depend on the version of zlib.
    assert (tmp_path / "train.csv").read_bytes() == gzip.decompress(COMMITTED.read_bytes())


def test_the_committed_catalogue_is_small_enough_for_git_and_large_enough_to_learn_from(committed):
    assert COMMITTED.stat().st_size <= 4e6
    assert len(committed) >= 100_000
    assert committed.category.nunique() >= 120
    assert tuple(committed.columns) == HEADER


@pytest.mark.parametrize(
    ("statistic", "low", "high"),
    [
        (lambda rows: rows.title.str.len().mean(), 44, 52),
        (lambda rows: rows.title.str.len().median(), 49, 54),
        (lambda rows: rows.title.str.split().str.len().mean(), 6.5, 8.5),
        (lambda rows: (rows.label_quality == "reliable").mean(), 0.05, 0.07),
        (lambda rows: (rows.language == "spanish").mean(), 0.5, 0.5),
        (lambda rows: (rows.language == "portuguese").mean(), 0.5, 0.5),
    ],
    ids=["mean characters", "median characters", "mean words", "reliable", "Spanish", "Portuguese"],
)
def test_the_committed_titles_have_the_statistics_of_the_challenge(committed, statistic, low, high):
    assert low <= statistic(committed) <= high


def test_the_largest_committed_category_has_a_hundred_times_the_titles_of_the_smallest(committed):
    rows = committed.category.value_counts()
    assert rows.max() >= 100 * rows.min()


def test_every_committed_title_has_a_word(committed):
    assert committed.title.str.contains("[0-9A-Za-z]").all()


def test_at_least_a_dozen_pairs_of_categories_can_be_confused():
    def share_words(one, other):
        lists = [(getattr(one, kind)[language], getattr(other, kind)[language]) for kind, language in KINDS]
        return all(set(these) & set(those) for these, those in lists)

    by_name = {category.name: category for category in handwritten_categories()}
    pairs = [(one, by_name[name]) for one in handwritten_categories() for name in one.like if one.name < name]
    confusable = [(one.name, other.name) for one, other in pairs if one.name in other.like and share_words(one, other)]
    assert len(confusable) >= 12


@pytest.mark.parametrize("number", [2, 176, 1588])
def test_that_many_categories_have_distinct_names_without_numbers_at_their_end(number):
    names = [category.name for category in categories(number)]
    assert len(names) == len(set(names)) == number
    assert [name for name in names if not re.fullmatch("[A-Z][A-Z0-9_]*", name) or re.search("_[0-9]+$", name)] == []


@pytest.mark.parametrize("number", [2, 176, 1588])
def test_similar_categories_exist(number):
    names = {category.name for category in categories(number)}
    assert all(names.issuperset(category.like) for category in categories(number))


@pytest.mark.parametrize("number", [-1, 0, 1, 1_000_000])
def test_an_invalid_number_of_categories_is_refused(number):
    with pytest.raises(InputError, match=f"^{number} categories: the number must be from 2 to [0-9]+$"):
        categories(number)


def test_the_maximum_number_of_categories_is_the_one_in_the_error_message():
    with pytest.raises(InputError) as error:
        categories(1_000_000)
    most = int(str(error.value).split(" ")[-1])
    assert len({category.name for category in categories(most)}) == most
    with pytest.raises(InputError):
        categories(most + 1)


def test_a_variant_has_the_words_of_its_category_and_is_similar_to_it():
    (blenders,) = (category for category in handwritten_categories() if category.name == "BLENDERS")
    variant = apply_variant(shop()["variants"][0], blenders)
    assert (variant.name, variant.like, variant.nouns) == ("BLENDERS_SPARE_PARTS", ["BLENDERS"], blenders.nouns)
    assert "repuesto" in variant.before["es"] and not blenders.before["es"]


@pytest.mark.parametrize("number", [2, 3, 176, 1588])
def test_every_category_has_a_weight_from_the_least_to_the_most_frequent(number):
    found = weights(number)
    least = 20 if number >= 8 else 109
    assert (len(found), min(found), max(found)) == (number, least, 35_973)
    assert found == weights(number)


def test_one_category_in_eight_has_one_to_ten_titles():
    rows = sorted(weight / sum(weights(176)) * 120_000 for weight in weights(176))
    assert (round(rows[0]), round(rows[21]), rows[22] > 11) == (1, 10, True)


@pytest.mark.parametrize("department", DEPARTMENTS, ids=lambda path: path.stem)
def test_every_category_of_a_department_is_unique_and_complete(department):
    text = department.read_text(encoding="utf-8")
    entries = yaml.safe_load(text)
    needed = {"nouns": {"es": 1, "pt": 1}, "brands": 1, "models": 1, "words": {"es": 5, "pt": 5}, "sizes": 1}

    def is_complete(entry):
        by_language = [(entry[kind][language], needed[kind][language]) for kind, language in KINDS]
        lists = [*by_language, *((entry[kind], needed[kind]) for kind in ("brands", "models", "sizes"))]
        return all(len(words) >= least and all(isinstance(word, str) for word in words) for words, least in lists)

    # YAML silently drops duplicate keys.
    assert Counter(re.findall(r"^(\w+):", text, re.MULTILINE)) == dict.fromkeys(entries, 1)
    assert [name for name, entry in entries.items() if set(entry) - {"fits"} != {*needed, "like"}] == []
    assert [name for name, entry in entries.items() if not is_complete(entry)] == []
    assert [name for name, entry in entries.items() if "fits" in entry and entry["fits"] not in shop()["fits"]] == []


def test_every_handwritten_category_is_similar_to_existing_others():
    names = [category.name for category in handwritten_categories()]
    assert len(names) == len(set(names))
    wrong = [
        (one.name, like)
        for one in handwritten_categories()
        for like in one.like
        if like == one.name or like not in names
    ]
    assert wrong == []


def test_every_pattern_of_a_size_can_be_filled_in():
    seller = Seller(random.Random(0))
    patterns = {pattern for category in handwritten_categories() for pattern in category.sizes}
    filled = {pattern: {seller._fill_placeholders(pattern) for _ in range(5)} for pattern in patterns}
    unfilled = [pattern for pattern, sizes in filled.items() if any(set("{}|") & set(size) for size in sizes)]
    assert unfilled == []
    assert all(size.strip() for sizes in filled.values() for size in sizes)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{7..7} cm", {"7 cm"}),
        ("{1..3}", {"1", "2", "3"}),
        ("{10..30:10} w", {"10 w", "20 w", "30 w"}),
        ("talle {s|m}", {"talle s", "talle m"}),
        ("{1|2} x {3|4}", {"1 x 3", "1 x 4", "2 x 3", "2 x 4"}),
        ("2,5 l", {"2,5 l"}),
    ],
)
def test_a_pattern_becomes_any_of_its_sizes_and_nothing_else(pattern, expected):
    seller = Seller(random.Random(0))
    assert {seller._fill_placeholders(pattern) for _ in range(200)} == expected


def test_a_title_is_short_and_of_words_with_one_space_between():
    seller = Seller(random.Random(0))
    found = [seller.title(category, language) for category in categories(176) for language in ("es", "pt")]
    assert all(title and title == " ".join(title.split()) for title in found)
    assert max(map(len, found)) <= 120


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_fewer_rows_are_a_prefix_of_more(rows):
    assert list(generate(rows, 12, seed=3)) == list(islice(generate(100, 12, seed=3), rows))


def test_rows_are_generated_lazily():
    assert len(list(islice(generate(10**12, 12, seed=3), 10))) == 10


def test_another_seed_gives_other_titles():
    one, other = ({title for title, *_ in generate(100, 12, seed)} for seed in (1, 2))
    assert one.isdisjoint(other)


def test_the_languages_alternate_and_every_label_is_a_category():
    rows = list(generate(200, 12, seed=1))
    assert [language for *_, language, _ in rows] == ["spanish", "portuguese"] * 100
    assert {category for *_, category in rows} <= {category.name for category in categories(12)}
    assert {quality for _, quality, *_ in rows} == {"reliable", "unreliable"}


def test_the_file_is_csv_with_the_columns_of_the_challenge():
    write_csv(file := io.StringIO(), 3, 2, seed=1)
    lines = file.getvalue().split("\n")
    assert (lines[0], len(lines), lines[-1]) == ("title,label_quality,language,category", 5, "")


def test_the_command_line_writes_equal_content_plain_and_compressed_and_equal_bytes_twice(tmp_path):
    paths = [tmp_path / "plain.csv", tmp_path / "new" / "first.csv.gz", tmp_path / "again.csv.gz"]
    for path in paths:
        assert run_command_line("--rows", 50, "--categories", 9, "--seed", 4, path) == (0, "")
    plain, first, again = (path.read_bytes() for path in paths)
    write_csv(expected := io.StringIO(), 50, 9, 4)
    assert plain == gzip.decompress(first) == expected.getvalue().encode()
    assert first == again
    # The flags and the time in the header are 0. Two runs within a second would be equal even with a time.
    assert first[3:8] == bytes(5)


def test_label_noise_has_its_share_of_the_labels_and_mostly_confuses_similar_categories():
    rng, shop_categories = random.Random(1), categories(176)
    frequencies = {category.name: 1.0 for category in shop_categories}
    labels = [(category, _noisy_label(rng, category, frequencies)) for category in shop_categories * 200]
    wrong = [(category, label) for category, label in labels if label != category.name]
    similar = [label for category, label in wrong if label in category.like]
    assert len(wrong) / len(labels) == pytest.approx(LABEL_NOISE, abs=0.003)
    # A category without similar ones is confused with any other.
    assert SIMILAR_CATEGORY_SHARE - 0.1 < len(similar) / len(wrong) <= SIMILAR_CATEGORY_SHARE + 0.02


@pytest.mark.skipif("TITLES_REAL_DATA" not in os.environ, reason="TITLES_REAL_DATA is not set")
def test_most_categories_exist_in_the_challenge():
    with gzip.open(Path(os.environ["TITLES_REAL_DATA"]) / "meli-es/train.csv.gz", "rt", encoding="utf-8") as file:
        real = {row["category"] for row in csv.DictReader(file)}
    assert len(real & {category.name for category in categories(176)}) >= 100
