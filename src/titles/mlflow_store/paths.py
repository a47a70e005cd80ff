"""Root, tracking URI, experiment and spool folder: the same in all checkouts that DVC makes of a repository."""

import os
import re
from pathlib import Path

NESTED_CHECKOUTS = ".dvc/tmp/exps"


def main_root() -> Path:
    """Return the root of the user's checkout, also from the checkout of a temporary experiment below it."""
    dvc_root = Path(os.environ.get("DVC_ROOT", ""))
    if dvc_root.is_absolute() and (dvc_root / ".dvc").is_dir():
        return dvc_root
    current = Path.cwd()
    root, is_nested, _ = current.as_posix().partition(f"/{NESTED_CHECKOUTS}/")
    if is_nested:
        return Path(root)
    return next((folder for folder in [current, *current.parents] if (folder / ".dvc").is_dir()), current)


def tracking_uri(root: Path) -> str:
    """Return MLFLOW_TRACKING_URI, by default the SQLite database mlflow.db in the root."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"{sqlite_uri(root)}/{relative[1]}" if relative else uri


def sqlite_uri(path: Path) -> str:
    """Return the URL of a database file. Quote only `%`, which SQLAlchemy decodes, and `?`, where it ends the path."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def experiment_name() -> str:
    """The name of the MLflow experiment: MLFLOW_EXPERIMENT_NAME, by default `titles`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "titles"


def experiment_id() -> str | None:
    """The id of the MLflow experiment: MLFLOW_EXPERIMENT_ID. None if it is not set, or MLFLOW_EXPERIMENT_NAME is."""
    if os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        return None
    return os.environ.get("MLFLOW_EXPERIMENT_ID") or None


def spool_folder(root: Path) -> Path:
    """Return the folder of the spools, with the events that are not in the store yet."""
    return root / ".dvc/tmp/mlflow"
