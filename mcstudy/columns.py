"""The columns of the tables: the one list from which tables are made and names are refused."""

from __future__ import annotations

CONDITION = "condition"
FIT = (CONDITION, "replicate", "method")
"""What tells fits apart."""
WARNED = "warned"
"""Of `fits`, whether there was a warning; the measure of `performance` that is its share."""
WARNED_MEANING = "of these fits, whatever their status, the simulation or the method gave a warning"
ENDING = ("status", "message", WARNED)
"""How a fit ended, before the method's own diagnostics."""
WORDS = ("method", "reference", "estimand", "interval", "measure")
"""What tells the numbers of `performance` and `comparisons` apart, beside the factors."""
VALUES = ("value", "mcse", "lower", "upper")
COUNTS = ("used", "replicates")
REACHED = "reached"
"""Of `performance`, where the study has a precision: whether the number has it."""
NUMBERS = (*VALUES, *COUNTS, REACHED)
BESIDE_FACTORS = frozenset((*FIT, *WORDS, *NUMBERS))
"""What stands in a table, or is asked for by a function, that has the factors too."""
BESIDE_DIAGNOSTICS = (*FIT, *ENDING)
