"""Read files of titles (CSV, JSON Lines, Parquet) and write tables."""
