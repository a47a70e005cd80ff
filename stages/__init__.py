"""The stages of dvc.yaml, each `python -m stages.NAME`."""

import sys
from pathlib import Path

# A queued or temporary experiment runs in a checkout of its own and must import that checkout's package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from titles.core.cpus import set_thread_defaults

# Here, as every stage imports NumPy before it starts.
set_thread_defaults()
