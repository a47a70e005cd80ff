"""MLflow tracking: a parent run for each run of the pipeline, with a child run for each stage.

A stage sends events (`run`) to a worker process (`worker`), and only the worker imports MLflow. So MLflow takes no
memory in the process that trains, a failing store does not delay the stage, and the run of a killed stage is marked
as failed.
"""
