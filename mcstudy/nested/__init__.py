"""Studies of the variance components of two-level nested data.

`generate_nested` simulates, `variances`, `correlations` and `coefficients` have the truths, and the
methods are

- `reml` and `ml`: the exact engine, with every kind of interval;
- `formula` and `matrices`: statsmodels MixedLM by its two ways of stating the model;
- `matrices_tight` and `matrices_signed`: the same, repaired step by step.

`fit` fits anybody's data frame, `exact_law` knows the performance of `reml` and `ml` beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcstudy.nested.data import NestedBatch, NestedData, NestedDesign
from mcstudy.nested.exact_law import exact_law
from mcstudy.nested.fit import fit
from mcstudy.nested.generate import coefficients, correlations, generate_nested, variances
from mcstudy.nested.nested_fit import NestedFit
from mcstudy.nested.reml import ml, reml
from mcstudy.nested.variance_test import VarianceTest

if TYPE_CHECKING:
    from mcstudy.nested.mixedlm import formula, matrices, matrices_signed, matrices_tight

__all__ = [
    "NestedBatch",
    "NestedData",
    "NestedDesign",
    "NestedFit",
    "VarianceTest",
    "coefficients",
    "correlations",
    "exact_law",
    "fit",
    "formula",
    "generate_nested",
    "matrices",
    "matrices_signed",
    "matrices_tight",
    "ml",
    "reml",
    "variances",
]


def __getattr__(name: str) -> Any:
    """Import statsmodels when one of its methods is first used: it takes a second."""
    if name not in __all__:
        raise AttributeError(f"module 'mcstudy.nested' has no attribute {name!r}")
    from mcstudy.nested import mixedlm

    return getattr(mixedlm, name)
