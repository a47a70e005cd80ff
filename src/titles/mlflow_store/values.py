"""Keys and values of parameters and metrics that every store accepts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# The UI shows it as the description of a run.
NOTE_TAG = "mlflow.note.content"
MAX_KEY_LENGTH = 250


def flatten(nested: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings under the keys that DVC uses, such as `model.activation`."""
    for key, value in nested.items() if isinstance(nested, Mapping) else ():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield as_key(f"{prefix}{key}".replace("/", "_")), value


def as_key(name: str) -> str:
    """Replace characters that MLflow does not allow in a key by `_`: columns and files may have any name."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:MAX_KEY_LENGTH]


def as_text(value: object) -> str:
    """Return the value as text, with escapes for what PostgreSQL refuses: NUL and unpaired surrogates."""
    return str(value).replace("\0", "\\x00").encode("utf-8", errors="backslashreplace").decode()
