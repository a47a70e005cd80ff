"""The model folder and its model card."""
