"""A measure's number to text: the value and its error to the digits that the error allows."""

from __future__ import annotations

import math

FEW_MISSING = 0.01  # of the intervals: so few move a coverage by less than its usual error
BOUNDS_MEANING = "[a, b]: the share if missing intervals (over 1 %) count as 0, and as 1"
ROUNDING = 1e-12  # of the value: a smaller error is that of the arithmetic


def number_with_error(
    value: float, mcse: float, lower: float = math.nan, upper: float = math.nan
) -> str:
    """Return ``value (mcse)``: the error to two digits, the value to the same decimals.

    Where the error is 0, as that of a share of 1 is, the Monte Carlo limit on the other side stands
    in its place: ``1 (>0.91)``.
    """
    if math.isnan(value):
        return "-"
    if math.isinf(value) or not math.isfinite(mcse):
        return f"{value:.4g} (-)"
    if mcse <= ROUNDING * abs(value):
        return f"{value:.4g} ({_one_sided(value, lower, upper)})"
    digit = math.floor(math.log10(float(f"{mcse:.1e}")))
    places = max(0, 1 - digit)
    if places > 6 or digit > 5:
        size = math.floor(math.log10(abs(value))) if value else digit
        return f"{value:.{min(max(size - digit + 1, 0), 6)}e} ({mcse:.1e})"
    text = f"{value:.{places}f}"
    shown = text if text.strip("-0.") else text.removeprefix("-")  # no minus before a zero
    return f"{shown} ({mcse:.{places}f})"


def coverage_bounds(
    measure: str, value: float, used: int, replicates: int
) -> tuple[float, float] | None:
    """Return a coverage or rejection rate with missing intervals counted as 0, and as 1.

    None for another measure, where few intervals are missing and where there are none.

    Parameters
    ----------
    measure : str
        Bounds are those of ``"coverage"`` and ``"rejection"``.
    value : float
        Of the intervals that exist.
    used, replicates : int
        How many exist, of how many.
    """
    missing = replicates - used
    if measure not in ("coverage", "rejection") or not used or missing <= FEW_MISSING * replicates:
        return None
    hits = value * used
    return hits / replicates, (hits + missing) / replicates


def bounds_in_words(bounds: tuple[float, float] | None) -> str:
    """Return bounds as ``[0.75, 0.99]``, nothing where there are none."""
    return "" if bounds is None else f"[{bounds[0]:.2f}, {bounds[1]:.2f}]"


def _one_sided(value: float, lower: float, upper: float) -> str:
    """Return what the limits still say of a value whose error is 0; "0" if they say nothing."""
    below, above = value - lower, upper - value
    if max(below, above) <= ROUNDING * abs(value):
        return "0"
    if below > 0 and not above > 1e-12:
        places = max(2, -math.floor(math.log10(below)))
        return f">{math.floor(lower * 10**places) / 10**places:.{places}f}"
    if above > 0 and not below > 1e-12:
        places = max(2, -math.floor(math.log10(above)))
        return f"<{math.ceil(upper * 10**places) / 10**places:.{places}f}"
    if min(below, above) > 0:
        places = max(2, -math.floor(math.log10(max(below, above))))
        return f"±{math.ceil(max(below, above) * 10**places) / 10**places:.{places}f}"
    return "0"
