"""Accuracy of decisions, calibration of probabilities, thresholds, and the history of epochs."""
