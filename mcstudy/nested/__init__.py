"""Studies of the variance components of two-level nested data."""
