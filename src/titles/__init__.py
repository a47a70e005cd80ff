"""Short product titles to categories: cleaned, numbered, learned, judged."""

__version__ = "1.0.0"
