import sys
from pathlib import Path

import pytest

from titles.core.errors import InputError
from titles.preprocessing.engine import connect


def test_an_unsupported_engine_is_reported_with_the_allowed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TITLES_ENGINE", "sparkle")
    with (
        pytest.raises(InputError, match=r"^TITLES_ENGINE: 'sparkle' is not an engine; allowed are duckdb, spark$"),
        connect(tmp_path),
    ):
        pass


def test_spark_without_pyspark_is_reported_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TITLES_ENGINE", "spark")
    # Another test of this process may have imported it.
    for module in ("pyspark", "pyspark.errors", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"^TITLES_ENGINE: spark needs PySpark; make spark installs it$"):
        connect(tmp_path).__enter__()
