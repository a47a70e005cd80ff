"""Parameters and metrics as keys and texts that any store takes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# What the UI shows as a run's description.
NOTE_TAG = "mlflow.note.content"
MAX_KEY_LENGTH = 250


def flatten(nested: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables under the keys that DVC gives them: `model.activation`."""
    for key, value in nested.items() if isinstance(nested, Mapping) else ():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield as_key(f"{prefix}{key}".replace("/", "_")), value


def as_key(name: str) -> str:
    """The name with `_` for what MLflow does not allow in a key; a user's columns and files may be named anything."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:MAX_KEY_LENGTH]


def as_text(value: object) -> str:
    """The value without what PostgreSQL refuses: NUL, and half a pair of surrogates."""
    return str(value).replace("\0", "\\x00").encode("utf-8", errors="backslashreplace").decode()
