"""Both networks and the test titles in; metrics, the tables of the plots, and predictions out."""

from pathlib import Path

from titles.stage import start
from titles.tracking import Run


def evaluate(prepared: Path, embedded: Path, mlp: Path, cnn: Path, results: Path, predicted: Path, *, run: Run) -> None:
    """Logs the metrics under the keys of metrics.json, and the tables."""
    # Imported here, so that a mistake in params.yaml is refused before torch costs its seconds.
    from titles.evaluation import evaluate

    run.log_metrics(evaluate({"mlp": mlp, "cnn": cnn}, prepared, embedded, results, predicted))
    for table in sorted(results.glob("*.csv")):
        run.log_artifact(table)


if __name__ == "__main__":
    start(evaluate)
