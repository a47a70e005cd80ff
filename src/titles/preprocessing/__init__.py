"""From raw files to arrays: the stages prepare, reduce and embed, on DuckDB or Spark."""
