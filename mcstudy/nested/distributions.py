"""Shapes of random effects and errors, each drawn with mean 0 and standard deviation 1."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mcstudy.arrays import Floats

Draw = Callable[[np.random.Generator, int], Floats]

_CALL = re.compile(r"(\w+)\s*(?:\(([^()]*)\))?")


@lru_cache(maxsize=256)
def shape(text: str) -> Draw:
    """Return what draws from a shape given in words.

    Parameters
    ----------
    text : str
        ``"normal"``, ``"t(df)"`` with df above 2, ``"chi_square(df)"``, or
        ``"contaminated(share, ratio)"``: normal, a share of it with `ratio` times the standard
        deviation of the rest.

    Raises
    ------
    ValueError
        For any other text.
    """
    found = _CALL.fullmatch(text.strip()) if isinstance(text, str) else None
    maker = _SHAPES.get(found[1]) if found else None
    try:
        if found is None or maker is None:
            raise ValueError
        return maker(*(float(number) for number in (found[2] or "").split(",") if number.strip()))
    except (TypeError, ValueError):
        raise ValueError(
            f"the shape {text!r} is not known; write normal, t(5), chi_square(3) or "
            "contaminated(0.1, 5)"
        ) from None


def _student_t(df: float) -> Draw:
    if not 2 < df < np.inf:
        raise ValueError
    return lambda rng, size: rng.standard_t(df, size) * np.sqrt((df - 2) / df)


def _chi_square(df: float) -> Draw:
    if not 0 < df < np.inf:
        raise ValueError
    return lambda rng, size: (rng.chisquare(df, size) - df) / np.sqrt(2 * df)


def _contaminated(share: float, ratio: float) -> Draw:
    if not (0 <= share <= 1 and 0 < ratio < np.inf):
        raise ValueError
    whole = np.sqrt(1 - share + share * ratio**2)

    def draw(rng: np.random.Generator, size: int) -> Floats:
        values = rng.standard_normal(size)
        values[rng.random(size) < share] *= ratio
        standardised: Floats = values / whole
        return standardised

    return draw


_SHAPES: dict[str, Callable[..., Draw]] = {
    "normal": lambda: lambda rng, size: rng.standard_normal(size),
    "t": _student_t,
    "chi_square": _chi_square,
    "contaminated": _contaminated,
}
