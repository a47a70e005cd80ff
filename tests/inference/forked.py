"""Use a classifier in a child forked from a process that has used it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
SCRIPT = """import os, sys, torch
torch.set_num_threads(2)
from {module} import {name}
classifier = {name}.load(sys.argv[1])
titles = [f"mesa palabra{{number}}" for number in range(4096)]
before = classifier.predict(titles)
child = os.fork()
if child == 0:
    os._exit(0 if classifier.predict(titles).category.equals(before.category) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"""


def forked_predict_status(classifier: type, path: Path) -> int:
    """Return 0 if a forked child predicts what its parent does; a child that hangs times out."""
    script = SCRIPT.format(module=classifier.__module__, name=classifier.__name__)
    command, environment = [sys.executable, "-c", script, path], os.environ | {"PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as parent:
        try:
            return parent.wait(120)
        finally:
            if parent.poll() is None:
                os.killpg(parent.pid, signal.SIGKILL)
