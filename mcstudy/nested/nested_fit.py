"""What an exact fit of a data frame answers: `NestedFit`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mcstudy.arrays import Floats
from mcstudy.method import Estimate, Fit, Status
from mcstudy.nested.correlations import CORRELATIONS
from mcstudy.nested.data import NestedData
from mcstudy.nested.frames import FrameData
from mcstudy.nested.maximum import some_variances
from mcstudy.nested.random_effects import Predictions, predictions
from mcstudy.nested.reml import ExactMethod, ml, reml
from mcstudy.nested.solution import COMPONENTS
from mcstudy.nested.variance_test import MIXTURE, TESTED, VarianceTest
from mcstudy.wald import wald_limits

if TYPE_CHECKING:
    import pandas as pd

_WIDTH = 88  # of notes: as the lines of this package's own texts
_ZERO = "; where {} is zero as well, as estimated here, the p-value is too large"


@dataclass(frozen=True, eq=False, repr=False)
class NestedFit:
    """An exact fit of two-level nested data.

    Parameters
    ----------
    variances, std_errors : dict of str to float
        By estimand: ``group1_var``, ``group2_var``, ``unexplained_var``. Standard errors are from
        the observed information, in the units of the variances; NaN for a variance at zero.
    fixed_effects, fixed_effects_std_errors : dict of str to float
        By name, ``intercept`` first.
    llf : float
        Log-likelihood in the convention of statsmodels; restricted under REML.
    status : Status
        How the fit ended.
    message : str
        Why it is not ok, in words.
    iterations : int
        Evaluations of the likelihood; 0 for a closed form.
    restricted : bool
        REML, or ML.
    data : NestedData
        What was fitted, rows sorted.
    rows : FrameData
        The same, with the labels of its groups and the places of its rows in the frame.
    index : pandas.Index
        Of the frame.
    notes : tuple of str
        What in the data may not be as meant.
    """

    variances: dict[str, float]
    std_errors: dict[str, float]
    fixed_effects: dict[str, float]
    fixed_effects_std_errors: dict[str, float]
    llf: float
    status: Status
    message: str
    iterations: int
    restricted: bool
    data: NestedData
    rows: FrameData
    index: pd.Index[Any]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={_number(x)}" for name, x in self.variances.items())
        kind, rows = "REML" if self.restricted else "ML", len(self.data.y)
        return f"<NestedFit {kind} of {rows} rows: {numbers}, status {self.status}>"

    def __str__(self) -> str:
        return self.summary()

    @property
    def aic(self) -> float:
        """Akaike's information criterion; under REML only of models with the same fixed effects."""
        return -2 * self.llf + 2 * self._parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, by the number of rows, as lme4 has it; under REML likewise."""
        return float(-2 * self.llf + np.log(len(self.data.y)) * self._parameters)

    @property
    def _parameters(self) -> int:
        known = sum(not np.isnan(variance) for variance in self.variances.values())
        return known + len(self.fixed_effects)

    @property
    def icc(self) -> dict[str, float]:
        """The correlation of two rows of the same group 1, ``group1``, and of the same group 2.

        They are group1_var, and group1_var + group2_var, over the sum of the variances; with
        weights, of rows of weight 1.
        """
        first, second, rest = self.variances.values()
        total = first + second + rest
        return {"group1": first / total, "group2": (first + second) / total}

    @property
    def fixed(self) -> pd.DataFrame:
        """The fixed effects as a frame, with 95 % intervals: see `fixed_table`."""
        return self.fixed_table()

    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """The predicted random effects, by ``group1`` and ``group2``: best linear unbiased ones.

        A frame has a row for each group, by its labels, in the order in which the frame has them.
        Its columns are `value`; `std_error`, of value minus effect, with the error of the fixed
        effects; and `conditional_sd`, that of the effect given the data and the fixed effects,
        which lme4 prints. Both take the variances as known. They are NaN for effects whose variance
        the design cannot tell.
        """
        import pandas as pd

        cells, found = self.rows.cells, self._predictions
        group1 = cells.drop_duplicates(cells.columns[:1]).iloc[:, 0]
        index1, index2 = pd.Index(group1), pd.MultiIndex.from_frame(cells)
        columns = ("value", "std_error", "conditional_sd")
        groups = (("group1", index1, found.group1), ("group2", index2, found.group2))
        return {
            name: pd.DataFrame(dict(zip(columns, of, strict=True)), index=index)
            for name, index, of in groups
        }

    @property
    def fitted(self) -> pd.Series[Any]:
        """Fixed effects and predicted random effects of each row, in the order of the frame."""
        return self._of_rows("fitted", self._predictions.fitted)

    @property
    def residuals(self) -> pd.Series[Any]:
        """The response less `fitted`, in the order of the frame; with weights as without."""
        return self._of_rows("residual", self.data.y - self._predictions.fitted)

    def interval(
        self, kind: str, level: float = 0.95, *, rng: np.random.Generator | None = None
    ) -> dict[str, tuple[float, float]]:
        """Return limits for each variance for which the interval exists.

        Parameters
        ----------
        kind : str
            A name that `reml.with_intervals` takes.
        level : float
            Nominal coverage.
        rng : numpy.random.Generator, optional
            For the kinds that simulate; made from seed 0 where not given.

        Raises
        ------
        ValueError
            For a name that is no interval's, or a level outside of 0 to 1.
        """
        answer = self._answer(self._method.with_intervals(kind, level=level), rng)
        intervals = {name: of.intervals or {} for name, of in answer.estimates.items()}
        return {name: limits[kind] for name, limits in intervals.items() if kind in limits}

    def icc_interval(
        self, kind: str = "profile", level: float = 0.95
    ) -> dict[str, tuple[float, float]]:
        """Return limits for each intraclass correlation, ``group1`` and ``group2``.

        Parameters
        ----------
        kind : str
            ``"profile"``, by the profile likelihood, or ``"logit"``, Wald on the logit scale, which
            does not exist for a correlation of 0.
        level : float
            Nominal coverage.

        Raises
        ------
        ValueError
            For a name that is no interval's, or a level outside of 0 to 1.
        """
        answer = self._answer(self._method.with_intervals(level=level).with_icc(kind))
        return {
            name.removesuffix("_icc"): (answer.estimates[name].intervals or {})[kind]
            for name in CORRELATIONS
        }

    def fixed_table(self, level: float = 0.95) -> pd.DataFrame:
        """Return the fixed effects as a frame, with t by Satterthwaite's degrees of freedom.

        Parameters
        ----------
        level : float
            Nominal coverage of the limits.

        Returns
        -------
        pandas.DataFrame
            By name: estimate, std_error, df, t, p_value (of 0, two-sided), lower, upper.

        Raises
        ------
        ValueError
            For a level outside of 0 to 1.
        """
        import pandas as pd

        answer = self._answer(self._method.with_intervals(level=level).with_fixed_effects())
        rows: dict[str, list[float]] = {}
        for name in self.fixed_effects:
            of: Estimate = answer.estimates[name]
            limits = wald_limits(of.value, of.std_error if of.df > 0 else np.nan, level, of.df)
            rows[name] = [of.value, of.std_error, of.df, _t_of(of), of.p_value, *map(float, limits)]
        columns = ["estimate", "std_error", "df", "t", "p_value", "lower", "upper"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def test_variance(self, name: str) -> VarianceTest:
        """Test that the variance of group 1, or of group 2, is zero, by likelihood ratio.

        Parameters
        ----------
        name : str
            ``"group1_var"`` or ``"group2_var"``; the other one is free under both hypotheses.

        Returns
        -------
        VarianceTest
            Its statistic, p-value and mixture law; NaN where the design cannot tell the variance.

        Raises
        ------
        ValueError
            For another name.
        """
        answer = self._answer(self._method.with_intervals().with_tests(name))
        [other] = (each for each in TESTED if each != name)
        return VarianceTest(
            name,
            (answer.diagnostics or {})[f"{name}_lrt"],
            answer.estimates[name].p_value,
            MIXTURE + (_ZERO.format(other) if self.variances[other] == 0 else ""),
        )

    def summary(self, level: float = 0.95) -> str:
        """Return the fit as a text table.

        Intervals are Wald on the log scale for variances, and by the profile likelihood for
        intraclass correlations; those of the fixed effects are in `fixed_table`.
        """
        groups, cells = (int(place[-1]) + 1 for place in self.data.design.places)
        heading = [
            f"Two-level nested data, {'REML' if self.restricted else 'ML'}",
            f"{len(self.data.y)} rows, {groups} groups, {cells} groups within groups"
            + (", weighted" if self.data.weights is not None else ""),
            f"log-likelihood {self.llf:.6f}   status {self.status}"
            + (f" ({self.message})" if self.message else ""),
        ]
        method = self._method.with_intervals("log", level=level).with_icc("profile")
        of = self._answer(method.with_fixed_effects()).estimates
        variances, shares, fixed = (
            {name: of[name] for name in names}
            for names in (COMPONENTS, CORRELATIONS, self.fixed_effects)
        )
        return _summary_text(heading, (variances, shares), fixed, self.notes, level)

    @property
    def _method(self) -> ExactMethod:
        return reml if self.restricted else ml

    def _answer(self, method: ExactMethod, rng: np.random.Generator | None = None) -> Fit:
        return method(self.data, rng or np.random.default_rng(0))

    @cached_property
    def _predictions(self) -> Predictions:
        """What can be told of the random effects: that of group 1 alone, for a row a cell."""
        given = np.array(list(self.variances.values()))
        first, second, rest = known = np.isfinite(given)
        variances = given
        if np.isfinite(self.llf) and not known.all():
            variances = some_variances(self.data, reml=self.restricted)
        found = predictions(self.data, variances)
        return Predictions(
            found.group1 if first else found.group1.missing,
            found.group2 if second else found.group2.missing,
            found.fitted if rest else np.full_like(found.fitted, np.nan),
        )

    def _of_rows(self, name: str, values: Floats) -> pd.Series[Any]:
        import pandas as pd

        there = np.empty(len(values))
        there[self.rows.order] = values
        return pd.Series(there, index=self.index, name=name)


def _summary_text(
    heading: Sequence[str],
    components: Sequence[Mapping[str, Estimate]],
    fixed: Mapping[str, Estimate],
    notes: Sequence[str],
    level: float,
) -> str:
    """Return a heading, blocks of components with their interval, fixed effects, and notes."""
    width = max(18, *(len(name) + 1 for name in fixed))
    head = f"{'':<{width}}{'estimate':>14}{'std. error':>14}"
    lines = [*heading, "", f"{head}{f'{100 * level:g} % interval':>30}"]
    for place, block in enumerate(components):
        lines += [""] if place else []
        for name, of in block.items():
            [(lower, upper)] = (of.intervals or {}).values()
            lines += [f"{_begin(name, of, width)}  {_number(lower):>12} to {_number(upper):>12}"]
    lines += ["", f"{head}{'df':>10}{'t':>10}{'p-value':>12}"]
    for name, of in fixed.items():
        test = f"{_number(of.df, 4):>10}{_number(_t_of(of), 4):>10}{_number(of.p_value, 4):>12}"
        lines += [_begin(name, of, width) + test]
    for note in notes:
        lines += ["", textwrap.fill(f"note: {note}", _WIDTH, subsequent_indent="  ")]
    return "\n".join(lines)


def _number(value: float, digits: int = 6) -> str:
    """Return a number in short, a dash where it is missing."""
    return "-" if np.isnan(value) else format(value, f".{digits}g")


def _t_of(of: Estimate) -> float:
    """Return an estimate over its standard error; missing where that is 0."""
    return float(of.value / of.std_error) if of.std_error else np.nan


def _begin(name: str, of: Estimate, width: int) -> str:
    return f"{name:<{width}}{_number(of.value):>14}{_number(of.std_error):>14}"
