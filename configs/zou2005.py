"""When does the lasso predict better than ridge regression?

Zou & Hastie (2005), Regularization and variable selection via the elastic net, Journal of the Royal
Statistical Society B 67:301, section 5, Table 2. Four examples: few effects (1), all small and
equal (2), half zero (3), groups of nearly equal predictors (4). The penalty is the one that
predicts a validation set best; the test error is the expected squared error of the mean of new
data. It estimates nothing, so there is no truth: the paper tabulates its median over 50 data sets.
200 data sets take some ten seconds. Without scikit-learn the lasso is skipped. The paper does not
say which penalties it tried.
"""

import numpy as np

from mcstudy import Skip, Study, grid

try:
    from sklearn.linear_model import lasso_path
except ImportError:
    lasso_path = None

TEN = np.ones(10)
EFFECTS = {
    1: np.array([3, 1.5, 0, 0, 2, 0, 0, 0]),
    2: np.full(8, 0.85),
    3: np.concatenate([0 * TEN, 2 * TEN, 0 * TEN, 2 * TEN]),
    4: np.concatenate([np.full(15, 3.0), np.zeros(25)]),
}
SIGMA = {1: 3, 2: 3, 3: 15, 4: 15}
TRAINING = {1: 20, 2: 20, 3: 100, 4: 50}  # as many in the validation set; of 3, as in the paper
PENALTIES = np.logspace(4, -3, 100)


def covariance(example):
    """AR(1) with 0.5; a factor that all share; or three groups of five, each with a factor."""
    p = len(EFFECTS[example])
    if example == 3:
        return np.ones((p, p)) + np.eye(p)
    if example == 4:
        groups = np.kron(np.eye(3), np.ones((5, 5))) + 0.01**2 * np.eye(15)
        return np.block([[groups, np.zeros((15, 25))], [np.zeros((25, 15)), np.eye(25)]])
    return 0.5 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))


def training_and_validation(rng, *, example):
    n = 2 * TRAINING[example]
    x = rng.multivariate_normal(np.zeros(len(EFFECTS[example])), covariance(example), n)
    y = x @ EFFECTS[example] + SIGMA[example] * rng.normal(size=n)
    return x[: n // 2], y[: n // 2], x[n // 2 :], y[n // 2 :]


def best(paths, data, example):
    """Choose the penalty by the validation set; the test error is the model error."""
    x, y, x_new, y_new = data
    residuals = (y_new - y.mean())[:, None] - (x_new - x.mean(axis=0)) @ paths
    effects = paths[:, np.argmin((residuals**2).mean(axis=0))]
    off = effects - EFFECTS[example]
    return {"test_error": off @ covariance(example) @ off, "selected": np.count_nonzero(effects)}


def lasso(data, condition):
    if lasso_path is None:
        raise Skip("needs scikit-learn")
    x, y = data[0] - data[0].mean(axis=0), data[1] - data[1].mean()
    paths = lasso_path(x, y, random_state=0)[1]  # its order is cyclic: none is used
    return best(paths, data, condition["example"])


def ridge(data, condition):
    x, y = data[0] - data[0].mean(axis=0), data[1] - data[1].mean()
    left, d, right = np.linalg.svd(x, full_matrices=False)
    shrunk = d[:, None] / (d[:, None] ** 2 + PENALTIES) * (left.T @ y)[:, None]
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
