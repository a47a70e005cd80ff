import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titles.errors import InputError
from titles.raw import RawFile, find_files
from titles.rows import BROKEN_UTF8, COLUMNS, NO_VALUES, Row

ROWS = [
    {"title": 'Mesa "redonda", de pino', "category": "TABLES", "language": "spanish", "label_quality": "reliable"},
    {"title": "Fogão\n5 bocas", "category": "STOVES", "language": "portuguese", "label_quality": "unreliable"},
]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
}
CSV = "title,category\nmesa,TABLES\n"
LONG_CSV = b"title,category\n" + b"".join(b"mesa %d,TABLES\n" % (number**5) for number in range(20_000))


def encoded(rows: list[dict[str, object]], kind: str) -> bytes:
    table = pd.DataFrame(rows, columns=None if rows else ["title", "category"])
    if kind == "csv":
        return table.to_csv(index=False, quoting=csv.QUOTE_ALL).encode()
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


def folder_of(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows_in(file: RawFile) -> Iterator[Row]:
    for batch in file.batches():
        for row in batch.to_pylist():
            yield Row(row["line"], tuple(row[column] for column in COLUMNS), row["fault"])


def rows_of(folder: Path, name: str, content: str | bytes) -> list[Row]:
    return [row for file in find_files(folder_of(folder, {name: content})) for row in rows_in(file)]


def titles_and_categories(rows: list[Row]) -> list[tuple[str | None, str | None]]:
    places = COLUMNS.index("title"), COLUMNS.index("category")
    return [(row.values[places[0]], row.values[places[1]]) for row in rows]


@pytest.mark.parametrize(
    "name",
    [*(f"train.{kind}{compression}" for kind in ("csv", "jsonl") for compression in COMPRESS), "train.parquet"],
)
def test_every_format_and_compression_gives_the_same_rows(tmp_path: Path, name: str):
    _, kind, *compression = name.split(".")
    content = COMPRESS["." + compression[0] if compression else ""](encoded(ROWS, kind))
    first_line = 2 if kind == "csv" else 1
    assert rows_of(tmp_path, name, content) == [
        Row(first_line, (None, *ROWS[0].values())),
        Row(first_line + 1, (None, *ROWS[1].values())),
    ]


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.fixed_dictionaries({"title": st.text(), "category": st.text()}), min_size=1))
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_any_text_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[dict[str, str]]
):
    read = rows_of(tmp_path_factory.mktemp("raw"), f"train.{kind}", encoded(rows, kind))
    assert titles_and_categories(read) == [(row["title"], row["category"]) for row in rows]


@pytest.mark.parametrize("extension", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_of_several_members_is_read_to_its_end(tmp_path: Path, extension: str):
    content = COMPRESS[extension](CSV.encode()) + COMPRESS[extension](b"silla,CHAIRS\n")
    read = rows_of(tmp_path, f"train.csv{extension}", content)
    assert titles_and_categories(read) == [("mesa", "TABLES"), ("silla", "CHAIRS")]


@pytest.mark.parametrize("kept", ["half of it", "all but the last bytes"])
@pytest.mark.parametrize("extension", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_that_was_cut_short_stops_the_run(tmp_path: Path, extension: str, kept: str):
    whole = COMPRESS[extension](LONG_CSV)
    content = whole[: len(whole) // 2] if kept == "half of it" else whole[:-4]
    with pytest.raises(InputError, match=rf"train.csv{extension}: damaged"):
        rows_of(tmp_path, f"train.csv{extension}", content)


def test_where_a_file_was_cut_short_the_last_whole_line_is_named(tmp_path: Path):
    whole = gzip.compress(LONG_CSV)
    [file] = find_files(folder_of(tmp_path, {"train.csv.gz": whole[: len(whole) // 2]}))
    read: list[Row] = []
    with pytest.raises(InputError) as error:
        read.extend(rows_in(file))
    assert f"damaged or cut short after line {read[-1].line} " in str(error.value)


def test_files_with_prefixes_are_read_together(tmp_path: Path):
    files = {
        "portuguese.train.csv": CSV,
        "spanish.train.jsonl": '{"title": "silla", "category": "CHAIRS"}\n',
        "spanish.validation.csv": CSV,
        "train.csv": CSV,
    }
    found = find_files(folder_of(tmp_path, files))
    assert [(file.path.name, file.split) for file in found] == [
        ("portuguese.train.csv", "train"),
        ("spanish.train.jsonl", "train"),
        ("spanish.validation.csv", "validation"),
        ("train.csv", "train"),
    ]


@pytest.mark.parametrize(
    ("prefix", "split"), [("retrain", "train"), ("latest", "test"), ("invalidation", "validation")]
)
def test_a_prefix_may_end_as_the_split_does(tmp_path: Path, prefix: str, split: str):
    found = find_files(folder_of(tmp_path, {"train.csv": CSV, f"{prefix}.{split}.csv": CSV}))
    assert [(file.path.name, file.split, file.format) for file in found if file.path.name != "train.csv"] == [
        (f"{prefix}.{split}.csv", split, "csv")
    ]


@pytest.mark.parametrize(
    ("content", "split"),
    [(CSV, "test"), ("id,title,category\n1,mesa,TABLES\n", "test"), ("id,title\n1,mesa\n", "unlabelled")],
)
def test_a_test_file_without_categories_is_unlabelled(tmp_path: Path, content: str, split: str):
    found = find_files(folder_of(tmp_path, {"test.csv": content, "train.csv": CSV}))
    assert [file.split for file in found] == [split, "train"]


def test_what_dvc_and_git_keep_beside_the_data_is_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    files = {".gitignore": "/train.csv\n", "train.csv": CSV, "train.csv.dvc": "outs:\n", "notes.dvc": "outs:\n"}
    assert [file.path.name for file in find_files(folder_of(tmp_path, files))] == ["train.csv"]
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["README.md", "training.csv", "sample_submission.csv", "Train.csv"])
def test_other_files_are_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str):
    assert [file.path.name for file in find_files(folder_of(tmp_path, {name: CSV, "train.csv": CSV}))] == ["train.csv"]
    assert [(record.levelname, name in record.message) for record in caplog.records] == [("WARNING", True)]


def test_folders_are_passed_over(tmp_path: Path):
    (tmp_path / "old.train.csv").mkdir()
    assert [file.path.name for file in find_files(folder_of(tmp_path, {"train.csv": CSV}))] == ["train.csv"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no train file; it needs train.csv, train.jsonl or train.parquet"),
        ({"test.csv": CSV, "validation.csv": CSV}, "has no train file"),
        ({"train.csv": CSV, "train.jsonl": CSV}, "train.csv and train.jsonl are one name in two formats"),
        ({"train.csv": CSV, "train.csv.gz": CSV}, "train.csv and train.csv.gz are one name in two formats"),
        ({"train.xlsx": CSV}, "train.xlsx: unknown format 'xlsx'; known are csv, jsonl, parquet"),
        ({"train": CSV}, "train: unknown format ''; known are csv, jsonl, parquet"),
        ({"train.csv.rar": CSV}, "train.csv.rar: unknown compression 'rar'; known are gz, bz2, zst or none"),
        (
            {"train.parquet.gz": CSV},
            "train.parquet.gz: unknown compression 'gz'; known are none, as Parquet compresses",
        ),
        ({"train.csv": "title,kind\nmesa,TABLES\n"}, "train.csv: no column category; its columns are title, kind"),
        ({"train.csv": "name\nmesa\n"}, "train.csv: no column category or title; its columns are name"),
        ({"train.csv": CSV, "test.csv": "title\nmesa\n"}, "test.csv: no column category; its columns are title"),
        ({"train.csv": CSV, "test.csv": "id\n1\n"}, "test.csv: no column title; its columns are id"),
        ({"train.jsonl": '{"title": "mesa"}\n'}, "train.jsonl: no column category; its columns are title"),
        ({"train.parquet": encoded([{"title": "mesa"}], "parquet")}, "train.parquet: no column category; "),
        ({"train.csv": ""}, "train.csv: no column category or title; its columns are none"),
        ({"train.jsonl": ""}, "train.jsonl: no column category or title; its columns are none"),
        ({"train.parquet": ""}, "train.parquet: damaged"),
        ({"train.parquet": CSV}, "train.parquet: damaged"),
        ({"train.csv.gz": ""}, "train.csv.gz: "),
        ({"train.csv.gz": CSV}, "train.csv.gz: damaged"),
        ({"train.csv.bz2": CSV}, "train.csv.bz2: damaged"),
        ({"train.csv.zst": CSV}, "train.csv.zst: damaged"),
    ],
)
def test_a_folder_that_cannot_be_used_stops_the_run(tmp_path: Path, files: dict[str, str | bytes], message: str):
    with pytest.raises(InputError) as error:
        find_files(folder_of(tmp_path, files))
    assert message in str(error.value)


def test_a_folder_that_is_not_there_stops_the_run(tmp_path: Path):
    with pytest.raises(InputError, match=r"data\.raw: .*/nowhere is not a folder"):
        find_files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "title,category\n"),
        ("train.csv", "title,category"),
        ("train.csv", "title,category\n\n\n"),
        ("train.parquet", encoded([], "parquet")),
    ],
)
def test_a_file_without_rows_stops_the_run(tmp_path: Path, name: str, content: str | bytes):
    with pytest.raises(InputError, match=f"{name} has no rows"):
        rows_of(tmp_path, name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "title,category\nmesa,TABLES\nsilla,CHAIRS\n"),
        ("train.jsonl", '{"title": "mesa", "category": "TABLES"}\n{"title": "silla", "category": "CHAIRS"}\n'),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: "\ufeff" + content,
        lambda content: content.replace("\n", "\r\n"),
        lambda content: content.replace("\n", "\n\n"),
        lambda content: content.rstrip("\n"),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "no end of line at the end"],
)
def test_what_editors_do_to_a_file_changes_no_row(
    tmp_path: Path, name: str, content: str, change: Callable[[str], str]
):
    read = rows_of(tmp_path, name, change(content))
    assert titles_and_categories(read) == [("mesa", "TABLES"), ("silla", "CHAIRS")]


def test_spaces_around_the_names_of_columns_do_not_count(tmp_path: Path):
    assert titles_and_categories(rows_of(tmp_path, "train.csv", "title , category\nmesa,TABLES\n")) == [
        ("mesa", "TABLES")
    ]


def test_the_line_of_a_row_counts_the_lines_within_quotes_and_blank_ones(tmp_path: Path):
    content = 'title,category\n"mesa\nredonda",TABLES\n\nsilla,CHAIRS\n'
    assert [row.line for row in rows_of(tmp_path, "train.csv", content)] == [2, 5]


def test_the_rows_of_parquet_are_numbered_through_all_its_batches(tmp_path: Path):
    read = rows_of(tmp_path, "train.parquet", encoded(ROWS * 40_000, "parquet"))
    assert [row.line for row in read] == list(range(1, 80_001))


@pytest.mark.parametrize(
    "content",
    [
        'title,category\nmesa,TABLES\n"silla,CHAIRS\nsofa,SOFAS\n',
        'title,category\nmesa,TABLES\n"silla,CHAIRS\nsofa,SOFAS\n"cama",BEDS\n',
    ],
    ids=["before the end of the file", "before the next quote"],
)
def test_a_quote_that_does_not_close_stops_the_run_and_names_its_line(tmp_path: Path, content: str):
    with pytest.raises(InputError, match=r"train.csv, line 3: a quote opens there and does not close"):
        rows_of(tmp_path, "train.csv", content)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("cama", "1 fields where the header has 2"),
        ("cama,grande,BEDS", "3 fields where the header has 2"),
        ('"cama"grande,BEDS', "not CSV: ',' expected after '\"'"),
    ],
)
def test_a_line_of_csv_that_cannot_be_read_is_a_fault_of_that_row_alone(tmp_path: Path, line: str, fault: str):
    read = rows_of(tmp_path, "train.csv", f"title,category\nmesa,TABLES\n{line}\nsilla,CHAIRS\n")
    assert read[1] == Row(3, NO_VALUES, fault)
    assert titles_and_categories(read[::2]) == [("mesa", "TABLES"), ("silla", "CHAIRS")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"title": "cama"', "not JSON: Expecting ',' delimiter"),
        ("cama", "not JSON: Expecting value"),
        ("[" * 100_000, "not JSON: "),
        ('["cama", "BEDS"]', "not a JSON object"),
        ("null", "not a JSON object"),
    ],
    ids=["cut short", "no JSON", "nested beyond reason", "a list", "null"],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_line_of_json_that_cannot_be_read_is_a_fault_of_that_row_alone(
    tmp_path: Path, line: str, fault: str, place: int
):
    lines = ['{"title": "mesa", "category": "TABLES"}']
    lines.insert(place, line)
    read = rows_of(tmp_path, "train.jsonl", "\n".join(lines))
    assert (read[place].line, read[place].values) == (place + 1, NO_VALUES)
    assert read[place].fault is not None
    assert read[place].fault.startswith(fault)
    assert titles_and_categories([read[1 - place]]) == [("mesa", "TABLES")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", '{"id": 7, "title": null, "category": "TABLES"}\n'),
        ("train.jsonl", '{"category": "TABLES", "id": 7, "title": null, "size": 12}\n'),
        ("train.parquet", encoded([{"size": 12, "category": "TABLES", "id": 7, "title": None}], "parquet")),
    ],
)
def test_values_are_text_or_none_in_the_order_of_the_columns(tmp_path: Path, name: str, content: str | bytes):
    assert rows_of(tmp_path, name, content) == [Row(1, ("7", None, "TABLES", None, None))]


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl"])
def test_bytes_that_are_not_utf_8_become_question_marks_and_the_fault_of_their_row_alone(tmp_path: Path, name: str):
    rows = [{"title": title, "category": "COFFEES"} for title in ("café", "cafX")]
    content = encoded(rows, name.removeprefix("train.")).replace(b"X", b"\xe9")
    read = rows_of(tmp_path, name, content)
    assert titles_and_categories(read) == [("café", "COFFEES"), ("caf?", "COFFEES")]
    assert [row.fault for row in read] == [None, BROKEN_UTF8]


@pytest.mark.parametrize(
    "header", ['title,"category', '"title"x,category', 'title,"category\n' + "mesa,TABLES\n" * 30_000]
)
def test_a_header_that_is_no_csv_stops_the_run(tmp_path: Path, header: str):
    with pytest.raises(InputError, match=r"train\.csv, line 1: the header is not CSV"):
        find_files(folder_of(tmp_path, {"train.csv": header}))


def test_rows_that_an_open_quote_swallowed_are_rejected_with_all_their_text(tmp_path: Path):
    content = 'title,category\n"tv 32,TV\nsilla,SILLA\ncable",CABLE\nmesa,TABLES\n'
    (file,) = find_files(folder_of(tmp_path, {"train.csv": content}))
    swallowed, good = rows_in(file)
    assert (swallowed.line, swallowed.values[1]) == (2, "tv 32,TV\nsilla,SILLA\ncable")
    assert "a quote that should have closed" in str(swallowed.fault)
    assert (good.line, good.fault) == (5, None)


def test_a_quote_that_closes_in_another_row_of_too_many_fields_stops_the_run(tmp_path: Path):
    content = 'title,category\nmesa,"TABLES\nsilla",CHAIRS\n'
    (file,) = find_files(folder_of(tmp_path, {"train.csv": content}))
    with pytest.raises(InputError, match=r"train\.csv, line 2: a quote opens there and closes in another row"):
        list(rows_in(file))


def test_bytes_of_a_parquet_file_that_are_no_utf8_are_the_fault_of_their_row(tmp_path: Path):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"]).buffers())
    pq.write_table(pa.table({"title": broken, "category": ["COFFEE"]}), tmp_path / "train.parquet")
    (file,) = find_files(tmp_path)
    assert [(row.values[1], row.fault) for row in rows_in(file)] == [("caf?", BROKEN_UTF8)]


def test_a_parquet_column_of_lists_is_refused_by_name(tmp_path: Path):
    pq.write_table(pa.table({"title": [["mesa"]], "category": ["TABLES"]}), tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"column title is of type list<.*>; it must be text"):
        find_files(tmp_path)


def test_keys_that_the_first_object_leaves_out_are_found_in_later_ones(tmp_path: Path):
    train = '{"category": "TABLES"}\n{"title": "mesa", "category": "TABLES"}\n'
    test = '{"id": 1, "title": "mesa"}\n{"id": 2, "title": "silla", "category": "CHAIRS"}\n'
    files = find_files(folder_of(tmp_path, {"train.jsonl": train, "test.jsonl": test}))
    assert {file.split for file in files} == {"train", "test"}


def test_a_list_where_text_should_be_is_a_fault(tmp_path: Path):
    lines = '{"title": "mesa", "category": "TABLES"}\n{"title": ["mesa"], "category": "TABLES"}\n'
    (file,) = find_files(folder_of(tmp_path, {"train.jsonl": lines}))
    assert [row.fault for row in rows_in(file)] == [None, "a list or an object where text should be"]
