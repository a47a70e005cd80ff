"""sources.csv: the name, size and MD5 of every raw file, recorded with the encoded data and with each model."""

import csv
import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A raw file: its path relative to data.raw, its split, its size in bytes and the MD5 that DVC computes."""

    file: str
    split: str
    bytes: int
    md5: str


def write_sources(raw: Path, files: dict[Path, str], path: Path) -> None:
    """Write a CSV file with one row per source; `files` maps each file in the folder `raw` to its split."""
    with path.open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, [field.name for field in fields(Source)], lineterminator="\n")
        writer.writeheader()
        for file, split in files.items():
            with file.open("rb") as content:
                md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            writer.writerow(asdict(Source(file.relative_to(raw).as_posix(), split, file.stat().st_size, md5)))


def read_sources(path: Path) -> list[Source]:
    """Read a file that `write_sources` wrote."""
    with path.open(encoding="utf-8", newline="") as table:
        return [Source(row["file"], row["split"], int(row["bytes"]), row["md5"]) for row in csv.DictReader(table)]
