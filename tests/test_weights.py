"""Prior weights: the unexplained variance of a row is divided by its weight."""

import numpy as np
import pytest
from plain_likelihood import plain_likelihood
from test_reml import dense_derivatives, random_batch, simulated, told

from mcstudy import nested
from mcstudy.errors import StudyError
from mcstudy.nested import NestedBatch, NestedData, NestedDesign
from mcstudy.nested.random_effects import predictions
from mcstudy.nested.solve import solve


def weighted_batch(seed, spread=1.0):
    """Return a small batch, its weights shared or of each replicate, of any size."""
    batch, rng = random_batch(seed), np.random.default_rng(seed)
    shape = batch.y.shape if seed % 2 else batch.y.shape[1]
    weights = rng.gamma(2, size=shape) ** spread * 10.0 ** rng.integers(-6, 7)
    return NestedBatch(batch.y, batch.design, batch.kept, batch.covariates, weights)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_identity_likelihood_and_optimum_are_those_of_the_dense_formula(seed, reml):
    batch = weighted_batch(seed)
    solution = solve(batch, reml=reml)
    for lane in told(solution):
        data, variances = batch[lane], solution.variances[lane]
        plain = plain_likelihood(data, variances, reml=reml, exog=tuple(data.covariates))
        assert solution.llf[lane] == pytest.approx(plain.llf, rel=1e-10)
        assert solution.fixed_effects[lane] == pytest.approx(plain.fixed_effects, rel=1e-6)
        np.testing.assert_allclose(
            solution.fixed_effects_cov[lane], plain.fixed_effects_cov, rtol=1e-5, atol=1e-8
        )
        gradient, hessian = dense_derivatives(data, variances, reml)
        free = variances > 0
        scale = np.sqrt(-np.diagonal(hessian)[free])  # so that a weight's size plays no part
        information = -hessian[np.ix_(free, free)] / np.outer(scale, scale)
        newton = np.linalg.solve(information, gradient[free] / scale)
        assert (np.abs(newton) < 1e-6).all()
        assert (gradient[~free] < 1e-8 * np.abs(hessian[~free]).max(initial=0)).all()
        errors = np.sqrt(np.diagonal(np.linalg.inv(information))) / scale
        assert solution.std_errors[lane][free] == pytest.approx(errors, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dropped", [0.0, 0.3])
def test_identity_equal_weights_scale_the_unexplained_variance_alone(dropped):
    batch = simulated((8, 4, 3), (2, 3, 4), 5)
    kept = np.random.default_rng(0).random(batch.y.shape) >= dropped
    plain = NestedBatch(batch.y, batch.design, kept)
    heavy = NestedBatch(batch.y, batch.design, kept, {}, np.full(batch.y.shape[1], 3.0))
    method = nested.reml.with_intervals("wald", "profile").with_icc("profile")
    rngs = [np.random.default_rng(0)] * 5
    one, other = (method.batch(each, rngs).estimates for each in (plain, heavy))
    for name, factor in (("group1_var", 1), ("group2_var", 1), ("unexplained_var", 3)):
        np.testing.assert_allclose(other[name].value, factor * one[name].value, rtol=1e-7)
        for kind in ("wald", "profile"):
            np.testing.assert_allclose(
                other[name].intervals[kind], factor * np.array(one[name].intervals[kind]), rtol=1e-5
            )
    variances = [other[name].value for name in ("group1_var", "group2_var", "unexplained_var")]
    np.testing.assert_allclose(other["group1_icc"].value, variances[0] / sum(variances))


def test_identity_a_mean_of_several_rows_has_their_number_as_weight():
    design = NestedDesign.of_sizes(6, 3, 4)
    rng = np.random.default_rng(3)
    y, weights = rng.normal(size=72), rng.integers(1, 5, 72).astype(float)
    data = NestedData(y, design, {}, weights)
    rows = np.repeat(np.arange(72), weights.astype(int))
    long = NestedData(y[rows], NestedDesign(design.group1[rows], design.group2[rows]))
    variances = np.array([1.0, 0.5, 2.0])
    short, full = (predictions(each, variances) for each in (data, long))
    for one, other in ((short.group1, full.group1), (short.group2, full.group2)):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_identity_replicates_with_weights_do_not_influence_one_another():
    batch = weighted_batch(5)
    whole, alone = solve(batch), solve(batch[1:2])
    assert whole.llf[1] == alone.llf[0]
    assert (whole.variances[1] == alone.variances[0]).all()
    single = nested.reml(batch[1], np.random.default_rng(0)).estimates["group1_var"].value
    assert single == pytest.approx(whole.variances[1, 0], rel=1e-8)


def test_contract_intervals_with_weights():
    batch = weighted_batch(0)
    kinds = ("exact", "wald", "log", "satterthwaite", "mls", "generalized", "profile", "bootstrap")
    estimates = nested.reml.with_intervals(*kinds).batch(
        batch, [np.random.default_rng(i) for i in range(len(batch))]
    )
    found = estimates.estimates["unexplained_var"]
    assert set(found.intervals) == {"wald", "log", "satterthwaite", "profile", "bootstrap"}
    for low, high in found.intervals.values():
        assert ((low < found.value) & (found.value < high))[told(solve(batch))].all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), r"'weights' has the shape \(5,\) and the data \(8,\); give a number for each"),
        (np.r_[np.ones(7), 0], "weights: 0.0 is no weight; give finite numbers above 0, and drop"),
        (np.r_[np.ones(7), np.nan], "weights: nan is no weight"),
    ],
)
def test_contract_bad_weights_get_one_line(weights, message):
    design = NestedDesign.of_sizes(2, 2, 2)
    with pytest.raises(StudyError, match=message):
        NestedData(np.arange(8.0), design, {}, weights)
    with pytest.raises(StudyError, match=message):
        NestedBatch(np.ones((3, 8)), design, None, {}, weights)


def test_contract_weights_stand_in_the_frame_and_mixedlm_takes_none():
    data = weighted_batch(0)[0]
    assert data.frame["weights"].tolist() == data.weights.tolist()
    with pytest.raises(StudyError, match="MixedLM takes no weights; leave them out, or fit by re"):
        nested.matrices(data)
