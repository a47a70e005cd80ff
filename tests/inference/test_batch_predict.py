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


def written(path, titles=TITLES, **columns):
    """The titles in the format and compression the path's name says."""
    table = pd.DataFrame({"title": titles} | columns)
    if ".csv" in path.name:
        table.to_csv(path, index=False)
    elif ".jsonl" in path.name:
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    return titles_file(path)


def answered(answers, given):
    """The answers to a file, or to the rows of a stream."""
    tables = answers.predict_file(given) if isinstance(given, SourceFile) else answers.predict_stream(given)
    return pa.concat_tables([answers.schema.empty_table(), *tables]).to_pandas()


@pytest.mark.parametrize("top", [1, 2])
@pytest.mark.parametrize("name", ["a.csv", "b.csv.gz", "csv.jsonl", "d.v2.jsonl.bz2", "e.parquet"])
def test_titles_get_the_categories_the_classifier_gives_them_whatever_file_they_come_in(
    classifier, tmp_path, name, top
):
    file = written(tmp_path / name, brand=["x"] * len(TITLES))
    found = answered(BatchPredictor(classifier, top), file)
    assert list(found.columns) == ["line", "title", "category", "score", "reason"]
    pd.testing.assert_frame_equal(found.drop(columns="line"), classifier.predict(TITLES, top), check_dtype=False)


def test_more_titles_than_a_piece_come_in_their_order_with_their_lines(classifier, tmp_path):
    titles = [f"palabra{number % 50}" for number in range(2 * CHUNK_ROWS + 3)]
    found = answered(BatchPredictor(classifier), written(tmp_path / "many.csv", titles))
    assert found.title.tolist() == titles
    assert found.line.tolist() == list(range(2, len(titles) + 2))


def test_a_row_that_cannot_be_read_is_told_and_has_no_category_and_the_others_have_theirs(classifier, tmp_path, caplog):
    (tmp_path / "broken.csv").write_text("title,brand\npalabra1,x\ntoo,many,fields\npalabra2,y\n")
    found = answered(BatchPredictor(classifier, top=2), titles_file(tmp_path / "broken.csv"))
    assert found.line.tolist() == [2, 2, 3, 4, 4]
    assert found[["title", "category", "score"]].isna().all(axis=1).tolist() == [False, False, True, False, False]
    assert "line 3 has no category: 3 fields where the header has 2" in caplog.messages


def test_of_many_rows_that_cannot_be_read_some_are_told_and_the_others_counted(classifier, tmp_path, caplog):
    (tmp_path / "broken.csv").write_text("title,brand\npalabra1,x\n" + "alone\n" * (MAX_LOGGED_FAULTS + 1234))
    answered(BatchPredictor(classifier), titles_file(tmp_path / "broken.csv"))
    told = [message for message in caplog.messages if "has no category" in message]
    assert len(told) == MAX_LOGGED_FAULTS
    assert "so have 1,234 more" in caplog.messages


def test_a_category_below_the_least_score_is_left_out_and_a_title_with_none_keeps_a_row(classifier, tmp_path):
    file = written(tmp_path / "a.csv")
    everything = answered(BatchPredictor(classifier, top=3), file)
    least = float(everything.score.iloc[0])
    found = answered(BatchPredictor(classifier, top=3, min_score=least), file)
    assert found.category.notna().sum() == (everything.score >= least).sum() > 0
    assert found.line.unique().tolist() == everything.line.unique().tolist()
    assert found[found.category.isna()].score.isna().all()
    assert answered(BatchPredictor(classifier, min_score=1.1), file).category.isna().all()


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
    answers = BatchPredictor(classifier, top=2)
    found = answered(answers, titles_file(tmp_path / "a.jsonl"))
    assert found.line.tolist() == [1, 1, 2, 3, 4, 5, 6]
    assert found.category.isna().tolist() == [False, False, True, True, True, True, True]
    reasons = found.reason[2:].tolist()
    assert reasons[:3] + reasons[4:] == ["no title", "no title", "no Latin letter or digit", "no title"]
    assert reasons[3].startswith("not JSON")
    assert (answers.num_rows, answers.num_predicted) == (6, 1)
    assert "4 titles have nothing to go on and no category" in caplog.messages


def test_a_title_whose_categories_score_too_low_is_answered_and_has_a_reason(classifier, tmp_path):
    answers = BatchPredictor(classifier, min_score=1.0)
    found = answered(answers, written(tmp_path / "a.csv", ["palabra1"]))
    assert found.reason.tolist() == ["no score of 1.0 or more"]
    assert (answers.num_rows, answers.num_predicted) == (1, 1)


@pytest.mark.parametrize("name", ["a.csv", "b.csv.gz", "c.jsonl", "d.parquet"])
def test_progress_is_of_answers_and_complete_with_the_last(classifier, tmp_path, name, monkeypatch):
    bars = []

    class Bar(Progress):
        def __init__(self, total, unit, description):
            super().__init__(total, unit, description)
            bars.append(self)

    monkeypatch.setattr("titles.inference.batch_predict.Progress", Bar)
    file = written(tmp_path / name, [f"palabra{number % 50}" for number in range(3 * CHUNK_ROWS)])
    seen = []
    for _ in BatchPredictor(classifier).predict_file(file):
        (bar,) = bars
        seen.append(bar.done)
    assert [bar.description for bar in bars] == ["answering"]
    # Whatever else is read by then, nothing counts before its answers are taken.
    assert (seen[0], bar.done) == (0, bar.total)
    assert seen == sorted(seen)


@pytest.mark.parametrize(("number", "told"), [(0, "0 rows"), (1, "1 row"), (2000, "2,000 rows")])
def test_one_is_singular(number, told):
    assert format_count(number, "row") == told


def test_ids_stand_beside_the_titles(classifier, tmp_path):
    file = written(tmp_path / "a.csv", id=["7", "x", "007", "1"])
    found = answered(BatchPredictor(classifier, with_ids=True), file)
    assert found.id.tolist() == ["7", "x", "007", "1"]


def test_a_stream_has_a_title_a_line(classifier):
    titles = [f"palabra{number}" for number in range(STREAM_READ_BYTES // 8)]
    found = answered(BatchPredictor(classifier), read_line_batches(io.BytesIO("\r\n".join(titles).encode())))
    assert (found.title.tolist(), found.line.tolist()) == (titles, list(range(1, len(titles) + 1)))
    assert len(answered(BatchPredictor(classifier), read_line_batches(io.BytesIO()))) == 0


def test_a_title_that_is_there_is_answered_before_the_next_comes(classifier):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as titles:
        answers = BatchPredictor(classifier).predict_stream(read_line_batches(stream))
        for number in range(1, 4):
            titles.write(f"palabra{number}\n".encode())
            assert next(answers).to_pydict()["title"] == [f"palabra{number}"]


def test_a_line_that_is_too_long_has_no_category_and_is_not_kept(classifier):
    class Endless(io.BytesIO):
        """Without an end of line for ten times as long as allowed."""

        def __init__(self):
            super().__init__()
            self.parts = [b"palabra1\n", *[b"x" * STREAM_READ_BYTES] * 20, b"y\npalabra2"]

        def read1(self, _size):
            return self.parts.pop(0) if self.parts else b""

    found = answered(BatchPredictor(classifier), read_line_batches(Endless()))
    assert found.line.tolist() == [1, 2, 3]
    assert found.category.isna().tolist() == [False, True, False]
    assert found.title.isna().tolist() == [False, True, False]
    assert MAX_TITLE_BYTES < 20 * STREAM_READ_BYTES


def test_pieces_are_smaller_where_a_title_has_more_rows(classifier, tmp_path):
    titles = [f"palabra{number % 40}" for number in range(CHUNK_ROWS)]
    tables = list(BatchPredictor(classifier, top=3).predict_file(written(tmp_path / "many.csv", titles)))
    assert max(map(len, tables)) <= CHUNK_ROWS
    assert sum(map(len, tables)) == 3 * len(titles)
