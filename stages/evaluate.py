"""Stage evaluate: write metrics, tables, plots, report and predictions of both networks on the test titles."""

from pathlib import Path

from titles.stage import start
from titles.tracking.run import Run


def evaluate(prepared: Path, embedded: Path, mlp: Path, cnn: Path, results: Path, predicted: Path, *, run: Run) -> None:
    """Log the results of the pipeline: metrics under their keys in metrics.json, report, tables and plots."""
    # Imported here because torch takes seconds to load: a mistake in params.yaml is reported before that.
    from titles.data.encoded_dataset import LabelledDataset, check_encoded_dataset
    from titles.evaluation.evaluate import evaluate

    check_encoded_dataset(embedded, "train", "validation", "test")
    titles = len(LabelledDataset.load(embedded, "test"))
    run.log_metrics({"rows_in": titles, "rows_out": titles})
    run.log_results(evaluate({"mlp": mlp, "cnn": cnn}, prepared, embedded, results, predicted), results)


if __name__ == "__main__":
    start(evaluate)
