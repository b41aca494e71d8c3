"""Ten standard errors of one least-squares fit: ten methods, and one function that answers for all.

Both are 1,000 replicates of statsmodels' OLS in this process. Run: python benchmarks/shared.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import statsmodels.api as sm

from mcstudy import Estimate, Study, grid, run

KINDS = ["nonrobust", "HC0", "HC1", "HC2", "HC3"] * 2
NAMES = tuple(f"{kind}_{i}" for i, kind in enumerate(KINDS))
ROUNDS = 3


def regression(rng: np.random.Generator, *, n: int) -> tuple[Any, Any]:
    """Draw four covariates and an outcome that is their sum with normal errors."""
    x = rng.normal(size=(n, 4))
    return x, x.sum(axis=1) + rng.normal(size=n)


def slope(fit: Any, kind: str) -> dict[str, Estimate]:
    """Return the first slope with one of its standard errors."""
    errors = fit.bse if kind == "nonrobust" else getattr(fit, f"{kind}_se")
    return {"slope": Estimate(fit.params[0], errors[0])}


def alone(kind: str) -> Callable[[Any], dict[str, Estimate]]:
    """Return a method that fits for itself."""
    return lambda data: slope(sm.OLS(data[1], data[0]).fit(), kind)


def together(data: Any) -> dict[str, dict[str, Estimate]]:
    """Return the answers of all methods from one fit."""
    fit = sm.OLS(data[1], data[0]).fit()
    return {name: slope(fit, kind) for name, kind in zip(NAMES, KINDS, strict=True)}


def seconds(methods: dict[Any, Callable[..., Any]]) -> float:
    """Run the study from nothing."""
    study = Study(
        name="shared",
        simulate=regression,
        estimands=lambda *, n: {"slope": 1.0},
        methods=methods,
        conditions=grid(n=[50]),
        replicates=1000,
        seed=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run(study, folder, jobs=1, quiet=True)
        return time.perf_counter() - begun


def main() -> None:
    """Interleave the two; print medians and their ratio."""
    ten = {name: alone(kind) for name, kind in zip(NAMES, KINDS, strict=True)}
    rounds = [(seconds(ten), seconds({NAMES: together})) for _ in range(ROUNDS)]
    apart, shared = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"ten methods {apart:.2f} s, one function {shared:.2f} s: {apart / shared:.1f} times")


if __name__ == "__main__":
    main()
