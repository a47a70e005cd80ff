"""The store that a checkout has of its own."""

import pytest

from tests.any_store import *  # noqa: F403 - its tests
from tests.repository import Repository, committed

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Committed but never run, and its store is not there yet."""
    return committed(tmp_path_factory.mktemp("repository"), None)
