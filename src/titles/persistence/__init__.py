"""The model folder: load it, and write its model card."""
