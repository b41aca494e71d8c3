"""Rows on disk: parts, the tables made of them, and the record of what made both."""
