import io
import logging
import os

import pandas as pd
import pyarrow as pa
import pytest

from tests.numbered import write_numbered
from titles.core.progress import Progress
from titles.inference.batch_predict import (
    CHUNK_ROWS,
    MAX_LOGGED_FAULTS,
    MAX_TITLE_BYTES,
    STREAM_READ_BYTES,
    BatchPredictor,
    format_count,
    read_line_batches,
)
from titles.inference.classifier import Classifier
from titles.io.file_discovery import titles_file
from titles.io.source_file import SourceFile
from titles.nn.hparams import MlpParams, ModelParams, TrainParams
from titles.training.fit import fit

TITLES = ["Palabra1 palabra2", "", "¿palabra7?", "otra, «palabra»"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    root = tmp_path_factory.mktemp("fitted")
    write_numbered(root, train=60, validation=12)
    model, params = (
        ModelParams("relu", "trained", 0.0, 0.0, 1),
        TrainParams(0, 1, 2, 1, 2, 8, 0.05, 0.0, 0.0, False, "accuracy"),
    )
    fit("mlp", root / "embedded", root / "vectors.npy", root / "mlp", model, MlpParams(1, 8, 4), params)
    return Classifier.load(root / "mlp")


def write_titles(path, titles=TITLES, **columns):
    """Write the titles in the format and compression of the path's extension."""
    table = pd.DataFrame({"title": titles} | columns)
    if ".csv" in path.name:
        table.to_csv(path, index=False)
    elif ".jsonl" in path.name:
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    return titles_file(path)


def predict_all(predictor, source):
    """The predictions for a file, or for the batches of a stream."""
    is_file = isinstance(source, SourceFile)
    tables = predictor.predict_file(source) if is_file else predictor.predict_stream(source)
    return pa.concat_tables([predictor.schema.empty_table(), *tables]).to_pandas()


@pytest.mark.parametrize("top", [1, 2])
@pytest.mark.parametrize("name", ["a.csv", "b.csv.gz", "csv.jsonl", "d.v2.jsonl.bz2", "e.parquet"])
def test_predictions_equal_those_of_the_classifier_for_every_file_format(classifier, tmp_path, name, top):
    file = write_titles(tmp_path / name, brand=["x"] * len(TITLES))
    found = predict_all(BatchPredictor(classifier, top), file)
    assert list(found.columns) == ["line", "title", "category", "score", "reason"]
    pd.testing.assert_frame_equal(found.drop(columns="line"), classifier.predict(TITLES, top), check_dtype=False)


def test_several_chunks_keep_the_order_and_the_line_numbers(classifier, tmp_path):
    titles = [f"palabra{number % 50}" for number in range(2 * CHUNK_ROWS + 3)]
    found = predict_all(BatchPredictor(classifier), write_titles(tmp_path / "many.csv", titles))
    assert found.title.tolist() == titles
    assert found.line.tolist() == list(range(2, len(titles) + 2))


def test_an_unreadable_row_is_logged_and_has_no_category_and_the_others_are_predicted(classifier, tmp_path, caplog):
    (tmp_path / "broken.csv").write_text("title,brand\npalabra1,x\ntoo,many,fields\npalabra2,y\n")
    found = predict_all(BatchPredictor(classifier, top=2), titles_file(tmp_path / "broken.csv"))
    assert found.line.tolist() == [2, 2, 3, 4, 4]
    assert found[["title", "category", "score"]].isna().all(axis=1).tolist() == [False, False, True, False, False]
    assert "line 3 has no category: 3 fields where the header has 2" in caplog.messages


def test_of_many_unreadable_rows_some_are_logged_and_the_others_counted(classifier, tmp_path, caplog):
    (tmp_path / "broken.csv").write_text("title,brand\npalabra1,x\n" + "alone\n" * (MAX_LOGGED_FAULTS + 1234))
    predict_all(BatchPredictor(classifier), titles_file(tmp_path / "broken.csv"))
    logged = [message for message in caplog.messages if "has no category" in message]
    assert len(logged) == MAX_LOGGED_FAULTS
    assert "1,234 lines more without a category" in caplog.messages


def test_a_category_below_the_minimum_score_is_left_out_and_a_title_without_any_has_one_row(classifier, tmp_path):
    file = write_titles(tmp_path / "a.csv")
    unfiltered = predict_all(BatchPredictor(classifier, top=3), file)
    minimum = float(unfiltered.score.iloc[0])
    found = predict_all(BatchPredictor(classifier, top=3, min_score=minimum), file)
    assert found.category.notna().sum() == (unfiltered.score >= minimum).sum() > 0
    assert found.line.unique().tolist() == unfiltered.line.unique().tolist()
    assert found[found.category.isna()].score.isna().all()
    assert predict_all(BatchPredictor(classifier, min_score=1.1), file).category.isna().all()


def test_a_row_without_a_category_has_a_reason(classifier, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    lines = [
        b'{"title": "palabra1"}',
        b'{"title": null}',
        b'{"name": "x"}',
        '{"title": "電話"}'.encode(),
        b"{",
        b'{"title": ""}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    predictor = BatchPredictor(classifier, top=2)
    found = predict_all(predictor, titles_file(tmp_path / "a.jsonl"))
    assert found.line.tolist() == [1, 1, 2, 3, 4, 5, 6]
    assert found.category.isna().tolist() == [False, False, True, True, True, True, True]
    reasons = found.reason[2:].tolist()
    assert reasons[:3] + reasons[4:] == ["no title", "no title", "no Latin letter or digit", "no title"]
    assert reasons[3].startswith("not JSON")
    assert (predictor.num_rows, predictor.num_predicted) == (6, 1)
    assert "4 titles without a usable word and without a category" in caplog.messages


def test_a_title_with_low_scores_counts_as_predicted_and_has_a_reason(classifier, tmp_path):
    predictor = BatchPredictor(classifier, min_score=1.0)
    found = predict_all(predictor, write_titles(tmp_path / "a.csv", ["palabra1"]))
    assert found.reason.tolist() == ["no score of 1.0 or more"]
    assert (predictor.num_rows, predictor.num_predicted) == (1, 1)


@pytest.mark.parametrize("name", ["a.csv", "b.csv.gz", "c.jsonl", "d.parquet"])
def test_progress_counts_predicted_bytes_and_ends_with_the_last_chunk(classifier, tmp_path, name, monkeypatch):
    bars = []

    class Bar(Progress):
        def __init__(self, total, unit, description):
            super().__init__(total, unit, description)
            bars.append(self)

    monkeypatch.setattr("titles.inference.batch_predict.Progress", Bar)
    file = write_titles(tmp_path / name, [f"palabra{number % 50}" for number in range(3 * CHUNK_ROWS)])
    seen = []
    for _ in BatchPredictor(classifier).predict_file(file):
        (bar,) = bars
        seen.append(bar.done)
    assert [bar.description for bar in bars] == ["predicting"]
    # Rows that are read ahead do not count before their predictions are used.
    assert (seen[0], bar.done) == (0, bar.total)
    assert seen == sorted(seen)


@pytest.mark.parametrize(("number", "expected"), [(0, "0 rows"), (1, "1 row"), (2000, "2,000 rows")])
def test_one_is_singular(number, expected):
    assert format_count(number, "row") == expected


def test_ids_are_copied(classifier, tmp_path):
    file = write_titles(tmp_path / "a.csv", id=["7", "x", "007", "1"])
    found = predict_all(BatchPredictor(classifier, with_ids=True), file)
    assert found.id.tolist() == ["7", "x", "007", "1"]


def test_a_stream_has_one_title_per_line(classifier):
    titles = [f"palabra{number}" for number in range(STREAM_READ_BYTES // 8)]
    found = predict_all(BatchPredictor(classifier), read_line_batches(io.BytesIO("\r\n".join(titles).encode())))
    assert (found.title.tolist(), found.line.tolist()) == (titles, list(range(1, len(titles) + 1)))
    assert len(predict_all(BatchPredictor(classifier), read_line_batches(io.BytesIO()))) == 0


def test_a_title_of_a_stream_is_predicted_before_the_next_one_arrives(classifier):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as titles:
        tables = BatchPredictor(classifier).predict_stream(read_line_batches(stream))
        for number in range(1, 4):
            titles.write(f"palabra{number}\n".encode())
            assert next(tables).to_pydict()["title"] == [f"palabra{number}"]


def test_a_line_that_is_too_long_has_no_category_and_no_title(classifier):
    class Endless(io.BytesIO):
        """Its second line is ten times as long as allowed."""

        def __init__(self):
            super().__init__()
            self.chunks = [b"palabra1\n", *[b"x" * STREAM_READ_BYTES] * 20, b"y\npalabra2"]

        def read1(self, _size):
            return self.chunks.pop(0) if self.chunks else b""

    found = predict_all(BatchPredictor(classifier), read_line_batches(Endless()))
    assert found.line.tolist() == [1, 2, 3]
    assert found.category.isna().tolist() == [False, True, False]
    assert found.title.isna().tolist() == [False, True, False]
    assert MAX_TITLE_BYTES < 20 * STREAM_READ_BYTES


def test_chunks_have_fewer_titles_if_a_title_has_more_rows(classifier, tmp_path):
    titles = [f"palabra{number % 40}" for number in range(CHUNK_ROWS)]
    tables = list(BatchPredictor(classifier, top=3).predict_file(write_titles(tmp_path / "many.csv", titles)))
    assert max(map(len, tables)) <= CHUNK_ROWS
    assert sum(map(len, tables)) == 3 * len(titles)
