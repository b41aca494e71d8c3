"""Studies of the variance components of two-level nested data."""

from mcstudy.nested.data import NestedBatch, NestedData, NestedDesign
from mcstudy.nested.generate import generate_nested, variances

__all__ = ["NestedBatch", "NestedData", "NestedDesign", "generate_nested", "variances"]
