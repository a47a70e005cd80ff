"""The files all titles come from, which a model names for as long as it is there."""

import csv
import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file by its name in data.raw, and what it held: `md5` is that of DVC."""

    file: str
    split: str
    bytes: int
    md5: str


def write_sources(raw: Path, files: dict[Path, str], path: Path) -> None:
    """A CSV file with a row a source, named from the folder `raw` on; of each file its split is given."""
    with path.open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, [field.name for field in fields(Source)], lineterminator="\n")
        writer.writeheader()
        for file, split in files.items():
            with file.open("rb") as content:
                md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            writer.writerow(asdict(Source(file.relative_to(raw).as_posix(), split, file.stat().st_size, md5)))


def read_sources(path: Path) -> list[Source]:
    """What `write_sources` wrote."""
    with path.open(encoding="utf-8", newline="") as table:
        return [Source(row["file"], row["split"], int(row["bytes"]), row["md5"]) for row in csv.DictReader(table)]
