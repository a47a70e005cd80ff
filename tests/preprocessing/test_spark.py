"""DuckDB and a local Spark write the same bytes for any titles."""

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from titles.preprocessing.dedup_split import PrepareParams
from titles.preprocessing.encode import EmbedParams, embed
from titles.preprocessing.prepare import prepare
from titles.preprocessing.subsample import ReduceParams, reduce

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
REAL_DATA = os.environ.get("TITLES_REAL_DATA")
# Short runs spend most of their time on starting, planning and compiling; these options reduce it.
SUBMIT = (
    "--master local[2] --driver-java-options -XX:TieredStopAtLevel=1 --conf spark.ui.enabled=false "
    "--conf spark.sql.shuffle.partitions=2 --conf spark.sql.codegen.wholeStage=false pyspark-shell"
)
# tests/io checks how these rows are read, which is the same for both engines.
BROKEN = (
    b"title,category,language,label_quality\n"
    b"Mesa,TABLES,spanish,reliable\nMESA!,CHAIRS,spanish,unreliable\nm\xc3\xa9sa,CHAIRS,,\nmesa,CHAIRS,,unreliable\n"
    b"Me\xcc\x81sa,\xf0\x9f\x98\x80,,\nsilla,\xf0\x9f\x98\x80,,\nsilla,\xef\xac\x81,,\nsilla,a,,\nSilla,A,,\n"
    b"broken \xff\xfe,TABLES,,\nnul \x00 in it,TABLES,,\ntoo,many,fields,in,it\ntoo few\n"
    b",TABLES,,\n \t ,TABLES,,\n!?,TABLES,,\n\xe6\x97\xa5\xe6\x9c\xac,TABLES,,\n"
    b'\x0b\x0c\xc2\xa0sofa\xe3\x80\x80,\x0b SOFAS\x0c\t,\xc2\xa0,\n"two\nlines",SOFAS,,\nno category,,,\n'
)


def write_unusual_catalogue(folder: Path) -> Path:
    """Write titles of all code points, rows with every kind of fault, and an unlabelled test file."""
    points = [chr(point) for point in range(1, sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    titles = ["".join(points[start : start + 32]) for start in range(0, len(points), 32)]
    titles += [f"mesa {number}{point}b" for number, point in enumerate(points[:0x3000])]
    titles += [f"caf&eacute; {number} &amp;amp;#233; &#x1F600;&NTILDE;&no;" for number in range(9)]
    names = ("TABLES", "CHAIRS", "sofás", "日本", "sofa\u0301s\u200b", "\u00a0CHAIRS")
    categories = [names[number % 7 % 6] for number in range(len(titles))]
    pd.DataFrame({"title": titles, "category": categories}).to_parquet(folder / "points.train.parquet")
    (folder / "broken.train.csv").write_bytes(BROKEN)
    (folder / "surrogate.train.jsonl").write_text('{"title": "half \\ud83d", "category": "TABLES"}\n')
    rows = [("id", "title"), ("2", "mesa"), ("10", ""), ("1", "日本"), ("3", "mesa")]
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    (folder / "test.csv").write_text(stream.getvalue())
    return folder


def catalogue(name: str, folder: Path) -> Path:
    if name == "unusual":
        return write_unusual_catalogue(folder)
    if REAL_DATA is None:
        pytest.skip("TITLES_REAL_DATA does not name the folder of the challenge's titles")
    return Path(REAL_DATA) / name


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_data_stages(raw: Path, folder: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Run the three data stages and return their output files."""
    monkeypatch.setenv("TITLES_ENGINE", engine)
    prepared, reduced = folder / "prepared", folder / "reduced"
    prepare(raw, prepared, PrepareParams(0.03, 0.1))
    reduce(prepared, reduced, ReduceParams(0.1, 5))
    params = EmbedParams(8, 100, 3, 3, 997, 100, "none")
    embed(prepared, reduced, folder, folder / "embedded", folder / "vectors.npy", params)
    return outputs(folder)


@pytest.fixture(autouse=True)
def spark(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="PySpark is not installed: make spark")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed: apt-get install default-jre-headless")
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", SUBMIT)


@pytest.mark.parametrize("name", ["unusual", "meli-es"])
def test_both_engines_write_the_same_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("raw", "duckdb", "spark"):
        (tmp_path / folder).mkdir()
    raw = catalogue(name, tmp_path / "raw")
    by_duckdb, by_spark = (
        run_data_stages(raw, tmp_path / engine, engine, monkeypatch) for engine in ("duckdb", "spark")
    )
    assert by_duckdb.keys() == by_spark.keys()
    assert [path for path in by_duckdb if by_duckdb[path] != by_spark[path]] == []


def test_a_remote_spark_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, prepared = tmp_path / "raw", tmp_path / "prepared"
    raw.mkdir()
    rows = b"".join(b"mesa %d,%s,,\n" % (number, (b"TABLES", b"CHAIRS")[number % 2]) for number in range(100))
    (raw / "train.csv").write_bytes(BROKEN + rows)
    monkeypatch.setenv("TITLES_ENGINE", "duckdb")
    prepare(raw, tmp_path / "by_duckdb", PrepareParams(0.03, 0.1))
    # Spark Connect, with a server that ends with the stage.
    environment = os.environ | {"TITLES_ENGINE": "spark", "TITLES_TRACKING": "off", "SPARK_REMOTE": "local[2]"}
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("data/demo", str(raw)))
    command = [sys.executable, "-m", "stages.prepare", str(prepared)]
    subprocess.run(command, cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}, check=True)
    assert outputs(prepared) == outputs(tmp_path / "by_duckdb")
