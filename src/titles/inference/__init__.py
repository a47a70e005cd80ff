"""Predict categories: `Classifier` in Python, and whole files."""
