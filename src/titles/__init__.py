"""Short product titles to categories: cleaned, numbered, learned, judged."""
