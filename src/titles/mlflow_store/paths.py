"""Where things are, the same for every checkout that DVC makes of one repository."""

import os
import re
from pathlib import Path

NESTED_CHECKOUTS = ".dvc/tmp/exps"


def main_root() -> Path:
    """The root of the checkout the user works in, also from a temporary experiment below it."""
    named = Path(os.environ.get("DVC_ROOT", ""))
    if named.is_absolute() and (named / ".dvc").is_dir():
        return named
    here = Path.cwd()
    before, nested, _ = here.as_posix().partition(f"/{NESTED_CHECKOUTS}/")
    if nested:
        return Path(before)
    return next((folder for folder in [here, *here.parents] if (folder / ".dvc").is_dir()), here)


def tracking_uri(root: Path) -> str:
    """The server or database named by MLFLOW_TRACKING_URI, else mlflow.db in the root."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"{sqlite_uri(root)}/{relative[1]}" if relative else uri


def sqlite_uri(path: Path) -> str:
    """The URL of a database file. SQLAlchemy decodes `%` in it and ends the path at `?`; all else it takes as it is."""
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
    """The folder of what the store has not taken yet."""
    return root / ".dvc/tmp/mlflow"
