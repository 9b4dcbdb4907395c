"""Measuring finished models: quality, size and speed, in one table and one JSON file."""
