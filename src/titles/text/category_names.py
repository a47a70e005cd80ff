"""Normalization of category names: names that look the same become the same string."""

import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from titles.text.normalization import ZERO_WIDTH

# Zero-width characters, and control characters that are not white space.
INVISIBLE = re.compile(f"[{ZERO_WIDTH}\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f]")


def normalize_name(name: str) -> str:
    """Convert `name` to Unicode's form NFC, remove invisible characters, and collapse and strip white space."""
    return " ".join(unicodedata.normalize("NFC", INVISIBLE.sub("", name)).split())


def normalize_names(names: pa.StringArray) -> pa.StringArray:
    """Apply `normalize_name` to each name; an empty result is null. Return the same array if no name changes."""
    encoded = names.dictionary_encode()
    before = encoded.dictionary.to_pylist()
    after = [normalize_name(name) or None for name in before]
    return names if before == after else pa.array(after, pa.string()).take(encoded.indices)


def changed_names(before: pa.StringArray, after: pa.StringArray) -> tuple[int, dict[str, str]]:
    """Return the number of rows whose name changed, and a map from each changed name to its new name."""
    if after is before:
        return 0, {}
    is_changed = pc.not_equal(before, after).fill_null(False)
    pairs = zip(before.filter(is_changed).to_pylist(), after.filter(is_changed).to_pylist(), strict=True)
    return is_changed.true_count, dict(pairs)
