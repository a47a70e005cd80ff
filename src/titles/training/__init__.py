"""The training loop: loader, step, validation, checkpoints, and the search for suspect labels."""
