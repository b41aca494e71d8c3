"""The exact engine against the dense formula, lme4 and published answers."""

import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plain_likelihood import plain_likelihood

from mcstudy import Status, nested
from mcstudy.errors import StudyError
from mcstudy.nested import NestedBatch, NestedData, NestedDesign
from mcstudy.nested.cells import cells_of
from mcstudy.nested.optimizer import least_deviance, maximise
from mcstudy.nested.reml import KINDS
from mcstudy.nested.solution import COMPONENTS
from mcstudy.nested.solve import as_batch, reduced, solve
from mcstudy.nested.sufficient import sums_of

REFERENCE = Path(__file__).parent / "reference"
SDS = [(2, 3, 4), (0, 3, 4), (2, 0, 4), (0, 0, 4), (10, 0.1, 1)]


def simulated(sizes, sds, replicates, seed=0):
    rngs = [np.random.default_rng([seed, i]) for i in range(replicates)]
    names = ("n_group1", "n_group2", "n_rep", "group1_sd", "group2_sd", "unexplained_sd")
    return nested.generate_nested.batch(rngs, **dict(zip(names, (*sizes, *sds), strict=True)))


def random_batch(seed, replicates=4):
    """Return replicates of a small design: rows dropped, or whole, with covariates or without."""
    rng = np.random.default_rng(seed)
    sizes = tuple(int(rng.integers(low, high)) for low, high in ((3, 7), (2, 5), (2, 6)))
    batch = simulated(sizes, SDS[seed % len(SDS)], replicates, seed)
    rows = batch.y.shape[1]
    kept = rng.random(batch.y.shape) < rng.uniform(0.6, 1) if seed % 4 else None
    covariates = {
        "row": 100 + 5 * rng.normal(size=batch.y.shape),
        "group": np.repeat(rng.normal(size=sizes[0]), rows // sizes[0]),
    }
    names = [(), ("row",), ("row", "group")][seed % 3]
    if sizes[0] < 5:
        names = names[:1]
    return NestedBatch(batch.y, batch.design, kept, {name: covariates[name] for name in names})


def dense_derivatives(data, variances, reml):
    """Return gradient and Hessian of the log-likelihood, by the dense formulas."""
    y, design = data.y, data.design
    x = np.column_stack([np.ones(len(y)), *data.covariates.values()])
    same1 = np.equal.outer(design.group1, design.group1) * 1.0
    same2 = same1 * np.equal.outer(design.group2, design.group2)
    weights = np.ones(len(y)) if data.weights is None else data.weights
    parts = [same1, same2, np.diag(1 / weights)]
    inverse = np.linalg.inv(sum(v * part for v, part in zip(variances, parts, strict=True)))
    projector = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    trace = projector if reml else inverse
    py = projector @ y
    traced = [trace @ part for part in parts]
    pulled = [part @ py for part in parts]
    gradient = [(pull @ py - np.trace(t)) / 2 for pull, t in zip(pulled, traced, strict=True)]
    hessian = [
        [(traced[i] * traced[j].T).sum() / 2 - pulled[i] @ projector @ pulled[j] for j in range(3)]
        for i in range(3)
    ]
    return np.array(gradient), np.array(hessian)


def told(solution):
    """Return the replicates that have a maximum; any other says why it has none."""
    statuses = solution.statuses()
    assert Status.NOT_CONVERGED not in statuses
    missing = {Status.NOT_IDENTIFIABLE, Status.NOT_FINITE}
    return [lane for lane, status in enumerate(statuses) if status not in missing]


def shuffled(batch, order):
    columns = {
        name: column if column.ndim == 1 else column[order]
        for name, column in batch.covariates.items()
    }
    kept = None if batch.kept is None else batch.kept[order]
    return NestedBatch(batch.y[order], batch.design, kept, columns)


def assert_same(whole, part, lanes):
    for item in fields(whole):
        one, other = getattr(whole, item.name)[lanes], getattr(part, item.name)
        np.testing.assert_array_equal(one, other, err_msg=item.name)


def lme4_data(name):
    frame = pd.read_csv(REFERENCE / "lme4_data.csv")
    return frame[frame["data"] == name]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("block", range(10))
def test_identity_likelihood_and_optimum_are_those_of_the_dense_formula(block, reml):
    for seed in range(10 * block, 10 * block + 10):
        batch = random_batch(seed)
        solution = solve(batch, reml=reml)
        for lane in told(solution):
            data, variances = batch[lane], solution.variances[lane]
            plain = plain_likelihood(data, variances, reml=reml, exog=tuple(data.covariates))
            assert solution.llf[lane] == pytest.approx(plain.llf, rel=1e-10, abs=1e-10)
            np.testing.assert_allclose(
                solution.fixed_effects[lane], plain.fixed_effects, rtol=1e-7, atol=1e-7
            )
            np.testing.assert_allclose(
                solution.fixed_effects_cov[lane], plain.fixed_effects_cov, rtol=1e-5, atol=1e-8
            )
            gradient, hessian = dense_derivatives(data, variances, reml)
            free = variances > 0
            information = -hessian[np.ix_(free, free)]
            assert (np.linalg.eigvalsh(information) > 0).all(), seed
            newton = np.linalg.solve(information, gradient[free])
            assert (np.abs(newton) < 1e-8 * variances.sum()).all(), (seed, lane)
            assert (gradient[~free] < 1e-8).all(), (seed, lane)
            np.testing.assert_allclose(
                solution.std_errors[lane][free],
                np.sqrt(np.diagonal(np.linalg.inv(information))),
                rtol=1e-6,
            )


@pytest.mark.slow
def test_identity_no_point_of_the_dense_likelihood_is_higher():
    rng = np.random.default_rng(8)
    for seed in range(40):
        batch, reml = random_batch(seed, replicates=2), bool(seed % 2)
        solution = solve(batch, reml=reml)
        for lane in told(solution):
            data = batch[lane]
            for factors in 10 ** rng.uniform(-3, 1, size=(20, 3)):
                elsewhere = solution.variances[lane].sum() * factors
                plain = plain_likelihood(data, elsewhere, reml=reml, exog=tuple(data.covariates))
                assert plain.llf <= solution.llf[lane] + 1e-9


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sizes", [(20, 5, 5), (8, 4, 3), (3, 2, 2)])
@pytest.mark.parametrize("sds", SDS)
def test_identity_closed_form_and_scoring_agree(sizes, sds, reml):
    batch = simulated(sizes, sds, 100)
    closed = solve(batch, reml=reml)
    scored = maximise(sums_of(cells_of(batch)), reml=reml)
    assert scored.converged.all()
    np.testing.assert_array_equal(scored.at_zero, closed.at_zero)
    np.testing.assert_allclose(scored.llf, closed.llf, rtol=1e-12)
    error = np.where(closed.at_zero, 0, scored.variances - closed.variances)
    assert (np.abs(error) < 1e-8 * closed.variances.sum(axis=1)[:, None]).all()
    np.testing.assert_allclose(scored.std_errors, closed.std_errors, rtol=1e-6)
    np.testing.assert_allclose(scored.fixed_effects, closed.fixed_effects, atol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
def test_identity_least_deviance_is_the_least_with_a_component_held(reml):
    batch = simulated((6, 3, 3), (2, 1, 1), 3)
    solution = solve(batch, reml=reml)
    [sums] = reduced(batch)
    square = sums.scale[:, None] ** 2
    best, at_best = least_deviance(sums, np.ones((3, 3)), np.ones((3, 3), dtype=bool), reml=reml)
    np.testing.assert_allclose(at_best * square, solution.variances, rtol=1e-4, atol=1e-6)
    for place in range(3):
        values = 2 * solution.variances[:, place] + 0.1
        start, free = np.ones((3, 3)), np.ones((3, 3), dtype=bool)
        start[:, place], free[:, place] = values / square[:, 0], False
        deviance, variances = least_deviance(sums, start, free, reml=reml)
        np.testing.assert_allclose((variances * square)[:, place], values)
        assert (deviance > best).all()
        for lane, held in enumerate(variances * square):
            gradient, hessian = dense_derivatives(batch[lane], held, reml)
            inner = [i for i in range(3) if i != place and held[i] > 0]
            rest = [i for i in range(3) if i != place and held[i] == 0]
            newton = np.linalg.solve(hessian[np.ix_(inner, inner)], gradient[inner])
            assert abs(gradient[inner] @ newton) < 1e-8
            assert (gradient[rest] < 1e-4).all()


def test_reference_pastes():
    answer = nested.fit(lme4_data("pastes"))
    sds = [np.sqrt(answer.variances[name]) for name in COMPONENTS]
    assert sds == pytest.approx([1.287, 2.904, 0.823], abs=5e-4)
    assert -2 * answer.llf == pytest.approx(246.9907, abs=5e-5)
    assert answer.fixed_effects["intercept"] == pytest.approx(60.0533, abs=5e-5)


def test_reference_dyestuff():
    """One level of groups only: what the design cannot split is missing, the rest published."""
    frame = pd.read_csv(REFERENCE / "dyestuff.csv")
    frame["row"], frame["one"] = np.arange(len(frame)), 1
    by_row = nested.fit(frame, response="Yield", group1="Batch", group2="row")
    by_batch = nested.fit(frame, response="Yield", group1="Batch", group2="one")
    assert by_row.variances["group1_var"] == pytest.approx(1764.05, abs=5e-3)
    assert by_batch.variances["unexplained_var"] == pytest.approx(2451.25, abs=5e-3)
    assert np.isnan([by_row.variances["group2_var"], by_row.variances["unexplained_var"]]).all()
    assert np.isnan([by_batch.variances["group1_var"], by_batch.variances["group2_var"]]).all()
    for answer in (by_row, by_batch):
        assert answer.status is Status.NOT_IDENTIFIABLE
        assert answer.llf == pytest.approx(-159.827138421, abs=1e-8)


@pytest.mark.parametrize("name", ["pastes", *(f"simulated{i}" for i in range(1, 8))])
def test_reference_never_below_what_lme4_finds(name):
    answers = pd.read_csv(REFERENCE / "lme4_answers.csv")
    frame = lme4_data(name)
    for answer in answers[answers["data"] == name].itertuples():
        ours = nested.fit(frame, exog=["x"] if answer.with_x else None, reml=answer.reml)
        theirs = [getattr(answer, component) for component in COMPONENTS]
        exog = tuple(ours.data.covariates)
        there = plain_likelihood(ours.data, np.array(theirs), reml=answer.reml, exog=exog)
        assert ours.llf >= there.llf - 1e-11 * abs(there.llf)
        assert ours.llf == pytest.approx(answer.llf, rel=1e-9)
        assert [ours.variances[component] for component in COMPONENTS] == pytest.approx(
            theirs, rel=2e-4, abs=1e-8
        )
        assert ours.fixed_effects["intercept"] == pytest.approx(answer.intercept, rel=1e-5)
        assert ours.fixed_effects_std_errors["intercept"] == pytest.approx(
            answer.intercept_se, rel=1e-4
        )


@pytest.mark.slow
def test_reference_mixedlm_agrees_or_is_below():
    for seed, sds in enumerate(SDS[:4]):
        data = simulated((20, 5, 5), sds, 1, seed)[0]
        ours = nested.reml(data, np.random.default_rng(0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = nested.matrices_signed(data)
        assert theirs.diagnostics["llf"] <= ours.diagnostics["llf"] + 1e-8
        for name in COMPONENTS:
            value = ours.estimates[name].value
            assert theirs.estimates[name].value == pytest.approx(value, rel=1e-4, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("kind", ["balanced", "dropped", "given", "covariates"])
def test_contract_answers_do_not_depend_on_the_batch(kind, size):
    rng = np.random.default_rng(4)
    batch = simulated((9, 4, 3), (1, 0.5, 2), 65)
    y, design = batch.y, batch.design
    kept = rng.random(y.shape) < 0.7
    if kind == "dropped":
        batch = NestedBatch(y, design, kept)
    if kind == "given":
        batch = NestedBatch(np.ascontiguousarray(y[:, kept[0]]), design.rows(kept[0]))
    if kind == "covariates":
        columns = {"x": rng.normal(size=y.shape), "z": rng.normal(size=y.shape[1])}
        batch = NestedBatch(y, design, kept, columns)
    for reml in (True, False):
        whole = solve(batch, reml=reml)
        for start in range(0, 65, size):
            lanes = slice(start, start + size)
            assert_same(whole, solve(batch[lanes], reml=reml), lanes)
        order = rng.permutation(65)
        assert_same(whole, solve(shuffled(batch, order), reml=reml), order)


@pytest.mark.parametrize("kind", ["balanced", "dropped"])
@pytest.mark.parametrize(("shift", "scale"), [(0, 1e-4), (0, 1e8), (1e6, 0.01), (-1e9, 1)])
def test_identity_answers_follow_shift_and_scale_of_the_response(kind, shift, scale):
    batch = simulated((10, 4, 5), (2, 3, 4), 20)
    kept = np.random.default_rng(2).random(batch.y.shape) < 0.7
    y = shift + scale * batch.y
    exact = (y - shift) / scale
    kept = None if kept is None or kind == "balanced" else kept
    plain = solve(NestedBatch(exact, batch.design, kept))
    moved = solve(NestedBatch(y, batch.design, kept))
    total = plain.variances.sum(axis=1)[:, None]
    assert (np.abs(moved.variances / scale**2 - plain.variances) < 1e-9 * total).all()
    np.testing.assert_allclose(moved.std_errors / scale**2, plain.std_errors, rtol=1e-7)
    rows = batch.y.shape[1] if kept is None else kept.sum(axis=1)
    np.testing.assert_allclose(moved.llf + (rows - 1) * np.log(scale), plain.llf, atol=1e-6)
    centre = (moved.fixed_effects[:, 0] - shift) / scale
    np.testing.assert_allclose(centre, plain.fixed_effects[:, 0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["balanced", "dropped", "covariates"])
@pytest.mark.parametrize("power", [-500, -300, 300, 500])
def test_identity_estimates_follow_units_by_powers_of_two(kind, power):
    batch = simulated((8, 4, 3), (2, 3, 4), 4)
    kept = np.random.default_rng(2).random(batch.y.shape) < 0.7 if kind != "balanced" else None
    columns = {"x": np.random.default_rng(3).normal(size=batch.y.shape[1])}
    columns = columns if kind == "covariates" else {}
    for method in (nested.reml, nested.ml):
        method = method.with_intervals(*KINDS)
        plain, moved = (
            method.batch(
                NestedBatch(y, batch.design, kept, columns),
                [np.random.default_rng(i) for i in range(4)],
            )
            for y in (batch.y, 2.0**power * batch.y)
        )
        assert moved.status == plain.status
        rows = batch.y.shape[1] if kept is None else kept.sum(axis=1)
        used = rows - (1 + len(columns) if method.restricted else 0)
        llf = plain.diagnostics["llf"] - used * power * np.log(2)
        np.testing.assert_allclose(moved.diagnostics["llf"], llf, rtol=1e-13)
        for name, estimate in plain.estimates.items():
            again, unit = moved.estimates[name], 2.0 ** (2 * power)
            np.testing.assert_array_equal(again.value, estimate.value * unit)
            np.testing.assert_array_equal(again.std_error, estimate.std_error * unit)
            for limits, others in zip(
                estimate.intervals.values(), again.intervals.values(), strict=True
            ):
                for limit, other in zip(limits, others, strict=True):
                    with np.errstate(over="ignore"):
                        np.testing.assert_allclose(other, limit * unit, rtol=1e-12)


def test_contract_extremes_in_a_batch_leave_the_others_alone():
    batch = simulated((6, 3, 3), (2, 3, 4), 6)
    y = batch.y.copy()
    y[0] = 1.0
    y[1] *= 1e-170
    y[2] *= 1e170
    y[3, 5] = np.nan
    y[4] *= 2.0**-400
    fit = nested.reml.batch(NestedBatch(y, batch.design), [np.random.default_rng(0)] * 6)
    plain = nested.reml.batch(batch, [np.random.default_rng(0)] * 6)
    assert fit.message[0] == "the response is constant"
    assert fit.message[1] == fit.message[2]
    assert fit.message[1].startswith("the variances are beyond floating-point numbers; change")
    assert fit.message[3] == "the response has missing or infinite values"
    assert fit.status[:4] == [Status.NOT_FINITE] * 4
    assert fit.status[4:] == plain.status[4:]
    for name, estimate in fit.estimates.items():
        assert np.isnan(estimate.value[:4]).all()
        assert np.isnan(
            estimate.intervals["wald" if name != "unexplained_var" else "exact"][0][:4]
        ).all()
        np.testing.assert_array_equal(estimate.value[5:], plain.estimates[name].value[5:])
        assert estimate.value[4] == plain.estimates[name].value[4] * 2.0**-800


def test_contract_a_covariate_at_fault_is_named_lane_by_lane():
    rng = np.random.default_rng(1)
    batch = simulated((6, 3, 3), (2, 3, 4), 4)
    x, z, w = rng.normal(size=(3, *batch.y.shape)) + 1e3
    z[1] = 1e3 + 0.1
    w[2] = 3 * x[2] - z[2] / 7 + 12
    w[3, 5] = np.nan
    columns = {"x": x, "z": z, "w": w}
    fit = nested.reml.batch(
        NestedBatch(batch.y, batch.design, covariates=columns), [rng] * len(batch)
    )
    assert fit.message[1] == "the covariate 'z' is constant"
    assert fit.message[2] == "the covariate 'w' is a linear combination of those before it"
    assert fit.message[3] == "the covariate 'w' has missing or infinite values"
    assert fit.status[1:] == [Status.NOT_IDENTIFIABLE] * 3
    assert fit.status[0] in (Status.OK, Status.BOUNDARY)


def test_identity_a_single_large_group_and_many_cells_of_one_row():
    rng = np.random.default_rng(6)
    sizes = [[400, 1, 1], [1, 1], [1, 2, 1, 1], [1], [1, 1, 1], [3, 1]]
    group1 = np.concatenate([np.full(sum(cells), i) for i, cells in enumerate(sizes)])
    group2 = np.concatenate([np.repeat(np.arange(len(cells)), cells) for cells in sizes])
    y = 2 * rng.normal(size=6)[group1] + rng.normal(size=(6, 4))[group1, group2]
    data = NestedData(y + rng.normal(size=len(y)), NestedDesign(group1, group2))
    for reml in (True, False):
        [lane] = told(solution := solve(as_batch(data), reml=reml))
        gradient, hessian = dense_derivatives(data, solution.variances[lane], reml)
        free = ~solution.at_zero[lane]
        newton = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        assert (np.abs(newton) < 1e-8 * solution.variances.sum()).all()
        assert (gradient[~free] < 1e-8).all()


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize(
    ("sizes", "missing"),
    [
        ((1, 5, 5), ["group1_var"]),
        ((5, 1, 5), ["group1_var", "group2_var"]),
        ((5, 5, 1), ["group2_var", "unexplained_var"]),
        ((5, 1, 1), list(COMPONENTS)),
    ],
)
def test_contract_what_a_design_cannot_tell_is_missing(sizes, missing, dropped):
    batch = simulated(sizes, (2, 3, 4), 3)
    if dropped:
        kept = np.ones(batch.y.shape, dtype=bool)
        kept[:, -1] = sizes[1:] == (1, 1)
        batch = NestedBatch(batch.y, batch.design, kept)
    fit = nested.reml.batch(batch, [np.random.default_rng(0)] * 3)
    assert fit.status == [Status.NOT_IDENTIFIABLE] * 3
    assert "cannot tell" in fit.message[0]
    for name, estimate in fit.estimates.items():
        assert np.isnan(estimate.value).all() == (name in missing)
        assert np.isnan(estimate.value).any() == (name in missing)


def test_contract_data_without_variation_and_missing_numbers_are_not_finite():
    batch = simulated((4, 3, 2), (2, 3, 4), 3)
    y = batch.y.copy()
    y[0], y[1, 5] = 7.0, np.nan
    for kept in (None, np.ones(y.shape, dtype=bool)):
        solution = solve(NestedBatch(y.copy(), batch.design, kept))
        statuses = solution.statuses()
        assert statuses[:2] == [Status.NOT_FINITE] * 2
        assert statuses[2] in (Status.OK, Status.BOUNDARY)
        np.testing.assert_allclose(solution.llf[2], solve(batch).llf[2], rtol=1e-12)


@pytest.mark.parametrize(
    ("group1", "group2", "message"),
    [
        ([0, 1, 0, 1], [0, 0, 1, 1], "the rows are not sorted by group 1, then group 2; sort them"),
        ([0, 0, 0, 1], [0, 1, 0, 1], "the rows are not sorted by group 1, then group 2; sort them"),
        ([0, 0, 1, 1], [0, 1, 0], r"have the shapes \(4,\) and \(3,\)"),
        (list("aabb"), [0, 1, 0, 1], "the labels of groups are <U1 and int64; give integers"),
    ],
)
def test_contract_a_design_that_would_be_misread_is_refused(group1, group2, message):
    with pytest.raises(StudyError, match=message):
        NestedDesign(np.array(group1), np.array(group2))


def test_contract_data_of_another_size_than_the_design_are_refused():
    design = NestedDesign.of_sizes(2, 2, 2)
    with pytest.raises(StudyError, match=r"'y' has the shape \(7,\) and the design 8 rows"):
        NestedData(np.arange(7.0), design)
    with pytest.raises(StudyError, match=r"'x' has the shape \(\) and the design 8 rows"):
        NestedData(np.arange(8.0), design, {"x": 3.0})


def test_contract_the_single_form_is_a_batch_of_one():
    batch = simulated((8, 4, 3), (2, 3, 4), 3)
    together = nested.ml.batch(batch, [np.random.default_rng(0)] * 3)
    alone = nested.ml(batch[1], np.random.default_rng(0))
    for name, estimate in alone.estimates.items():
        assert estimate.value == together.estimates[name].value[1]
        assert estimate.std_error == together.estimates[name].std_error[1]
        for kind, limits in estimate.intervals.items():
            many = together.estimates[name].intervals[kind]
            np.testing.assert_array_equal(limits, [limit[1] for limit in many])
    assert alone.status is together.status[1]
