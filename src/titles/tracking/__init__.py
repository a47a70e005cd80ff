"""MLflow at the edge: a parent run for each run of the pipeline, a child for each stage, however they are started.

A stage says what it does (`run`) to a process of its own (`recorder`), which alone knows MLflow: so a training's
process is as it is without MLflow, a store that fails holds nothing up, and a stage that is killed leaves a run that
says so.
"""
