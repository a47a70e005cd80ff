"""Predict categories with trained models: `Classifier` in Python, and batch prediction of files."""
