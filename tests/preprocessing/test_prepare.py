import csv
import io
import json
import os
import signal
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.io.columns import ColumnNames
from titles.preprocessing.dedup_split import PrepareParams
from titles.preprocessing.engine import PARTITION_ROWS
from titles.preprocessing.prepare import prepare
from titles.preprocessing.subsample import ReduceParams, reduce

SPLITS = ("train", "validation", "test")
PARAMS = PrepareParams(validation_fraction=0.2, test_fraction=0.2)
# Forty titles of two categories, so that every split gets some.
CATALOGUE = [(f"mesa {number}", ("CHAIRS", "TABLES")[number % 2], "spanish", "reliable") for number in range(40)]

Rows = list[tuple[str, ...]]
SOME_TITLES = st.sampled_from(["mesa 1", "Mesa 1", "MÉSA  1!", "mesa 2", "sofá", "sofa", "", " ", "!?", "日本"])


def to_csv(rows: Iterable[tuple[str, ...]], header: str = "title,category,language,label_quality") -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([header.split(","), *rows])
    return stream.getvalue()


def prepare_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Run `prepare` on a folder that holds `files`; return the folder it writes."""
    (folder / "raw").mkdir(parents=True)
    for name, content in files.items():
        (folder / "raw" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    prepare(folder / "raw", folder / "prepared", PARAMS)
    return folder / "prepared"


def prepared_tables(folder: Path, files: dict[str, str | bytes]) -> dict[str, pd.DataFrame]:
    """The tables that `prepare` writes for a folder that holds `files`."""
    return {path.stem: pd.read_parquet(path) for path in prepare_files(folder, files).glob("*.parquet")}


def labelled_rows(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of all labelled splits, with the split as a column."""
    return pd.concat([tables[split].assign(split=split) for split in SPLITS], ignore_index=True)


def rejections(tables: dict[str, pd.DataFrame]) -> list[tuple[str, int, str]]:
    rejected = tables["rejected"]
    return list(zip(rejected.file, rejected.line.tolist(), rejected.reason, strict=True))


def differing_splits(first: Path, second: Path) -> list[str]:
    names = {split: f"{split}.parquet" for split in SPLITS}
    return [split for split, name in names.items() if (first / name).read_bytes() != (second / name).read_bytes()]


def test_a_row_is_stored_as_written_beside_its_cleaned_title(tmp_path: Path):
    row = ("Sofá-Cama 2 Cuerpos ", " SOFAS ", "spanish", "unreliable")
    rows = labelled_rows(prepared_tables(tmp_path, {"train.csv": to_csv([*CATALOGUE, row])}))
    assert list(rows.columns) == ["title", "cleaned", "category", "language", "label_quality", "split"]
    assert rows[rows.category == "SOFAS"].iloc[:, :-1].to_numpy().tolist() == [
        ["Sofá-Cama 2 Cuerpos ", "sofa cama 2 cuerpos", "SOFAS", "spanish", "unreliable"]
    ]


def test_only_the_tables_and_their_sources_remain_in_the_folder(tmp_path: Path):
    names = {path.name for path in prepare_files(tmp_path, {"train.csv": to_csv(CATALOGUE)}).iterdir()}
    assert names == {"train.parquet", "validation.parquet", "test.parquet", "rejected.parquet", "sources.csv"}


def test_the_counts_are_those_of_the_prepared_tables(tmp_path: Path):
    (tmp_path / "train.csv").write_text(to_csv([*CATALOGUE, CATALOGUE[0], ("", "TABLES", "", "")]))
    (tmp_path / "test.csv").write_text(to_csv([("1", "mesa"), ("2", "mesa")], "id,title"))
    counts = prepare(tmp_path, tmp_path / "prepared", PARAMS)
    rows = {path.stem: len(pd.read_parquet(path)) for path in (tmp_path / "prepared").glob("*.parquet")}
    assert counts == {"read": 44} | rows
    assert (rows["unlabelled"], rows["rejected"]) == (2, 2)


@settings(deadline=None, max_examples=8)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["train", "validation"]), SOME_TITLES | st.text(), st.sampled_from(["A", "B", ""]))
        | st.tuples(st.just("test"), SOME_TITLES | st.text(), st.sampled_from(["A", "B"]))
    ),
    provided_splits=st.sets(st.sampled_from(["validation", "test"])),
)
def test_every_row_is_in_one_split_or_rejected_and_no_cleaned_title_is_in_two(
    rows: list[tuple[str, str, str]], provided_splits: set[str]
):
    files: dict[str, Rows] = {
        "train": CATALOGUE[:],
        **{split: [(f"{split} 1", "A", "", "")] for split in provided_splits},
    }
    for split, title, category in rows:
        files[split if split in provided_splits else "train"].append((title, category, "", ""))
    with TemporaryDirectory() as folder:
        tables = prepared_tables(Path(folder), {f"{split}.csv": to_csv(content) for split, content in files.items()})
    usable_rows = labelled_rows(tables)
    titles = [row[0] for content in files.values() for row in content]
    assert Counter(titles) == Counter(usable_rows.title) + Counter(tables["rejected"].title)
    assert tables["rejected"].reason.notna().all()
    assert usable_rows.groupby("cleaned").split.nunique().max() == 1
    unique_rows = usable_rows if "test" not in provided_splits else usable_rows[usable_rows.split != "test"]
    assert unique_rows.cleaned.is_unique
    assert (unique_rows.cleaned != "").all()


DUPLICATES = st.lists(
    st.tuples(
        st.sampled_from(["sofá", "sofa"]),
        st.sampled_from(["A", "B"]),
        st.sampled_from(["spanish", ""]),
        st.sampled_from(["reliable", "unreliable", ""]),
    ),
    min_size=2,
    max_size=8,
)
UNRELIABLE, UNKNOWN = ("sofa", "A", "spanish", "unreliable"), ("sofa", "A", "spanish", "")


# Each example runs the stage twice, so shrinking a failure would take minutes.
@settings(deadline=None, max_examples=8, phases=set(Phase) - {Phase.shrink, Phase.explain})
@example(orders=([UNRELIABLE, UNKNOWN], [UNKNOWN, UNRELIABLE]))
@given(orders=DUPLICATES.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_the_rows_changes_no_byte_of_a_split(orders: tuple[Rows, Rows]):
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        first = prepare_files(Path(one), {"train.csv": to_csv(CATALOGUE + orders[0])})
        second = prepare_files(Path(other), {"train.csv": to_csv(orders[1] + CATALOGUE[::-1])})
        assert differing_splits(first, second) == []


def test_the_order_of_a_test_file_changes_no_byte_of_the_split(tmp_path: Path):
    test = [(title, category, "spanish", "reliable") for title in ("sofá", "Sofa", "", "!") for category in "ABC"]
    files = [{"test.csv": to_csv(rows), "train.csv": to_csv(CATALOGUE)} for rows in (test, test[::-1])]
    assert (
        differing_splits(prepare_files(tmp_path / "one", files[0]), prepare_files(tmp_path / "other", files[1])) == []
    )


def test_two_files_give_the_bytes_of_one_file_with_the_same_rows(tmp_path: Path):
    two_files = {"a.train.csv": to_csv(CATALOGUE[20:]), "b.train.csv": to_csv(CATALOGUE[:20])}
    from_one = prepare_files(tmp_path / "one", {"train.csv": to_csv(CATALOGUE)})
    from_two = prepare_files(tmp_path / "two", two_files)
    assert differing_splits(from_one, from_two) == []


def test_partitions_give_the_bytes_of_a_single_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    duplicates = [(title.upper() + "!", category, "", quality) for title, category, _, quality in CATALOGUE[::3]]
    files = {
        "a.train.csv": to_csv([*CATALOGUE, *duplicates, ("", "TABLES", "", "")]),
        "b.train.csv": to_csv([("mesa 1", "SOFAS", "", "unreliable"), ("!", "SOFAS", "", "")] * 3),
        "test.csv": to_csv([("1", "mesa"), ("2", "")], "id,title"),
    }
    from_one = prepare_files(tmp_path / "one", files)
    monkeypatch.setitem(PARTITION_ROWS, "duckdb", 3)
    from_many = prepare_files(tmp_path / "many", files)
    assert {path.name: path.read_bytes() for path in from_one.iterdir()} == {
        path.name: path.read_bytes() for path in from_many.iterdir()
    }


def test_rows_that_are_added_move_no_title_to_another_split(tmp_path: Path):
    added = [(f"silla {number}", "CHAIRS", "spanish", "reliable") for number in range(40)]
    few = labelled_rows(prepared_tables(tmp_path / "few", {"train.csv": to_csv(CATALOGUE)}))
    more = labelled_rows(prepared_tables(tmp_path / "more", {"train.csv": to_csv(added + CATALOGUE)}))
    assert set(zip(few.title, few.split, strict=True)) <= set(zip(more.title, more.split, strict=True))
    assert len(more) == 80


def test_each_split_gets_its_fraction(tmp_path: Path):
    (tmp_path / "train.csv").write_text(to_csv((f"mesa {number}", "AB"[number % 2], "", "") for number in range(2000)))
    counts = prepare(tmp_path, tmp_path / "prepared", PrepareParams(validation_fraction=0.1, test_fraction=0.4))
    assert counts["validation"] == pytest.approx(200, abs=50)
    assert counts["test"] == pytest.approx(800, abs=80)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["B reliable", "A unreliable", "A unreliable"], "B reliable"),
        (["A unreliable", "B unreliable", "B unreliable"], "B unreliable"),
        (["A reliable", "B reliable", "B reliable"], "B reliable"),
        (["A reliable", "B reliable", "B unreliable"], "B reliable"),
        (["A unreliable", "A reliable"], "A reliable"),
        (["B reliable", "A reliable"], "A reliable"),
        (["B unreliable", "C unreliable", "A unreliable", "C unreliable", "B unreliable"], "B unreliable"),
    ],
)
def test_of_conflicting_labels_the_reliable_then_the_most_frequent_then_the_first_by_name_is_kept(
    tmp_path: Path, labels: list[str], expected: str
):
    conflicting = [("sofa" + "!" * index, *label.split()) for index, label in enumerate(labels)]
    rows = [*conflicting, *((title, category, quality) for title, category, _, quality in CATALOGUE)]
    tables = prepared_tables(tmp_path, {"train.csv": to_csv(rows, "title,category,label_quality")})
    sofas = labelled_rows(tables).query("cleaned == 'sofa'")
    assert (sofas.category + " " + sofas.label_quality).tolist() == [expected]
    same = sum(label[0] == expected[0] for label in labels) - 1
    other = len(labels) - 1 - same
    assert Counter(tables["rejected"].reason) == +Counter(
        {"duplicate title": same, "duplicate title, under another category": other}
    )


def test_a_test_file_is_complete_and_its_titles_are_removed_from_the_other_splits(tmp_path: Path):
    test = [
        ("Mesa 1", "CHAIRS", "spanish", "reliable"),
        ("mesa 1", "TABLES", "spanish", "reliable"),
        ("mesa 1", "TABLES", "spanish", "reliable"),
        ("", "TABLES", "spanish", "reliable"),
        ("!?", "TABLES", "spanish", "reliable"),
    ]
    files = {
        "test.csv": to_csv(test),
        "train.csv": to_csv([*CATALOGUE, ("", "TABLES", "", "")]),
        "validation.csv": to_csv([*CATALOGUE[:2], ("silla", "CHAIRS", "", "")]),
    }
    tables = prepared_tables(tmp_path, files)
    assert sorted(tables["test"].title) == sorted(row[0] for row in test)
    assert sorted(tables["test"].cleaned) == ["", "", "mesa 1", "mesa 1", "mesa 1"]
    assert sorted(tables["validation"].cleaned) == ["mesa 0", "silla"]
    assert rejections(tables) == [
        ("train.csv", 2, "its title is in a validation file"),
        ("train.csv", 3, "its title is in a test file"),
        ("train.csv", 42, "empty title"),
        ("validation.csv", 3, "its title is in a test file"),
    ]


def test_a_title_of_a_validation_file_is_removed_from_train_whatever_its_label(tmp_path: Path):
    validation = [("MESA 1!", "SOFAS", "", "unreliable"), ("mesa 1", "SOFAS", "", "unreliable"), ("", "SOFAS", "", "")]
    files = {"train.csv": to_csv(CATALOGUE), "validation.csv": to_csv(validation)}
    tables = prepared_tables(tmp_path, files)
    assert tables["validation"][["cleaned", "category"]].to_numpy().tolist() == [["mesa 1", "SOFAS"]]
    assert len(tables["train"]) + len(tables["test"]) == 39
    assert [reason for file, _, reason in rejections(tables) if file == "train.csv"] == [
        "its title is in a validation file"
    ]
    assert Counter(reason for file, _, reason in rejections(tables) if file == "validation.csv") == {
        "duplicate title": 1,
        "empty title": 1,
    }


def test_an_unlabelled_test_file_keeps_its_order_beside_the_derived_test_split(tmp_path: Path):
    titles = ["zapato", "Mesa 1", "zapato", "", "¡!", "árbol", *(f"silla {number}" for number in range(9))]
    unlabelled = [(str(99 - index), title, "portuguese") for index, title in enumerate(titles)]
    tables = prepared_tables(
        tmp_path, {"test.csv": to_csv(unlabelled, "id,title,language"), "train.csv": to_csv(CATALOGUE)}
    )
    assert tables["unlabelled"].columns.tolist() == ["id", "title", "cleaned", "language"]
    assert list(zip(*(tables["unlabelled"][name] for name in ("id", "title", "language")), strict=True)) == unlabelled
    assert tables["unlabelled"].cleaned[:6].tolist() == ["zapato", "mesa 1", "zapato", "", "", "arbol"]
    assert len(tables["test"]) > 0


def test_an_unlabelled_test_changes_no_byte_of_the_labelled_splits(tmp_path: Path):
    train = {"train.csv": to_csv(CATALOGUE)}
    test = {"test.csv": to_csv([("1", "mesa 1"), ("2", "mesa 2"), ("3", "mesa 3")], "id,title")}
    without, with_test = prepare_files(tmp_path / "without", train), prepare_files(tmp_path / "with", train | test)
    assert differing_splits(without, with_test) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", "TABLES"), "empty title"),
        ((" \t", "TABLES"), "empty title"),
        (("¡日本!", "TABLES"), "no Latin letter or digit in the title"),
        (("mesa ratona", ""), "empty category"),
        (("mesa ratona", "  "), "empty category"),
        (("mesa ratona",), "1 fields where the header has 4"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_line_and_the_reason(
    tmp_path: Path, row: tuple[str, ...], reason: str
):
    row = (*row, "spanish", "reliable") if len(row) > 1 else row
    tables = prepared_tables(tmp_path, {"train.csv": to_csv([*CATALOGUE[:10], row, *CATALOGUE[10:]])})
    assert rejections(tables) == [("train.csv", 12, reason)]
    assert len(labelled_rows(tables)) == len(CATALOGUE)


@pytest.mark.parametrize(
    "category",
    [
        unicodedata.normalize("NFD", "SOFÁS Y MÁS"),
        " SOFÁS Y MÁS\u00a0",
        "SOFÁS\u00a0 Y MÁS",
        "SOF\u200bÁS Y MÁS\ufeff",
        "\u3000SOFÁS\tY\nMÁS\x00",
    ],
)
def test_categories_that_look_the_same_are_merged_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, category: str
):
    rows = [("sofa", "SOFÁS Y MÁS", "", ""), ("sofá", category, "", "")]
    tables = prepared_tables(tmp_path, {"train.csv": to_csv(CATALOGUE), "a.train.csv": to_csv(rows)})
    assert set(labelled_rows(tables).category) == {"CHAIRS", "TABLES", "SOFÁS Y MÁS"}
    assert [reason for _, _, reason in rejections(tables)] == ["duplicate title"]
    (warning,) = [message for message in caplog.messages if "is read as" in message]
    assert warning.startswith(f"{tmp_path}/raw/a.train.csv: 1 rows have a category with spaces around it, ")
    assert warning.endswith(f"{category!a} is read as SOFÁS Y MÁS")


def test_the_same_number_is_one_category_in_every_format(tmp_path: Path):
    numbers = [(f"sofa {number}", 120.0 + number % 2) for number in range(9)]
    frame = pd.DataFrame(numbers, columns=["title", "category"])
    frame.to_parquet(tmp_path / "a.parquet")
    files: dict[str, str | bytes] = {
        "a.train.parquet": (tmp_path / "a.parquet").read_bytes(),
        "b.train.jsonl": "".join(json.dumps({"title": title, "category": number}) + "\n" for title, number in numbers),
        "c.train.csv": "title,category\nmesa 1,120\nmesa 2,121\nmesa 3,120\nmesa 4,121\n",
        "d.train.jsonl": '{"title": "cama", "category": NaN}\n',
        "validation.jsonl": '{"title": "divan", "category": 120.0}\n',
        "test.csv": "title,category\nsilla,121\n",
    }
    tables = prepared_tables(tmp_path / "all", files)
    assert set(labelled_rows(tables).category) == {"120", "121"}
    assert ("d.train.jsonl", 1, "empty category") in rejections(tables)


def test_columns_may_have_other_names(tmp_path: Path):
    header = "Title,category_id,Language,label_quality"
    (tmp_path / "train.csv").write_text(to_csv(CATALOGUE, header))
    names = ColumnNames(title="Title", category="category_id", language="Language")
    prepare(tmp_path, tmp_path / "prepared", PrepareParams(0.2, 0.2, names))
    table = pd.concat(pd.read_parquet(tmp_path / f"prepared/{split}.parquet") for split in SPLITS)
    rows = table[["title", "category", "language", "label_quality"]].itertuples(index=False, name=None)
    assert sorted(rows) == sorted(CATALOGUE)


def test_html_references_in_a_title_are_resolved_before_cleaning(tmp_path: Path):
    rows = [("Tel&eacute;fono &amp; funda", "PHONES", "", ""), ("teléfono funda", "PHONES", "", "")]
    tables = prepared_tables(tmp_path, {"train.csv": to_csv([*CATALOGUE, *rows])})
    phone = labelled_rows(tables).query("category == 'PHONES'")
    assert phone[["title", "cleaned"]].to_numpy().tolist() == [["Tel&eacute;fono &amp; funda", "telefono funda"]]
    assert [reason for _, _, reason in rejections(tables)] == ["duplicate title"]


def test_a_file_with_mostly_unreadable_rows_is_rejected(tmp_path: Path):
    content = to_csv(CATALOGUE[:20]) + "mesa;TABLES\n" * 21
    message = (
        r"train.csv: 21 of the first 41 rows cannot be read, beginning with line 22: 1 fields where the header has"
    )
    with pytest.raises(InputError, match=message):
        prepare_files(tmp_path, {"train.csv": content})


def test_titles_of_categories_that_train_lacks_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    test = [("sofa", "sofas", "", ""), ("silla", "TABLES", "", "")]
    prepare_files(tmp_path, {"train.csv": to_csv(CATALOGUE), "test.csv": to_csv(test)})
    assert [message for message in caplog.messages if "train lacks" in message] == [
        "1 of the 2 titles of test have a category that train lacks: no network can predict it"
    ]


def test_the_files_of_a_parquet_folder_are_sources_by_their_own_names(tmp_path: Path):
    (tmp_path / "train.parquet").mkdir()
    frame = pd.DataFrame(CATALOGUE, columns=["title", "category", "language", "label_quality"])
    frame[:20].to_parquet(tmp_path / "train.parquet/part-0.parquet")
    frame[20:].to_parquet(tmp_path / "train.parquet/part-1.parquet")
    prepare(tmp_path, tmp_path / "prepared", PARAMS)
    sources = pd.read_csv(tmp_path / "prepared/sources.csv")
    assert sources.file.tolist() == ["train.parquet/part-0.parquet", "train.parquet/part-1.parquet"]
    assert sources.split.tolist() == ["train", "train"]


def test_folders_may_have_names_that_a_shell_or_a_pattern_would_expand(tmp_path: Path):
    folder = tmp_path / "a? [b]*" / "oferta$x 'ñ' %23 {c}"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text(to_csv(CATALOGUE))
    prepare(folder, folder.parent / "prepared $HOME", PARAMS)
    rows = [len(pd.read_parquet(folder.parent / f"prepared $HOME/{split}.parquet")) for split in SPLITS]
    assert sum(rows) == len(CATALOGUE)


def test_a_title_that_is_not_utf_8_is_rejected_with_its_line(tmp_path: Path):
    content = to_csv([*CATALOGUE[:10], ("cafX", "TABLES", "spanish", "reliable"), *CATALOGUE[10:]]).encode()
    tables = prepared_tables(tmp_path, {"train.csv": content.replace(b"cafX", b"caf\xe9")})
    assert tables["rejected"].to_numpy().tolist() == [["train.csv", 12, "broken UTF-8", "caf?", "TABLES"]]
    assert len(labelled_rows(tables)) == len(CATALOGUE)


def test_a_title_of_a_test_file_that_is_not_utf_8_stays_with_a_question_mark(tmp_path: Path):
    test = to_csv([("cafX", "TABLES", "spanish", "reliable")]).encode().replace(b"cafX", b"caf\xe9")
    tables = prepared_tables(tmp_path, {"test.csv": test, "train.csv": to_csv(CATALOGUE)})
    assert tables["test"][["title", "cleaned"]].to_numpy().tolist() == [["caf?", "caf"]]


def test_a_category_with_one_row_is_kept(tmp_path: Path):
    rows = labelled_rows(
        prepared_tables(tmp_path, {"train.csv": to_csv([*CATALOGUE, ("sofa", "SOFAS", "spanish", "reliable")])})
    )
    assert rows[rows.category == "SOFAS"].title.tolist() == ["sofa"]


def test_a_test_file_may_have_a_category_that_train_lacks(tmp_path: Path):
    files = {"test.csv": to_csv([("sofa", "SOFAS", "spanish", "reliable")]), "train.csv": to_csv(CATALOGUE)}
    assert prepared_tables(tmp_path, files)["test"].category.tolist() == ["SOFAS"]


def test_any_language_is_accepted_and_a_missing_one_is_unknown(tmp_path: Path):
    extra = [("canapé", "SOFAS", "french", "reliable"), ("diván", "SOFAS", " ", "")]
    rows = labelled_rows(prepared_tables(tmp_path, {"train.csv": to_csv([*CATALOGUE, *extra])})).set_index("title")
    assert rows.loc["canapé", ["language", "label_quality"]].tolist() == ["french", "reliable"]
    assert rows.loc["diván", ["language", "label_quality"]].tolist() == ["unknown", "unknown"]


def test_without_columns_for_them_language_and_label_quality_are_unknown(tmp_path: Path):
    rows = labelled_rows(
        prepared_tables(tmp_path, {"train.csv": to_csv((row[:2] for row in CATALOGUE), "title,category")})
    )
    assert len(rows) == len(CATALOGUE)
    assert (set(rows.language), set(rows.label_quality)) == ({"unknown"}, {"unknown"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.csv", to_csv([("sofa", "SOFAS"), ("cama", " ")], "title,category"), "line 3: empty category"),
        ("test.csv", to_csv([("sofa", "SOFAS"), ("cama",)], "title,category"), "line 3: 1 fields where the header has"),
        ("test.csv", to_csv([("1", "sofa"), ("", "cama")], "id,title"), "line 3: no id"),
        ("test.jsonl", '{"id": 1, "title": "sofa"}\n{"title": "cama"}\n', "line 2: no id"),
        ("test.jsonl", '{"title": "sofa", "category": "SOFAS"}\n{"title":\n', "line 2: not JSON"),
    ],
)
def test_an_unusable_row_of_a_test_file_is_rejected_with_its_line(
    tmp_path: Path, name: str, content: str, message: str
):
    with pytest.raises(InputError) as error:
        prepare_files(tmp_path, {name: content, "train.csv": to_csv(CATALOGUE)})
    assert str(error.value).startswith(f"{tmp_path}/raw/{name}, {message}")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.csv": to_csv([(row[0], "TABLES", "", "") for row in CATALOGUE])}, "all of train is TABLES"),
        ({"train.csv": to_csv(CATALOGUE[:2])}, "gets none of the 2 rows; give more rows or a "),
        (
            {"train.csv": to_csv(CATALOGUE), "validation.csv": to_csv(CATALOGUE), "test.csv": to_csv(CATALOGUE)},
            "train gets none",
        ),
        ({"train.csv": to_csv(CATALOGUE), "validation.csv": to_csv([("", "TABLES", "", "")])}, "validation gets none"),
    ],
)
def test_a_catalogue_that_leaves_a_split_empty_is_rejected(tmp_path: Path, files: dict[str, str | bytes], message: str):
    with pytest.raises(InputError) as error:
        prepare_files(tmp_path, files)
    assert message in str(error.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from titles.preprocessing import prepare
from titles.preprocessing.dedup_split import PrepareParams

prepare._check_splits = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
prepare.prepare(Path(sys.argv[1]), Path(sys.argv[2]), PrepareParams(0.2, 0.2))
"""


def test_a_killed_run_leaves_the_earlier_outputs_and_the_next_run_removes_its_remains(tmp_path: Path):
    folder = prepare_files(tmp_path, {"train.csv": to_csv(CATALOGUE)})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "raw" / "train.csv").write_text(to_csv([*CATALOGUE, ("sofa", "SOFAS", "", "")]))
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "raw", folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    prepare(tmp_path / "raw", folder, PARAMS)
    assert sorted(path.name for path in folder.iterdir()) == sorted(before)
    assert list(tmp_path.glob(".*")) == []


def test_a_killed_first_run_leaves_no_input_for_the_next_stage(tmp_path: Path):
    (tmp_path / "train.csv").write_text(to_csv(CATALOGUE))
    subprocess.run([sys.executable, "-c", KILLED, tmp_path, tmp_path / "prepared"], check=False)
    with pytest.raises(InputError, match=r"train\.parquet is not there; run the stage prepare to its end first"):
        reduce(tmp_path / "prepared", tmp_path / "reduced", ReduceParams(1.0, 1))


def test_a_full_disk_is_reported_and_the_earlier_outputs_stay(tmp_path: Path, small_disk: Path):
    rows = [(f"mesa {number**7}", ("CHAIRS", "TABLES")[number % 2], "", "") for number in range(40_000)]
    (tmp_path / "train.csv").write_text(to_csv(rows))
    (small_disk / "prepared").mkdir()
    (small_disk / "prepared" / "train.parquet").write_text("old content")
    with pytest.raises(InputError, match=f"the disk of {small_disk} is full"), disk_full_as_input_error(small_disk):
        prepare(tmp_path, small_disk / "prepared", PARAMS)
    assert [path.name for path in small_disk.rglob("*")] == ["prepared", "train.parquet"]


REAL_DATA = os.environ.get("TITLES_REAL_DATA")


@pytest.mark.skipif(REAL_DATA is None, reason="TITLES_REAL_DATA does not name the folder of the challenge's titles")
def test_the_same_real_titles_in_two_formats_give_the_same_bytes(tmp_path: Path):
    for name in ("famaf-es", "meli-es"):
        prepare(Path(REAL_DATA or "") / name, tmp_path / name, PARAMS)
    assert differing_splits(tmp_path / "famaf-es", tmp_path / "meli-es") == []
