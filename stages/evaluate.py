"""Both networks and the test titles in; metrics, the tables of the plots, the report, and predictions out."""

from pathlib import Path

from titles.stage import start
from titles.tracking.run import Run


def evaluate(prepared: Path, embedded: Path, mlp: Path, cnn: Path, results: Path, predicted: Path, *, run: Run) -> None:
    """Logs the metrics under the keys of metrics.json, report, tables and plots, as what the pipeline came to."""
    # Imported here, so that a mistake in params.yaml is refused before torch costs its seconds.
    from titles.data.encoded_dataset import LabelledDataset, check_encoded_dataset
    from titles.evaluation.evaluate import evaluate

    check_encoded_dataset(embedded, "train", "validation", "test")
    titles = len(LabelledDataset.load(embedded, "test"))
    run.log_metrics({"rows_in": titles, "rows_out": titles})
    run.log_results(evaluate({"mlp": mlp, "cnn": cnn}, prepared, embedded, results, predicted), results)


if __name__ == "__main__":
    start(evaluate)
