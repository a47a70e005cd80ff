"""The store that a checkout has of its own."""

import pytest

from tests.repository import Repository
from tests.tracking.any_store import *  # noqa: F403 - its tests
from tests.tracking.any_store import numbered

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Its store is not there yet."""
    return numbered(tmp_path_factory.mktemp("repository"), None)
