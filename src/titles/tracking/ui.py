"""Open the MLflow UI on the store of this checkout: `python -m titles.tracking.ui`, or `make ui`."""

import os
import sys

from titles.core.errors import InputError
from titles.mlflow_store.credentials import redact, redact_logs
from titles.mlflow_store.paths import main_root, tracking_uri
from titles.tracking.uploader import connect


def main() -> None:
    """Print the address of the runs. If the store is a database, become `mlflow ui`."""
    redact_logs()
    root = main_root()
    uri = tracking_uri(root)
    try:
        experiment_id = connect(root).experiment_id
    except InputError as error:
        sys.exit(f"ui: {error}")
    is_server = uri.startswith("http")
    server = redact(uri).rstrip("/") if is_server else f"http://localhost:{os.environ.get('MLFLOW_PORT', 5000)}"
    # Without the parameter, the UI shows traces and agent versions, whatever the kind of the experiment.
    print(f"open {server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning", flush=True)
    if not is_server:
        # In the environment, as all users of this machine can read command lines.
        os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
        os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui"])


if __name__ == "__main__":
    main()
