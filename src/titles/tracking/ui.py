"""MLflow's UI on the store of this checkout: `python -m titles.tracking.ui`, or `make ui`."""

import os
import sys

from titles.errors import InputError
from titles.tracking.credentials import redact
from titles.tracking.delivery import reach
from titles.tracking.location import main_root, tracking_uri


def main() -> None:
    """Become `mlflow ui`, or say where the server is."""
    root = main_root()
    uri = tracking_uri(root)
    if uri.startswith("http"):
        print(f"open {redact(uri)}")
        return
    try:
        # A copied checkout gets its own artifacts here.
        reach(root)
    except InputError as error:
        sys.exit(f"ui: {error}")
    # Not as an argument, which everyone on this machine could read.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui"])


if __name__ == "__main__":
    main()
