"""An invented shop whose titles look like a marketplace's, to try and to measure the pipeline without its data."""
