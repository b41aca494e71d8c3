"""Rows to numbers: measures with their Monte Carlo standard error."""
