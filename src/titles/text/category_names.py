"""Names of categories that look the same become the same."""

import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from titles.text.normalization import ZERO_WIDTH

# Zero-width characters, and control characters that are no white space.
INVISIBLE = re.compile(f"[{ZERO_WIDTH}\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f]")


def normalize_name(name: str) -> str:
    """`name` in Unicode's form NFC, without invisible characters, and with single spaces between its words only."""
    return " ".join(unicodedata.normalize("NFC", INVISIBLE.sub("", name)).split())


def normalize_names(names: pa.StringArray) -> pa.StringArray:
    """`normalize_name` of each; null where nothing is left of it. The very array where that changes none."""
    encoded = names.dictionary_encode()
    before = encoded.dictionary.to_pylist()
    after = [normalize_name(name) or None for name in before]
    return names if before == after else pa.array(after, pa.string()).take(encoded.indices)


def changed_names(before: pa.StringArray, after: pa.StringArray) -> tuple[int, dict[str, str]]:
    """How many rows have another name than before, and for each name of before that is another the one it became."""
    if after is before:
        return 0, {}
    is_changed = pc.not_equal(before, after).fill_null(False)
    pairs = zip(before.filter(is_changed).to_pylist(), after.filter(is_changed).to_pylist(), strict=True)
    return is_changed.true_count, dict(pairs)
