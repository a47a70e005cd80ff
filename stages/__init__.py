"""The stages of dvc.yaml, one module per stage. Run one by `python -m stages.NAME`."""

import sys
from pathlib import Path

# A queued or temporary experiment runs in its own checkout and must import the package of that checkout.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from titles.core.cpus import set_thread_defaults

# Set before a stage imports NumPy, which reads these variables on import.
set_thread_defaults()
