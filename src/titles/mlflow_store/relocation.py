"""Update the store of a moved or copied checkout: MLflow stores absolute paths of artifacts."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from titles.core.errors import InputError

log = logging.getLogger(__name__)

ARTIFACTS_FOLDER = "mlartifacts"
# Columns of MLflow's tables that contain a path or a file URI.
PATH_COLUMNS = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}


def relocate(root: Path, database: Path) -> None:
    """Replace the root of other checkouts in the paths of a SQLite store by `root`.

    Raise InputError if the artifacts were not moved or copied with the database.
    """
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for old in _old_roots(connection, root):
            if not (root / ARTIFACTS_FOLDER).is_dir() and (old / ARTIFACTS_FOLDER).is_dir():
                raise InputError(
                    f"{database} was copied from {old} without its artifacts; "
                    f"copy {old / ARTIFACTS_FOLDER} to {root / ARTIFACTS_FOLDER} as well, or remove {database}"
                )
            log.info("MLflow: the store was in %s and is in %s now, with its artifacts", old, root)
            # Paths and URIs with a final slash, so that /a/b does not match the start of /a/bc.
            for before, after in ((f"{old}/", f"{root}/"), (f"{old.as_uri()}/", f"{root.as_uri()}/")):
                _replace(connection, before, after)


def _old_roots(connection: sqlite3.Connection, root: Path) -> Iterator[Path]:
    """Yield the roots of other checkouts in the artifact locations of the experiments."""
    if not _columns(connection, "experiments"):
        return
    rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    for location in (urlsplit(location) for (location,) in rows if location):
        path = Path(unquote(location.path))
        if location.scheme == "file" and path.name == ARTIFACTS_FOLDER and not _is_same(path.parent, root):
            yield path.parent


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are the same folder, also through a link."""
    return one == other or (one.exists() and one.samefile(other))


def _replace(connection: sqlite3.Connection, before: str, after: str) -> None:
    """Replace the prefix `before` of all paths by `after`."""
    for table, columns in PATH_COLUMNS.items():
        for column in set(columns) & _columns(connection, table):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (after, len(before) + 1, len(before), before),
            )


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a table; an empty set if this version of MLflow has no such table."""
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
