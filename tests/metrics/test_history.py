import math

from titles.metrics.history import EpochMetrics, write_history


def test_the_history_is_a_csv_file_with_one_row_per_epoch(tmp_path):
    write_history(
        [EpochMetrics(1, 0.1, 2.0, 3.0, 0.25, 0.5, 0.1), EpochMetrics(2, 0.05, 1.0, 2.5, 0.5, 0.75, 0.2)],
        tmp_path / "h.csv",
    )
    assert (tmp_path / "h.csv").read_bytes() == (
        b"epoch,learning_rate,train_loss,validation_loss,"
        b"validation_accuracy,validation_balanced_accuracy,validation_standard_error\n"
        b"1,0.1,2.0,3.0,0.25,0.5,0.1\n"
        b"2,0.05,1.0,2.5,0.5,0.75,0.2\n"
    )


def test_a_loss_of_nan_is_an_empty_cell(tmp_path):
    write_history([EpochMetrics(1, 0.1, 2.0, math.nan, 0.0, 0.0, 0.1)], tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().splitlines()[1] == "1,0.1,2.0,,0.0,0.0,0.1"
