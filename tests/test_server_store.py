"""A real server, on a real database."""

import pytest

from tests.any_store import *  # noqa: F403 - its tests
from tests.any_store import numbered
from tests.repository import Repository
from tests.servers import MlflowServer

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def repository(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Nothing is in its store yet."""
    return numbered(tmp_path_factory.mktemp("repository"), server.uri)
