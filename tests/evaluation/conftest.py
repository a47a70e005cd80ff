import pytest

from tests.evaluation.workspace import Workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """An evaluated workspace; tests must not change its results."""
    made = Workspace(tmp_path_factory.mktemp("workspace"))
    made.metrics = made.evaluate()
    return made
