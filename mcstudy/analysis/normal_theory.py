"""The published MCSEs, for comparison with rsimsum and Stata's simsum: `mcse="normal"`.

Morris, White & Crowther (2019), Statistics in Medicine 38:2074, Table 6, and for what that table
lacks the large-sample law of normal estimates. The measures that are not here have the same MCSE
either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mcstudy.analysis.mcse import MAD_SCALE
from mcstudy.analysis.measures import Cell
from mcstudy.arrays import Floats
from mcstudy.measure import Measured

_QUARTILE = 0.6744897501960817  # of the normal, as scipy.special.ndtri(0.75) gives it
_QUARTILE_DENSITY = np.exp(-(_QUARTILE**2) / 2) / np.sqrt(2 * np.pi)


def empirical_se(cell: Cell, measured: Measured) -> float:
    """EmpSE / sqrt(2 (n - 1))."""
    return _over_root(measured.value, 2 * (measured.used - 1))


def standardized_bias(cell: Cell, measured: Measured) -> float:
    """sqrt(1/n + value^2 / (2 (n - 1))), mean and standard deviation being independent."""
    n = measured.used
    return float(np.sqrt(1 / n + measured.value**2 / (2 * (n - 1)))) if n > 1 else np.nan


def rmse(cell: Cell, measured: Measured) -> float:
    """sqrt(Var(e^2) / (4 n MSE)), the delta method."""
    return _of_root_mean(cell.error**2, measured.value)


def median_bias(cell: Cell, measured: Measured) -> float:
    """EmpSE sqrt(pi / (2 n))."""
    return _over_root(_sd(cell) * np.sqrt(np.pi / 2), measured.used)


def mad(cell: Cell, measured: Measured) -> float:
    """1.166 EmpSE / sqrt(n)."""
    return _over_root(_sd(cell) * MAD_SCALE / (4 * _QUARTILE_DENSITY), measured.used)


def model_se(cell: Cell, measured: Measured) -> float:
    """sqrt(Var(se^2) / (4 n ModSE^2))."""
    return _of_root_mean(cell.squared_std_error, measured.value)


def relative_error_model_se(cell: Cell, measured: Measured) -> float:
    """(ModSE / EmpSE) sqrt(Var(se^2) / (4 n ModSE^4) + 1 / (2 (n - 1)))."""
    square, n = cell.with_both.squared_std_error, measured.used
    if n < 2:
        return np.nan
    model = square.var(ddof=1) / (4 * n * square.mean() ** 2)
    return float((measured.value + 1) * np.sqrt(model + 1 / (2 * (n - 1))))


def bias_eliminated_coverage(cell: Cell, measured: Measured) -> float:
    """sqrt(p (1 - p) / n), as if the mean were known."""
    p = measured.value
    return _over_root(np.sqrt(p * (1 - p)), measured.used)


NORMAL_MCSE: Mapping[str, Callable[[Cell, Measured], float]] = {
    function.__name__: function
    for function in (
        *(empirical_se, standardized_bias, rmse, median_bias, mad, model_se),
        *(relative_error_model_se, bias_eliminated_coverage),
    )
}


def _sd(cell: Cell) -> float:
    return float(cell.deviation.std(ddof=1)) if len(cell.deviation) > 1 else np.nan


def _over_root(value: float, n: int) -> float:
    return float(value / np.sqrt(n)) if n > 0 else np.nan


def _of_root_mean(squares: Floats, value: float) -> float:
    n = len(squares)
    return float(np.sqrt(squares.var(ddof=1) / (4 * n)) / value) if n > 1 and value > 0 else np.nan
