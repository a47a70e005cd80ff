"""Classification metrics, calibration of probabilities, score thresholds, and the training history."""
