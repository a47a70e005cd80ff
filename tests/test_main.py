import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.fitted import fit_both
from titles.__main__ import main
from titles.classifier import Classifier
from titles.hyperparameters import OBJECTIVES


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(fit_both(tmp_path_factory.mktemp("fitted")))


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


def test_titles_get_categories_for_the_objective_asked_for(model, monkeypatch, tmp_path):
    uneven = Path(shutil.copytree(Path(model) / "mlp", tmp_path / "mlp"))
    lexicon = json.loads((uneven / "lexicon.json").read_text())
    (uneven / "lexicon.json").write_text(json.dumps(lexicon | {"category_counts": [10**12, 10**12, 1]}))
    (tmp_path / "a.csv").write_text("title\npalabra0\npalabra1\n")
    found = {}
    for objective in OBJECTIVES:
        out = tmp_path / f"{objective}.csv"
        titles(monkeypatch, "predict", uneven, tmp_path / "a.csv", "-o", out, "--objective", objective)
        found[objective] = pd.read_csv(out).category.tolist()
        assert (
            found[objective] == Classifier.load(uneven, objective).predict(["palabra0", "palabra1"]).category.tolist()
        )
    assert found["balanced_accuracy"] == ["ropa", "ropa"] != found["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["predict", "MODEL", "nowhere.csv"], "titles: nowhere.csv is not a file; give one with titles"),
        (["predict", "MODEL", "--top", "0"], "titles: --top is 0; a title gets 1 category or more"),
        (["predict", "MODEL", "-o", "a.txt"], "titles: a.txt: names that can be written end in"),
        (["predict", "nowhere"], "titles: nowhere holds no network"),
        (["predict", "MODEL", "--min-score", "nan"], "titles: --min-score is nan; a score is from 0 to 1"),
        (["predict", "MODEL", "TITLES", "-o", "TITLES"], "titles: TITLES is the file of titles; give another one"),
        (["predict", "MODEL", "-o", "FOLDER"], "titles: FOLDER is a folder; give a file to write"),
        (["serve", "MODEL", "--port", "99999"], "titles: --port is 99999; a port is from 1 to 65,535"),
        (["serve", "MODEL", "--shutdown-timeout", "0"], "titles: --shutdown-timeout is 0; the end of a server takes 1"),
        (["submit", "MODEL", "TITLES"], "titles: TITLES: no column id, which a submission is made of; it has title"),
        (["submit", "MODEL", "TEST", "-o", "a.txt"], "titles: a.txt: names that can be written end in"),
        (["serve", "nowhere"], "titles: nowhere holds no network"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(model, monkeypatch, tmp_path, arguments, told):
    given = {"MODEL": model, "TITLES": tmp_path / "titles.csv", "TEST": tmp_path / "test.csv"}
    given["FOLDER"] = tmp_path / "folder.csv"
    given["FOLDER"].mkdir()
    given["TITLES"].write_text("title\npalabra1\n")
    given["TEST"].write_text("id,title\n1,palabra1\n")
    with pytest.raises(SystemExit) as stopped:
        titles(monkeypatch, *(given.get(argument, argument) for argument in arguments))
    for name in ("TITLES", "FOLDER"):
        told = told.replace(name, str(given[name]))
    assert str(stopped.value).startswith(told)


def test_a_submission_has_the_id_and_the_category_of_every_row(model, monkeypatch, tmp_path):
    (tmp_path / "test.csv").write_text("id,title\n007,palabra1\n 8 ,\nb,palabra2 palabra5\n")
    titles(monkeypatch, "submit", model, tmp_path / "test.csv", "-o", tmp_path / "submission.csv")
    found = pd.read_csv(tmp_path / "submission.csv", dtype="str")
    assert found.id.tolist() == ["007", "8", "b"]
    expected = Classifier.load(model).predict(["palabra1", "", "palabra2 palabra5"])
    assert found.category.tolist() == expected.category.tolist()


@pytest.mark.parametrize("row", ["9,broken \udcff", ",palabra1"])
def test_a_row_that_cannot_be_submitted_is_named_and_nothing_written(model, monkeypatch, tmp_path, row):
    content = f"id,title\n1,palabra1\n{row}\n".encode(errors="surrogateescape")
    (tmp_path / "test.csv").write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        titles(monkeypatch, "submit", model, tmp_path / "test.csv", "-o", tmp_path / "submission.csv")
    assert "test.csv, line 3: no id, or not to be read; mend the row" in str(stopped.value)
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]


def test_without_what_a_server_needs_it_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    # Another test may have imported it.
    monkeypatch.delitem(sys.modules, "titles.serving.server", raising=False)
    with pytest.raises(SystemExit) as stopped:
        titles(monkeypatch, "serve", model)
    assert str(stopped.value).startswith("titles: uvicorn is not installed; pip install")


def test_stopped_as_a_service_manager_does_it_leaves_nothing_unfinished(model, tmp_path):
    command = [sys.executable, "-m", "titles", "predict", model, "-o", tmp_path / "a.csv"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        while not (tmp_path / ".a.csv.unfinished").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(20) == 1
    assert [path.name for path in tmp_path.iterdir()] == []
