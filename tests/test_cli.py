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


def run_titles(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["titles", *map(str, arguments)])
    main()


def test_titles_of_standard_input_get_categories_on_standard_output(model, monkeypatch, capfdbinary, caplog):
    stdin = io.TextIOWrapper(io.BytesIO(b"palabra1\nbroken \xff\npalabra2\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    run_titles(monkeypatch, "predict", model)
    found = pd.read_csv(io.BytesIO(capfdbinary.readouterr().out))
    assert found.line.tolist() == [1, 2, 3]
    assert found.category.isna().tolist() == [False, True, False]
    assert "line 2 has no category: broken UTF-8" in caplog.messages


def test_a_dash_is_the_standard_input_and_the_standard_output(model, monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"palabra1\npalabra2\n")))
    run_titles(monkeypatch, "predict", model, "-", "-o", "-")
    assert pd.read_csv(io.BytesIO(capfdbinary.readouterr().out)).line.tolist() == [1, 2]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet"])
def test_standard_input_is_read_in_the_requested_format(model, monkeypatch, tmp_path, ending):
    table, file = pd.DataFrame({"id": ["007", "8"], "title": ["palabra1, x", "palabra2"]}), tmp_path / f"a.{ending}"
    writers = {
        "jsonl": lambda: table.to_json(file, orient="records", lines=True),
        "parquet": lambda: table.to_parquet(file),
    }
    writers.get(ending, lambda: table.to_csv(file, index=False))()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    run_titles(monkeypatch, "predict", model, "-", "--format", ending, "-o", tmp_path / "found.csv")
    run_titles(monkeypatch, "predict", model, file, "-o", tmp_path / "expected.csv")
    assert (tmp_path / "found.csv").read_text() == (tmp_path / "expected.csv").read_text()


def test_an_error_in_standard_input_does_not_name_a_temporary_file(model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name\nx\n")))
    with pytest.raises(SystemExit, match=r"^titles: standard input: no column title"):
        run_titles(monkeypatch, "predict", model, "-", "--format", "csv")


@pytest.mark.parametrize("given", [b"\n\n", "電話\n👍\n".encode(), b"\xff\n"])
def test_if_no_row_has_a_category_the_output_is_written_and_the_status_is_1(model, monkeypatch, tmp_path, given):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    with pytest.raises(SystemExit, match=r"^titles: no row has a category; the column reason says why"):
        run_titles(monkeypatch, "predict", model, "-o", tmp_path / "a.csv")
    assert len(pd.read_csv(tmp_path / "a.csv")) == given.count(b"\n")


def test_low_scores_and_empty_input_are_no_errors(model, monkeypatch, tmp_path):
    for given in (b"palabra1\n", b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        run_titles(monkeypatch, "predict", model, "-o", tmp_path / "a.csv", "--min-score", 1)


def test_escape_formulas_escapes_cells_that_a_spreadsheet_would_run(model, monkeypatch, tmp_path):
    given = ["=1+1", "+palabra1", "-palabra2", "@palabra3", "palabra4 =", "5"]
    for number, arguments in enumerate([["--escape-formulas"], []]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(given).encode())))
        run_titles(monkeypatch, "predict", model, "-o", tmp_path / f"{number}.csv", *arguments)
    assert pd.read_csv(tmp_path / "0.csv", dtype="str").title.tolist() == [
        *(f"'{one}" for one in given[:4]),
        *given[4:],
    ]
    assert pd.read_csv(tmp_path / "1.csv", dtype="str").title.tolist() == given


@pytest.mark.parametrize("command", ["predict", "submit", "serve"])
def test_the_networks_are_loaded_to_the_chosen_device(model, monkeypatch, tmp_path, command):
    calls = []

    def load(*arguments):
        calls.append(arguments)
        raise InputError("no more")

    monkeypatch.setattr("titles.nn.device.chosen_device", lambda: torch.device("meta"))
    monkeypatch.setattr(Classifier, "load", load)
    (tmp_path / "a.csv").write_text("id,title\n1,palabra1\n")
    with pytest.raises(SystemExit, match="no more"):
        run_titles(monkeypatch, command, model, *([tmp_path / "a.csv"] if command != "serve" else []))
    assert calls == [(Path(model), None, torch.device("meta"))]


@pytest.mark.parametrize("command", ["predict", "submit", "serve"])
@pytest.mark.parametrize(("device", "message"), [("gpu", "allowed: auto, cpu"), ("cuda", "finds none")])
def test_a_device_that_does_not_exist_is_refused(model, monkeypatch, tmp_path, command, device, message):
    monkeypatch.setenv("TITLES_DEVICE", device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "a.csv").write_text("id,title\n1,palabra1\n")
    with pytest.raises(SystemExit, match=f"^titles: TITLES_DEVICE is .*{message}"):
        run_titles(monkeypatch, command, model, *([tmp_path / "a.csv"] if command != "serve" else []))


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "parquet"])
def test_keep_copies_columns_to_every_row_of_a_title(model, monkeypatch, tmp_path, ending):
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
    arguments, keep = [file, "--title-column", "nombre"], ["--keep", "price", "--keep", "sku", "--keep", "language"]
    run_titles(monkeypatch, "predict", model, *arguments, *keep, "--top", 2, "-o", tmp_path / "found.parquet")
    found = pd.read_parquet(tmp_path / "found.parquet")
    assert list(found.columns) == ["line", "title", "price", "sku", "language", "category", "score", "reason"]
    assert found.sku.fillna("").tolist() == ["007", "007", "", "", "c\nd, e"]
    assert found.price.astype(float).tolist() == [1.5, 1.5, 2, 2, 3.25]
    assert found.language.tolist() == ["es", "es", "pt", "pt", "x"]
    run_titles(monkeypatch, "predict", model, *arguments, "--top", 2, "-o", tmp_path / "expected.parquet")
    pd.testing.assert_frame_equal(
        found[["line", "title", "category", "score", "reason"]], pd.read_parquet(tmp_path / "expected.parquet")
    )


def test_an_unreadable_row_has_no_copied_columns_and_the_others_do(model, monkeypatch, tmp_path):
    rows = [b"title,sku", b"palabra1,a", b"too,many,fields", b"palabra2,\xff", b'"palabra3",c', b"palabra4"]
    (tmp_path / "a.csv").write_bytes(b"\n".join(rows))
    run_titles(monkeypatch, "predict", model, tmp_path / "a.csv", "--keep", "sku", "-o", tmp_path / "b.csv")
    found = pd.read_csv(tmp_path / "b.csv")
    assert found.sku.fillna("").tolist() == ["a", "", "?", "c", ""]
    assert found.category.isna().tolist() == [False, True, True, False, True]


def test_the_version_is_printed(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_titles(monkeypatch, "--version")
    assert capsys.readouterr().out == f"titles {__version__}\n"


def test_titles_of_a_file_get_categories_in_a_file(model, monkeypatch, tmp_path):
    (tmp_path / "a.csv").write_text("title\npalabra1\npalabra2\n")
    run_titles(monkeypatch, "predict", model, tmp_path / "a.csv", "-o", tmp_path / "b.parquet", "--top", 2)
    assert pd.read_parquet(tmp_path / "b.parquet").line.tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize("content", ["title\npalabra1\n\npalabra2\n", "title\npalabra1\npalabra2\n\n"])
def test_a_blank_line_in_a_file_of_one_column_is_no_title(model, monkeypatch, tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    run_titles(monkeypatch, "predict", model, tmp_path / "a.csv", "-o", tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv").title.tolist() == ["palabra1", "palabra2"]


def test_the_columns_of_a_file_may_have_other_names(model, monkeypatch, tmp_path):
    (tmp_path / "a.CSV").write_text("Nº;Título;title\n7;palabra1;x\n")
    names = ["--title-column", "Título", "--id-column", "Nº"]
    run_titles(monkeypatch, "predict", model, tmp_path / "a.CSV", "-o", tmp_path / "b.csv", *names)
    assert pd.read_csv(tmp_path / "b.csv")[["id", "title"]].to_numpy().tolist() == [[7, "palabra1"]]
    run_titles(monkeypatch, "submit", model, tmp_path / "a.CSV", "-o", tmp_path / "c.csv", *names)
    assert pd.read_csv(tmp_path / "c.csv").id.tolist() == [7]


def test_predict_decides_for_the_requested_objective(model, monkeypatch, tmp_path):
    uneven = Path(shutil.copytree(Path(model) / "mlp", tmp_path / "mlp"))
    vocabulary = json.loads((uneven / "vocabulary.json").read_text())
    (uneven / "vocabulary.json").write_text(json.dumps(vocabulary | {"category_counts": [10**12, 10**12, 1]}))
    (tmp_path / "a.csv").write_text("title\npalabra0\npalabra1\n")
    found = {}
    for objective in OBJECTIVES:
        out = tmp_path / f"{objective}.csv"
        run_titles(monkeypatch, "predict", uneven, tmp_path / "a.csv", "-o", out, "--objective", objective)
        found[objective] = pd.read_csv(out).category.tolist()
        assert (
            found[objective] == Classifier.load(uneven, objective).predict(["palabra0", "palabra1"]).category.tolist()
        )
    assert found["balanced_accuracy"] == ["ropa", "ropa"] != found["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "MODEL", "nowhere.csv"], "titles: nowhere.csv is not a file; give one with titles"),
        (["predict", "MODEL", "--top", "0"], "titles: --top is 0; a title gets 1 category or more"),
        (["predict", "MODEL", "-o", "a.txt"], "titles: a.txt: names that can be written end in"),
        (["predict", "nowhere"], "titles: nowhere holds no network"),
        (["predict", "MODEL", "--min-score", "nan"], "titles: --min-score is nan; a score is from 0 to 1"),
        (["predict", "MODEL", "TITLES", "-o", "TITLES"], "titles: TITLES is the input; give another file"),
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
        (["serve", "MODEL", "--shutdown-timeout", "0"], "titles: --shutdown-timeout is 0; it must be 1 second or more"),
        (["submit", "MODEL", "TEST", "-o", "a.txt"], "titles: a.txt: names that can be written end in"),
        (["submit", "MODEL", "-"], "titles: the standard input needs a format for the test file; give it"),
        (["predict", "MODEL", "TITLES", "--format", "csv"], "titles: --format is for the standard input"),
        (["predict", "MODEL", "-", "--format", "txt"], "titles: --format is 'txt'; supported are csv"),
        (["predict", "MODEL", "-o", "a.jsonl", "--escape-formulas"], "titles: --escape-formulas is for CSV"),
        (["serve", "nowhere"], "titles: nowhere holds no network"),
        (
            ["predict", "MODEL", "TITLES", "--keep", "sku"],
            "titles: TITLES: no column sku to keep; its columns are title",
        ),
        (["predict", "MODEL", "--keep", "sku"], "titles: --keep needs columns, and lines of text have none"),
        (
            ["predict", "MODEL", "TITLES", "--keep", "score"],
            "titles: --keep score: the output already has a column of that name",
        ),
        (
            ["predict", "MODEL", "TITLES", "--keep", "title"],
            "titles: --keep title: the output already has a column of that name",
        ),
        (
            ["predict", "MODEL", "TITLES", "--keep", "a", "--keep", "a"],
            "titles: --keep a: the output already has a column",
        ),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_line(model, monkeypatch, tmp_path, arguments, message):
    paths = {"MODEL": model, "TITLES": tmp_path / "titles.csv", "TEST": tmp_path / "test.csv"}
    paths["FOLDER"] = tmp_path / "folder.csv"
    paths["FOLDER"].mkdir()
    paths["TITLES"].write_text("title\npalabra1\n")
    paths["TEST"].write_text("id,title\n1,palabra1\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit) as stopped:
        run_titles(monkeypatch, *(paths.get(argument, argument) for argument in arguments))
    for name in ("TITLES", "FOLDER", "TEST"):
        message = message.replace(name, str(paths[name]))
    assert str(stopped.value).startswith(message)


def test_a_submission_has_the_id_and_the_category_of_every_row(model, monkeypatch, tmp_path, caplog):
    (tmp_path / "test.csv").write_text("id,title\n007,palabra1\n 8 ,\nb,palabra2 palabra5\n")
    run_titles(monkeypatch, "submit", model, tmp_path / "test.csv", "-o", tmp_path / "submission.csv")
    found = pd.read_csv(tmp_path / "submission.csv", dtype="str")
    assert found.id.tolist() == ["007", "8", "b"]
    classifier = Classifier.load(model)
    labels, _ = classifier.top_k(pa.array(["palabra1", "", "palabra2 palabra5"]))
    assert found.category.tolist() == classifier.categories[labels[:, 0]].tolist()
    assert "1 title without a usable word" in caplog.messages[-1]


@pytest.mark.parametrize("row", ["9,broken \udcff", ",palabra1"])
def test_a_row_that_cannot_be_submitted_is_named_and_no_file_is_written(model, monkeypatch, tmp_path, row):
    content = f"id,title\n1,palabra1\n{row}\n".encode(errors="surrogateescape")
    (tmp_path / "test.csv").write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        run_titles(monkeypatch, "submit", model, tmp_path / "test.csv", "-o", tmp_path / "submission.csv")
    assert "test.csv, line 3: no id, or not readable; correct the row" in str(stopped.value)
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]


def test_without_the_packages_of_the_server_the_error_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    # Another test may have imported it.
    monkeypatch.delitem(sys.modules, "titles.serving.server", raising=False)
    with pytest.raises(SystemExit) as stopped:
        run_titles(monkeypatch, "serve", model)
    assert str(stopped.value).startswith("titles: uvicorn is not installed; pip install")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_unfinished_file_and_sets_the_exit_status(model, tmp_path, number, status):
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
