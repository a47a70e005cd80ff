"""Make a moved or copied checkout whole: MLflow keeps absolute paths of artifacts, which lead to the old place."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from titles.core.errors import InputError

log = logging.getLogger(__name__)

ARTIFACTS_FOLDER = "mlartifacts"
# Where MLflow's tables hold a path, or a URI with one.
PATH_COLUMNS = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}


def relocate(root: Path, database: Path) -> None:
    """Let a SQLite store within the checkout in `root` name the artifacts that lie there.

    Raises InputError where they were left behind.
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
            # Paths and URIs, up to a slash, so that /a/b is not taken for the start of /a/bc.
            for before, after in ((f"{old}/", f"{root}/"), (f"{old.as_uri()}/", f"{root.as_uri()}/")):
                _replace(connection, before, after)


def _old_roots(connection: sqlite3.Connection, root: Path) -> Iterator[Path]:
    """The other checkouts whose artifacts the experiments name."""
    if not _columns(connection, "experiments"):
        return
    found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    for location in (urlsplit(location) for (location,) in found if location):
        place = Path(unquote(location.path))
        if location.scheme == "file" and place.name == ARTIFACTS_FOLDER and not _is_same(place.parent, root):
            yield place.parent


def _is_same(one: Path, other: Path) -> bool:
    """Also where a link leads to it."""
    return one == other or (one.exists() and one.samefile(other))


def _replace(connection: sqlite3.Connection, before: str, after: str) -> None:
    for table, columns in PATH_COLUMNS.items():
        for column in set(columns) & _columns(connection, table):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (after, len(before) + 1, len(before), before),
            )


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """None where another version of MLflow has no such table."""
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
