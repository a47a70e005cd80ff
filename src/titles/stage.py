"""Run a stage: take its paths from the command line and its sections from params.yaml, log it to MLflow."""

import inspect
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from titles.core.config import load_params
from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.core.memory import peak_memory_mb
from titles.core.progress import format_seconds
from titles.nn import distributed
from titles.tracking.run import Run, log_failed_run, start_run

log = logging.getLogger(__name__)


def start(stage: Callable[..., None]) -> None:
    """Call `stage` with the paths of the command line, its run and its sections of params.yaml.

    The signature of `stage` matches its entry in dvc.yaml: the paths of `cmd`, the run, the sections of `params`.
    Leading paths of type `Path | None` are optional on the command line.
    An error that the user can correct ends the process with status 1 and one line that says how.
    """
    level = logging.INFO if distributed.rank() == 0 else logging.WARNING
    logging.basicConfig(level=level, format=f"%(asctime)s {stage.__name__}: %(message)s", datefmt="%H:%M:%S")
    parameters = inspect.signature(stage, eval_str=True).parameters.values()
    names = [p.name.upper() if p.annotation is Path else f"[{p.name.upper()}]" for p in parameters if _is_path(p)]
    sections = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY and p.annotation is not Run}
    num_omitted = len(names) - len(sys.argv[1:])
    if not 0 <= num_omitted <= sum(name.startswith("[") for name in names):
        sys.exit(f"usage: python -m stages.{stage.__name__} {' '.join(names)}")
    try:
        params = load_params(Path("params.yaml"), sections)
    except InputError as error:
        log_failed_run(stage.__name__, list(sections), error)
        sys.exit(f"{stage.__name__}: {error}")
    try:
        with start_run(stage.__name__, list(sections)) as run, disk_full_as_input_error(Path(sys.argv[-1])):
            started = time.monotonic()
            stage(*[None] * num_omitted, *map(Path, sys.argv[1:]), run=run, **params)
            _log_cost(run, time.monotonic() - started)
    except InputError as error:
        sys.exit(f"{stage.__name__}: {error}")
    except KeyboardInterrupt:
        is_training = stage.__name__.startswith("train")
        purpose = "to resume from its last checkpoint" if is_training else "from the start; its old outputs are intact"
        sys.exit(f"{stage.__name__}: stopped; run it again {purpose}")


def _is_path(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (Path, Path | None)


def _log_cost(run: Run, seconds: float) -> None:
    peak_mb = peak_memory_mb()
    log.info("done in %s, peak memory %.0f MB", format_seconds(seconds), peak_mb)
    run.log_metrics({"seconds": seconds, "peak_memory_mb": peak_mb})
