"""When does the lasso predict better than ridge regression?

Zou & Hastie (2005), Regularization and variable selection via the elastic net, Journal of the Royal
Statistical Society B 67:301, section 5, Table 2. Effects few (1), all small (2), half of them zero
(3), or of three groups of nearly equal predictors (4). A validation set chooses the penalty; the
test error, the mean squared error of prediction beyond that of the noise, estimates nothing, so
there is no truth: the paper has its median over 50 data sets. 200 take half a minute. Without
scikit-learn the lasso is skipped. In (3) each predictor is the sum of two standard normals, as in
Tibshirani (1996). The paper does not say which penalties it tried for ridge regression.
"""

import numpy as np

from mcstudy import Skip, Study, grid

try:
    from sklearn.linear_model import lasso_path
except ImportError:
    lasso_path = None

EFFECTS = {
    1: np.array([3, 1.5, 0, 0, 2, 0, 0, 0]),
    2: np.full(8, 0.85),
    3: np.tile(np.repeat([0.0, 2.0], 10), 2),
    4: np.repeat([3.0, 0.0], [15, 25]),
}
SIGMA, TRAINING = {1: 3, 2: 3, 3: 15, 4: 15}, {1: 20, 2: 20, 3: 100, 4: 50}
PENALTIES = np.logspace(4, -3, 100)  # of ridge; the paper does not say which it tried


def covariance(example):
    """AR(1) with 0.5; a factor that all share; or three groups of five, each with a factor."""
    p = len(EFFECTS[example])
    if example == 3:
        return np.ones((p, p)) + np.eye(p)
    if example == 4:
        groups = np.kron(np.eye(3), np.ones((5, 5))) + 0.01 * np.eye(15)
        return np.block([[groups, np.zeros((15, 25))], [np.zeros((25, 15)), np.eye(25)]])
    return 0.5 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))


def training_and_validation(rng, *, example):
    """Return both data sets, centred by the means of the first."""
    n = TRAINING[example]
    x = rng.multivariate_normal(np.zeros(len(EFFECTS[example])), covariance(example), 2 * n)
    y = x @ EFFECTS[example] + SIGMA[example] * rng.normal(size=2 * n)
    x, y = x - x[:n].mean(axis=0), y - y[:n].mean()
    return x[:n], y[:n], x[n:], y[n:]


def best(paths, data, example):
    """Of the effects, a column for each penalty, those that predict the validation set best."""
    errors = ((data[3][:, None] - data[2] @ paths) ** 2).mean(axis=0)
    off = (effects := paths[:, np.argmin(errors)]) - EFFECTS[example]
    return {"test_error": off @ covariance(example) @ off, "selected": np.count_nonzero(effects)}


def lasso(data, condition):
    if lasso_path is None:
        raise Skip("needs scikit-learn")
    paths = lasso_path(*data[:2], random_state=0)[1]  # its order is cyclic: none is used
    return best(paths, data, condition["example"])


def ridge(data, condition):
    left, d, right = np.linalg.svd(data[0], full_matrices=False)
    shrunk = d[:, None] / (d[:, None] ** 2 + PENALTIES) * (left.T @ data[1])[:, None]
    return best(right.T @ shrunk, data, condition["example"])


study = Study(
    name="zou2005",
    simulate=training_and_validation,
    estimands=None,
    methods={"lasso": lasso, "ridge": ridge},
    conditions=grid(example=[1, 2, 3, 4]),
    replicates=200,
    seed=20261123,
    time_limit=10,
)
