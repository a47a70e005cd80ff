"""The two networks: layers, hyperparameters, loss, optimizers and distributed training."""
