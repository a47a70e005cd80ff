from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.preprocessing.subsample import ReduceParams, reduce

SIZES = {"COMMON": 100, "FEW": 4, "ONE": 1}
TRAIN = pd.DataFrame(
    [
        {
            "title": f"{category} {number}",
            "cleaned": f"{category.lower()} {number}",
            "category": category,
            "language": "spanish",
            "label_quality": "reliable",
        }
        for category, size in SIZES.items()
        for number in range(size)
    ]
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    TRAIN.to_parquet(folder / "train.parquet")
    return folder


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reduced")


def sample(prepared: Path, reduced: Path, fraction: float, min_rows: int = 1) -> pd.DataFrame:
    reduce(prepared, reduced, ReduceParams(fraction, min_rows))
    return pd.read_parquet(reduced / "train.parquet")


@pytest.mark.parametrize(
    ("fraction", "min_rows", "sizes"),
    [
        (0.1, 1, {"COMMON": 10, "FEW": 1, "ONE": 1}),
        (0.07, 1, {"COMMON": 7, "FEW": 1, "ONE": 1}),
        (0.071, 1, {"COMMON": 8, "FEW": 1, "ONE": 1}),
        (0.1, 3, {"COMMON": 10, "FEW": 3, "ONE": 1}),
        (0.5, 3, {"COMMON": 50, "FEW": 3, "ONE": 1}),
        (0.000001, 20, {"COMMON": 20, "FEW": 4, "ONE": 1}),
        (1e-9, 1, {"COMMON": 1, "FEW": 1, "ONE": 1}),
        (1.0, 1, SIZES),
    ],
)
def test_each_category_is_sampled_by_its_fraction_rounded_up_and_at_least_the_minimum(
    prepared: Path, reduced: Path, fraction: float, min_rows: int, sizes: dict[str, int]
):
    assert sample(prepared, reduced, fraction, min_rows).category.value_counts().to_dict() == sizes


def test_fraction_1_returns_every_row_unchanged(prepared: Path, reduced: Path):
    rows = sample(prepared, reduced, 1.0)
    pd.testing.assert_frame_equal(
        rows.sort_values("cleaned", ignore_index=True), TRAIN.sort_values("cleaned", ignore_index=True)
    )


@settings(deadline=None, max_examples=15)
@given(fractions=st.tuples(*[st.floats(0, 1, exclude_min=True)] * 2).map(sorted), min_rows=st.integers(1, 5))
def test_a_smaller_sample_is_a_subset_of_a_larger_one(
    prepared: Path, reduced: Path, fractions: list[float], min_rows: int
):
    smaller, larger = (set(sample(prepared, reduced, fraction, min_rows).title) for fraction in fractions)
    assert smaller <= larger


def test_the_sample_does_not_depend_on_the_order_of_the_rows(prepared: Path, reduced: Path, tmp_path: Path):
    sample(prepared, reduced, 0.3)
    TRAIN[::-1].to_parquet(tmp_path / "train.parquet")
    sample(tmp_path, tmp_path / "reduced", 0.3)
    assert (reduced / "train.parquet").read_bytes() == (tmp_path / "reduced" / "train.parquet").read_bytes()


def test_the_sampled_rows_of_a_category_are_not_its_first_in_the_file_or_by_name(prepared: Path, reduced: Path):
    rows = sample(prepared, reduced, 0.1)
    common = TRAIN[TRAIN.category == "COMMON"].cleaned
    sampled = set(rows[rows.category == "COMMON"].cleaned)
    assert sampled != set(common[:10])
    assert sampled != set(sorted(common)[:10])


def test_the_counts_are_the_rows_read_and_sampled(prepared: Path, reduced: Path):
    assert reduce(prepared, reduced, ReduceParams(0.1, 1)) == {"read": 105, "train": 12}


def test_the_log_says_how_many_titles_are_left_out_and_how_to_use_all(
    prepared: Path, reduced: Path, caplog: pytest.LogCaptureFixture
):
    reduce(prepared, reduced, ReduceParams(0.1, 1))
    warning = "reduce.fraction is 0.1: 93 training titles are left out; to use all: dvc exp run -S reduce.fraction=1"
    assert warning in caplog.messages
    caplog.clear()
    reduce(prepared, reduced, ReduceParams(1.0, 1))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
