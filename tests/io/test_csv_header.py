from pathlib import Path

import pytest

from titles.core.errors import InputError
from titles.io.csv_header import Header, read_header

PATH, EXPECTED_COLUMNS = Path("train.csv"), ("title", "category")


@pytest.mark.parametrize(
    ("head", "header"),
    [
        ("title,category\n", Header(["title", "category"], ",", 1)),
        ("title;category\n", Header(["title", "category"], ";", 1)),
        ("title\tcategory\r\n", Header(["title", "category"], "\t", 1)),
        ('"title";"category"\n', Header(["title", "category"], ";", 1)),
        ("sep=;\ntitle;category\n", Header(["title", "category"], ";", 2)),
        ("\ufeffSEP=|\r\ntitle|category\r\n", Header(["title", "category"], "|", 2)),
        ('"sep=\t"\ntitle\tcategory\n', Header(["title", "category"], "\t", 2)),
        ("\n\ntitle,category\n", Header(["title", "category"], ",", 3)),
        (" ,\n\n,,\ntitle,category\n", Header(["title", "category"], ",", 4)),
        ("title , category\n", Header(["title", "category"], ",", 1)),
        ("title\n", Header(["title"], ",", 1)),
        ("price;title,brand;new,category\n", Header(["price;title", "brand;new", "category"], ",", 1)),
        ("name;kind\n", Header(["name", "kind"], ";", 1)),
        ("name;kind,brand\n", Header(["name;kind", "brand"], ",", 1)),
        ('title,"category\nof it"\n', Header(["title", "category\nof it"], ",", 2)),
        ("", Header([], ",", 0)),
        ("\n", Header([], ",", 1)),
    ],
)
def test_the_delimiter_is_the_one_that_finds_most_columns(head: str, header: Header):
    assert read_header(head.encode(), PATH, EXPECTED_COLUMNS) == header


def test_only_the_given_delimiters_separate_columns():
    assert read_header(b"title;category\n", PATH, EXPECTED_COLUMNS, "\t") == Header(["title;category"], "\t", 1)


@pytest.mark.parametrize("head", ['title,"category\n', 'title;"category\n', '"title"x,category\n'])
def test_a_quote_that_does_not_close_in_the_header_is_reported(head: str):
    with pytest.raises(InputError, match=r"train\.csv, line 1: the header is not CSV"):
        read_header(head.encode(), PATH, EXPECTED_COLUMNS)
