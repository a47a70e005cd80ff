import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import torch

from tests.fitted import fit_both
from titles import __version__
from titles.cli import main
from titles.core.errors import InputError
from titles.inference.classifier import Classifier
from titles.nn.hparams import OBJECTIVES


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


def test_a_dash_is_the_standard_input_and_the_standard_output(model, monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"palabra1\npalabra2\n")))
    titles(monkeypatch, "predict", model, "-", "-o", "-")
    assert pd.read_csv(io.BytesIO(capfdbinary.readouterr().out)).line.tolist() == [1, 2]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet"])
def test_the_standard_input_is_read_in_the_format_asked_for(model, monkeypatch, tmp_path, ending):
    table, file = pd.DataFrame({"id": ["007", "8"], "title": ["palabra1, x", "palabra2"]}), tmp_path / f"a.{ending}"
    writers = {
        "jsonl": lambda: table.to_json(file, orient="records", lines=True),
        "parquet": lambda: table.to_parquet(file),
    }
    writers.get(ending, lambda: table.to_csv(file, index=False))()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    titles(monkeypatch, "predict", model, "-", "--format", ending, "-o", tmp_path / "found.csv")
    titles(monkeypatch, "predict", model, file, "-o", tmp_path / "expected.csv")
    assert (tmp_path / "found.csv").read_text() == (tmp_path / "expected.csv").read_text()


def test_what_is_wrong_with_the_standard_input_is_told_without_a_temporary_name(model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name\nx\n")))
    with pytest.raises(SystemExit, match=r"^titles: standard input: no column title"):
        titles(monkeypatch, "predict", model, "-", "--format", "csv")


@pytest.mark.parametrize("given", [b"\n\n", "電話\n👍\n".encode(), b"\xff\n"])
def test_where_no_row_has_a_category_the_answers_are_written_and_the_status_is_1(model, monkeypatch, tmp_path, given):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    with pytest.raises(SystemExit, match=r"^titles: no row has a category; the column reason says why"):
        titles(monkeypatch, "predict", model, "-o", tmp_path / "a.csv")
    assert len(pd.read_csv(tmp_path / "a.csv")) == given.count(b"\n")


def test_a_low_score_is_an_answer_and_so_is_nothing_to_no_titles(model, monkeypatch, tmp_path):
    for given in (b"palabra1\n", b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        titles(monkeypatch, "predict", model, "-o", tmp_path / "a.csv", "--min-score", 1)


def test_cells_that_a_spreadsheet_would_run_are_escaped_when_asked(model, monkeypatch, tmp_path):
    given = ["=1+1", "+palabra1", "-palabra2", "@palabra3", "palabra4 =", "5"]
    for number, arguments in enumerate([["--escape-formulas"], []]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(given).encode())))
        titles(monkeypatch, "predict", model, "-o", tmp_path / f"{number}.csv", *arguments)
    assert pd.read_csv(tmp_path / "0.csv", dtype="str").title.tolist() == [
        *(f"'{one}" for one in given[:4]),
        *given[4:],
    ]
    assert pd.read_csv(tmp_path / "1.csv", dtype="str").title.tolist() == given


@pytest.mark.parametrize("command", ["predict", "submit", "serve"])
def test_the_networks_are_on_the_device_that_is_chosen(model, monkeypatch, tmp_path, command):
    asked = []

    def load(*arguments):
        asked.append(arguments)
        raise InputError("no more")

    monkeypatch.setattr("titles.nn.device.chosen_device", lambda: torch.device("meta"))
    monkeypatch.setattr(Classifier, "load", load)
    (tmp_path / "a.csv").write_text("id,title\n1,palabra1\n")
    with pytest.raises(SystemExit, match="no more"):
        titles(monkeypatch, command, model, *([tmp_path / "a.csv"] if command != "serve" else []))
    assert asked == [(Path(model), None, torch.device("meta"))]


@pytest.mark.parametrize("command", ["predict", "submit", "serve"])
@pytest.mark.parametrize(("device", "told"), [("gpu", "allowed: auto, cpu"), ("cuda", "finds none")])
def test_the_device_asked_for_is_honoured(model, monkeypatch, tmp_path, command, device, told):
    monkeypatch.setenv("TITLES_DEVICE", device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "a.csv").write_text("id,title\n1,palabra1\n")
    with pytest.raises(SystemExit, match=f"^titles: TITLES_DEVICE is .*{told}"):
        titles(monkeypatch, command, model, *([tmp_path / "a.csv"] if command != "serve" else []))


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "parquet"])
def test_columns_are_kept_when_asked_beside_every_category_of_their_title(model, monkeypatch, tmp_path, ending):
    table = pd.DataFrame(
        {"sku": ["007", None, "c\nd, e"], "nombre": ["palabra1", "palabra2", "電話"], "language": ["es", "pt", "x"]}
    )
    table = table.assign(price=[1.5, 2.0, 3.25], other="x")
    file = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        table.to_json(file, orient="records", lines=True)
    elif ending == "parquet":
        table.to_parquet(file)
    else:
        table.to_csv(file, index=False, sep="\t" if "tsv" in ending else ",")
    given, keep = [file, "--title-column", "nombre"], ["--keep", "price", "--keep", "sku", "--keep", "language"]
    titles(monkeypatch, "predict", model, *given, *keep, "--top", 2, "-o", tmp_path / "found.parquet")
    found = pd.read_parquet(tmp_path / "found.parquet")
    assert list(found.columns) == ["line", "title", "price", "sku", "language", "category", "score", "reason"]
    assert found.sku.fillna("").tolist() == ["007", "007", "", "", "c\nd, e"]
    assert found.price.astype(float).tolist() == [1.5, 1.5, 2, 2, 3.25]
    assert found.language.tolist() == ["es", "es", "pt", "pt", "x"]
    titles(monkeypatch, "predict", model, *given, "--top", 2, "-o", tmp_path / "expected.parquet")
    pd.testing.assert_frame_equal(
        found[["line", "title", "category", "score", "reason"]], pd.read_parquet(tmp_path / "expected.parquet")
    )


def test_a_row_that_cannot_be_read_keeps_nothing_and_the_others_what_they_have(model, monkeypatch, tmp_path):
    rows = [b"title,sku", b"palabra1,a", b"too,many,fields", b"palabra2,\xff", b'"palabra3",c', b"palabra4"]
    (tmp_path / "a.csv").write_bytes(b"\n".join(rows))
    titles(monkeypatch, "predict", model, tmp_path / "a.csv", "--keep", "sku", "-o", tmp_path / "b.csv")
    found = pd.read_csv(tmp_path / "b.csv")
    assert found.sku.fillna("").tolist() == ["a", "", "?", "c", ""]
    assert found.category.isna().tolist() == [False, True, True, False, True]


def test_it_tells_its_version(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        titles(monkeypatch, "--version")
    assert capsys.readouterr().out == f"titles {__version__}\n"


def test_titles_of_a_file_get_categories_in_a_file(model, monkeypatch, tmp_path):
    (tmp_path / "a.csv").write_text("title\npalabra1\npalabra2\n")
    titles(monkeypatch, "predict", model, tmp_path / "a.csv", "-o", tmp_path / "b.parquet", "--top", 2)
    assert pd.read_parquet(tmp_path / "b.parquet").line.tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize("content", ["title\npalabra1\n\npalabra2\n", "title\npalabra1\npalabra2\n\n"])
def test_a_blank_line_in_a_file_of_one_column_is_no_title(model, monkeypatch, tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    titles(monkeypatch, "predict", model, tmp_path / "a.csv", "-o", tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv").title.tolist() == ["palabra1", "palabra2"]


def test_the_columns_of_a_file_may_have_other_names(model, monkeypatch, tmp_path):
    (tmp_path / "a.CSV").write_text("Nº;Título;title\n7;palabra1;x\n")
    names = ["--title-column", "Título", "--id-column", "Nº"]
    titles(monkeypatch, "predict", model, tmp_path / "a.CSV", "-o", tmp_path / "b.csv", *names)
    assert pd.read_csv(tmp_path / "b.csv")[["id", "title"]].to_numpy().tolist() == [[7, "palabra1"]]
    titles(monkeypatch, "submit", model, tmp_path / "a.CSV", "-o", tmp_path / "c.csv", *names)
    assert pd.read_csv(tmp_path / "c.csv").id.tolist() == [7]


def test_titles_get_categories_for_the_objective_asked_for(model, monkeypatch, tmp_path):
    uneven = Path(shutil.copytree(Path(model) / "mlp", tmp_path / "mlp"))
    lexicon = json.loads((uneven / "vocabulary.json").read_text())
    (uneven / "vocabulary.json").write_text(json.dumps(lexicon | {"category_counts": [10**12, 10**12, 1]}))
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
        (
            ["submit", "MODEL", "TITLES"],
            "titles: TITLES: no column id; its columns are title; if it has another name, give that by --id-column",
        ),
        (
            ["predict", "MODEL", "TEST", "--title-column", "Title"],
            "titles: TEST: no column Title; its columns are id, title; if it has another name, give that by --title-",
        ),
        (["serve", "MODEL", "--shutdown-timeout", "0"], "titles: --shutdown-timeout is 0; the end of a server takes 1"),
        (["submit", "MODEL", "TEST", "-o", "a.txt"], "titles: a.txt: names that can be written end in"),
        (["submit", "MODEL", "-"], "titles: the test file on the standard input has a format; say which"),
        (["predict", "MODEL", "TITLES", "--format", "csv"], "titles: --format is for the standard input"),
        (["predict", "MODEL", "-", "--format", "txt"], "titles: --format is 'txt'; supported are csv"),
        (["predict", "MODEL", "-o", "a.jsonl", "--escape-formulas"], "titles: --escape-formulas is for CSV"),
        (["serve", "nowhere"], "titles: nowhere holds no network"),
        (
            ["predict", "MODEL", "TITLES", "--keep", "sku"],
            "titles: TITLES: no column sku to keep; its columns are title",
        ),
        (["predict", "MODEL", "--keep", "sku"], "titles: --keep is for columns, and lines of the standard input"),
        (["predict", "MODEL", "TITLES", "--keep", "score"], "titles: --keep score: the output has that column already"),
        (["predict", "MODEL", "TITLES", "--keep", "title"], "titles: --keep title: the output has that column already"),
        (["predict", "MODEL", "TITLES", "--keep", "a", "--keep", "a"], "titles: --keep a: the output has that column"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(model, monkeypatch, tmp_path, arguments, told):
    given = {"MODEL": model, "TITLES": tmp_path / "titles.csv", "TEST": tmp_path / "test.csv"}
    given["FOLDER"] = tmp_path / "folder.csv"
    given["FOLDER"].mkdir()
    given["TITLES"].write_text("title\npalabra1\n")
    given["TEST"].write_text("id,title\n1,palabra1\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit) as stopped:
        titles(monkeypatch, *(given.get(argument, argument) for argument in arguments))
    for name in ("TITLES", "FOLDER", "TEST"):
        told = told.replace(name, str(given[name]))
    assert str(stopped.value).startswith(told)


def test_a_submission_has_the_id_and_the_category_of_every_row(model, monkeypatch, tmp_path, caplog):
    (tmp_path / "test.csv").write_text("id,title\n007,palabra1\n 8 ,\nb,palabra2 palabra5\n")
    titles(monkeypatch, "submit", model, tmp_path / "test.csv", "-o", tmp_path / "submission.csv")
    found = pd.read_csv(tmp_path / "submission.csv", dtype="str")
    assert found.id.tolist() == ["007", "8", "b"]
    classifier = Classifier.load(model)
    labels, _ = classifier.top_k(pa.array(["palabra1", "", "palabra2 palabra5"]))
    assert found.category.tolist() == classifier.categories[labels[:, 0]].tolist()
    assert "1 title with nothing to go on" in caplog.messages[-1]


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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_leaves_nothing_unfinished_and_ends_as_the_signal_says(model, tmp_path, number, status):
    command = [sys.executable, "-m", "titles", "predict", model, "-o", tmp_path / "a.csv"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        while not (tmp_path / ".a.csv.unfinished").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == status
        assert "Traceback" not in process.stderr.read()
    assert [path.name for path in tmp_path.iterdir()] == []
