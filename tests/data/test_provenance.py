import hashlib

from titles.data.provenance import Source, read_sources, write_sources
from titles.io.file_discovery import find_files


def test_every_file_is_recorded_with_its_size_and_md5(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    contents = {"spanish.train.csv": b"title,category\nmesa,HOME\n", "test.csv": b"id,title\n1,silla\n"}
    for name, content in contents.items():
        (raw / name).write_bytes(content)
    write_sources(raw, {file.path: file.split for file in find_files(raw)}, tmp_path / "sources.csv")
    assert read_sources(tmp_path / "sources.csv") == [
        Source(name, split, len(contents[name]), hashlib.md5(contents[name]).hexdigest())
        for name, split in (("spanish.train.csv", "train"), ("test.csv", "unlabelled"))
    ]
