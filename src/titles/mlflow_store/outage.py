"""Distinguish an unreachable artifact store from one that rejects a file."""

from collections.abc import Iterator

import requests
from mlflow import MlflowClient

# requests' own errors are not subclasses of the built-in ones.
CONNECTION_ERRORS = (ConnectionError, TimeoutError, requests.ConnectionError, requests.Timeout)


def is_outage(error: BaseException) -> bool:
    """Whether the error or one that led to it is a failed connection: MLflow raises its own error in their place."""
    return any(isinstance(link, CONNECTION_ERRORS) for link in _error_chain(error))


def _error_chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def check_artifact_store(client: MlflowClient, run_id: str) -> None:
    """Raise the error of the artifact store if it cannot be reached. It need not allow to list files."""
    try:
        client.list_artifacts(run_id)
    except Exception as error:
        if is_outage(error):
            raise
