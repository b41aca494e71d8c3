"""Simulation studies of statistical methods, every number with its Monte Carlo standard error."""

from mcstudy.method import Estimate, Fit, Status, batched

__all__ = ["Estimate", "Fit", "Status", "batched"]
__version__ = "0.1.0"
