"""What simulate often does to data and neither numpy nor scipy has: missing values, contamination.

Correlated normals are ``rng.multivariate_normal``; most other laws are in `scipy.stats`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mcstudy.arguments import is_number, short
from mcstudy.arrays import Floats
from mcstudy.errors import StudyError


def make_missing(
    rng: np.random.Generator, x: Any, share: float, *, by: Any = None, slope: float = 1.0
) -> Floats:
    """Return a copy of an array in which some values are missing, NaN.

    Parameters
    ----------
    rng : numpy.random.Generator
        The replicate's.
    x : array of shape (n,) or (n, k)
        The values; each is lost independently of the others.
    share : float
        The expected share of missing values, from 0 to below 1.
    by : array of shape (n,), optional
        A covariate that is itself observed: values are missing at random given it. The log odds of
        a missing value rise by `slope` with each standard deviation of it, and are such that the
        mean probability over these n is `share`. Without it values are missing completely at
        random (Rubin 1976, Biometrika 63:581).
    slope : float, default 1.0
        Of the log odds; below 0 they fall.

    Returns
    -------
    array of float
        Of the shape of `x`.

    Raises
    ------
    StudyError
        For a share or a covariate that cannot be used.
    """
    values = np.array(x, dtype=float)
    if not is_number(share) or not 0 <= share < 1:
        raise StudyError(f"make_missing: share is {short(share)}; give a number from 0 to below 1")
    chance: Any = share
    if by is not None and share > 0:
        covariate = np.asarray(by, dtype=float)
        if covariate.shape != values.shape[:1] or not np.isfinite(covariate).all():
            raise StudyError(
                f"make_missing: by has the shape {covariate.shape} for x of {values.shape}; give "
                "one finite number for each row"
            )
        chance = _logistic_chances(covariate, float(share), float(slope))
        chance = chance.reshape(-1, *[1] * (values.ndim - 1))
    values[rng.random(values.shape) < chance] = np.nan
    return values


def _logistic_chances(covariate: Floats, share: float, slope: float) -> Floats:
    """Return chances of mean `share` whose log odds are a line in a covariate."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    spread = covariate.std()
    z = slope * (covariate - covariate.mean()) / spread if spread > 0 else 0.0 * covariate
    wide = float(np.abs(z).max(initial=0.0)) + 1.0
    centre = float(logit(share))
    # Odds that are all higher, or all lower, by as much as any z have a mean on either side.
    at = brentq(lambda a: float(expit(a + z).mean()) - share, centre - wide, centre + wide)
    chances: Floats = expit(at + z)
    return chances


def contaminate(
    rng: np.random.Generator, x: Any, share: float, *, shift: float = 0.0, scale: float = 1.0
) -> Floats:
    """Return a copy of an array in which some values are others: ``shift + scale * x``.

    With standard normal values and ``scale=3`` it is the contaminated normal distribution (Tukey
    1960).

    Parameters
    ----------
    rng : numpy.random.Generator
        The replicate's.
    x : array
        The values; each is contaminated independently of the others.
    share : float
        The expected share of contaminated values, from 0 to 1.
    shift, scale : float, optional
        What becomes of them.

    Returns
    -------
    array of float
        Of the shape of `x`.

    Raises
    ------
    StudyError
        For a share that is none.
    """
    if not is_number(share) or not 0 <= share <= 1:
        raise StudyError(f"contaminate: share is {short(share)}; give a number from 0 to 1")
    values = np.array(x, dtype=float)
    return np.where(rng.random(values.shape) < share, shift + scale * values, values)
