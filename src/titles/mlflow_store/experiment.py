"""The MLflow experiment that runs are logged to: found by id or by name, created if no experiment has the name."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException

from titles.core.errors import InputError
from titles.mlflow_store.values import NOTE_TAG

# Selects how the MLflow UI shows an experiment. The UI of MLflow 3.17 goes by its address instead, see tracking/ui.py.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
EXPERIMENT_NOTE = "A run is a run of the DVC pipeline; the runs below it are its stages."
ID_VARIABLE = "MLFLOW_EXPERIMENT_ID"


def find_or_create_experiment(client: MlflowClient, name: str, experiment_id: str | None, artifacts: str | None) -> str:
    """Return the id of the experiment with `experiment_id`, or without one of the experiment called `name`.

    `artifacts` is the artifact location of a new experiment, by default that of the server.
    Raise InputError if no experiment has the id, or if the experiment was deleted.
    """
    if experiment_id is not None:
        return _active_id(client, _get_by_id(client, experiment_id))
    for _ in range(2):
        if experiment := client.get_experiment_by_name(name):
            return _active_id(client, experiment)
        try:
            return client.create_experiment(name, artifacts, EXPERIMENT_TAGS | {NOTE_TAG: EXPERIMENT_NOTE})
        except MlflowException as error:
            # Another machine may have created it in the meantime.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    raise MlflowException(f"the experiment {name} neither exists nor can be created")


def _get_by_id(client: MlflowClient, experiment_id: str) -> Experiment:
    try:
        return client.get_experiment(experiment_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise InputError(
            f"{ID_VARIABLE} is {experiment_id!r}, which is the id of no experiment in MLflow; correct it, "
            "or unset it and name an experiment in MLFLOW_EXPERIMENT_NAME, or run without MLflow: TITLES_TRACKING=off"
        ) from None


def _active_id(client: MlflowClient, experiment: Experiment) -> str:
    """Return the id of an experiment that was not deleted, and add the tags it lacks."""
    experiment_id = str(experiment.experiment_id)
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        raise InputError(_deleted_message(experiment.name, experiment_id, client.tracking_uri))
    if not EXPERIMENT_TAGS.keys() <= experiment.tags.keys():
        # A user who may log runs may still lack the permission to edit the experiment.
        with suppress(MlflowException):
            for tag, value in EXPERIMENT_TAGS.items():
                client.set_experiment_tag(experiment_id, tag, value)
    return experiment_id


def _deleted_message(name: str, experiment_id: str, uri: str) -> str:
    """Say how to restore the experiment. The address of a server is left out: the user's environment has it already."""
    store = f"MLFLOW_TRACKING_URI={shlex.quote(uri)} " if uri.startswith("sqlite:") else ""
    return (
        f"the experiment {name} was deleted in MLflow; restore it: {store}mlflow experiments restore --experiment-id "
        f"{experiment_id}; or name another in MLFLOW_EXPERIMENT_NAME, or run without MLflow: TITLES_TRACKING=off"
    )


@contextmanager
def unchanged_id_variable() -> Iterator[None]:
    """Restore MLFLOW_EXPERIMENT_ID afterwards: `mlflow.set_experiment` overwrites what the user set."""
    before = os.environ.get(ID_VARIABLE)
    yield
    if before is None:
        os.environ.pop(ID_VARIABLE, None)
    else:
        os.environ[ID_VARIABLE] = before
