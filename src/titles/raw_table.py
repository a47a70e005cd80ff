"""Raw rows as one Parquet file that any engine can scan, a row of it for each row that was read.

file, split, line      where the row stands
id … label_quality     as written, null where absent
fault                  why it could not be read, else null
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from titles import rows
from titles.ahead import ahead
from titles.raw_file import RawFile

SCHEMA = pa.schema([pa.field("file", pa.string()), pa.field("split", pa.string()), *rows.SCHEMA])
REPEATED = ["file", "split", "category", "language", "label_quality", "fault"]


def write_raw_table(files: list[RawFile], path: Path) -> int:
    """Writes the rows of `files` to `path` and returns how many there are."""
    num_rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="snappy", use_dictionary=REPEATED) as writer:
        for file in files:
            for batch in ahead(file.batches()):
                place = [pa.repeat(pa.scalar(text), len(batch)) for text in (file.path.name, file.split)]
                writer.write_batch(pa.record_batch([*place, *batch.columns], SCHEMA))
                num_rows += len(batch)
    return num_rows
