import io
import sys

import pandas as pd
import pytest

from tests.numbered import write_numbered
from titles.__main__ import main
from titles.hyperparameters import MlpParams, ModelParams, TrainParams
from titles.model import fit


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("fitted")
    write_numbered(root, train=60, validation=12)
    sizes, params = ModelParams("relu", "trained", 0.0, 0.0, 1), TrainParams(0, 1, 1, 1, 1, 8, 0.05, 0.0, 0.0, "none")
    fit("mlp", root / "embedded", root / "vectors.npy", root / "mlp", sizes, MlpParams((8,)), params)
    return str(root / "mlp")


def titles(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["titles", *map(str, arguments)])
    main()


def test_titles_of_the_standard_input_get_categories_on_the_standard_output(model, monkeypatch, capfdbinary, caplog):
    given = io.TextIOWrapper(io.BytesIO(b"palabra1\nbroken \xff\npalabra2\n"))
    monkeypatch.setattr(sys, "stdin", given)
    titles(monkeypatch, "predict", model)
    found = pd.read_csv(io.BytesIO(capfdbinary.readouterr().out))
    assert found.line.tolist() == [1, 2, 3]
    assert found.category.isna().tolist() == [False, True, False]
    assert "line 2 has no category: broken UTF-8" in caplog.messages


def test_titles_of_a_file_get_categories_in_a_file(model, monkeypatch, tmp_path):
    (tmp_path / "a.csv").write_text("title\npalabra1\npalabra2\n")
    titles(monkeypatch, "predict", model, tmp_path / "a.csv", "-o", tmp_path / "b.parquet", "--top", 2)
    assert pd.read_parquet(tmp_path / "b.parquet").line.tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["MODEL", "nowhere.csv"], "titles: nowhere.csv is not a file; give one with titles"),
        (["MODEL", "--top", "0"], "titles: --top is 0; a title gets 1 category or more"),
        (["MODEL", "-o", "a.txt"], "titles: a.txt: names that can be written end in"),
        (["nowhere"], "titles: nowhere holds no network"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(model, monkeypatch, arguments, told):
    with pytest.raises(SystemExit) as stopped:
        titles(monkeypatch, "predict", *(model if argument == "MODEL" else argument for argument in arguments))
    assert str(stopped.value).startswith(told)
