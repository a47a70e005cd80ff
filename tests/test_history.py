from titles.history import Epoch, write_history


def test_the_history_is_a_csv_file_with_a_row_an_epoch(tmp_path):
    write_history([Epoch(1, 0.1, 2.0, 3.0, 0.25, 0.5), Epoch(2, 0.05, 1.0, 2.5, 0.5, 0.75)], tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_bytes() == (
        b"epoch,learning_rate,train_loss,validation_loss,validation_accuracy,validation_balanced_accuracy\n"
        b"1,0.1,2.0,3.0,0.25,0.5\n"
        b"2,0.05,1.0,2.5,0.5,0.75\n"
    )
