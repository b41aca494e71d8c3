"""Two methods on the same data: what lies between them, and its paired error."""

import dataclasses

import numpy as np
import pytest

from mcstudy import MCStudyError, open_results, run
from mcstudy.analysis.load import ConditionRows, EstimandRows, MethodRows
from mcstudy.analysis.measure_table import numbers
from mcstudy.cli import main
from mcstudy.comparison.paired import condition_comparisons, pairs_of
from mcstudy.comparison.paired_measures import (
    COMPARISONS,
    INTERVAL_COMPARISONS,
    Pair,
    coverage_difference,
    empirical_se_ratio,
    rejection_difference,
    relative_efficiency,
    relative_precision,
    width_difference,
)
from mcstudy.results import compare_runs

TRUTH = 1.5
PLAIN = {
    "bias_difference": lambda x, y: x.mean() - y.mean(),
    "mse_difference": lambda x, y: ((x - TRUTH) ** 2).mean() - ((y - TRUTH) ** 2).mean(),
    "empirical_se_ratio": lambda x, y: x.std(ddof=1) / y.std(ddof=1),
    "relative_precision": lambda x, y: y.var(ddof=1) / x.var(ddof=1) - 1,
    "relative_efficiency": lambda x, y: ((y - TRUTH) ** 2).mean() / ((x - TRUTH) ** 2).mean(),
}


def estimates(kind, size, seed=0):
    """Return correlated estimates of two methods, normal or (scaled) chi-square with 4 degrees."""
    rng = np.random.default_rng(seed)
    shared, own, other = rng.normal(size=(3, *np.atleast_1d(size)))
    if kind == "normal":
        return TRUTH + shared + 0.5 * own, TRUTH + 0.3 + 1.2 * shared + 0.4 * other
    shared, own, other = rng.chisquare(3, size), rng.chisquare(1, size), rng.chisquare(1, size)
    return TRUTH * (shared + own) / 4, TRUTH * (shared + 1.5 * other) / 4.5


@pytest.mark.parametrize("kind", ["normal", "chi-square"])
@pytest.mark.parametrize("name", COMPARISONS)
def test_identity_value_and_mcse_against_leaving_pairs_out(name, kind):
    x, y = estimates(kind, 40)
    made = COMPARISONS[name](Pair(TRUTH, x, y))
    left_out = np.array([PLAIN[name](np.delete(x, i), np.delete(y, i)) for i in range(40)])
    by_jackknife = np.sqrt(39 / 40 * ((left_out - left_out.mean()) ** 2).sum())
    assert made.value == pytest.approx(PLAIN[name](x, y), rel=1e-12)
    assert made.mcse == pytest.approx(by_jackknife, rel=1e-10)
    assert made.lower < made.value < made.upper
    assert made.used == 40


@pytest.mark.parametrize("kind", ["normal", "chi-square"])
@pytest.mark.parametrize("name", COMPARISONS)
def test_law_mcse_is_the_spread_over_studies_and_limits_cover(name, kind):
    ones, others = estimates(kind, (800, 300), seed=5)
    pairs = zip(ones, others, strict=True)
    made = [COMPARISONS[name](Pair(TRUTH, *pair)) for pair in pairs]
    values = np.array([m.value for m in made])
    mcse = np.sqrt(np.mean([m.mcse**2 for m in made]))
    assert mcse / values.std(ddof=1) == pytest.approx(1, abs=0.1)
    whole = PLAIN[name](*estimates(kind, 400_000, seed=6))
    covered = np.mean([m.lower <= whole <= m.upper for m in made])
    assert 0.91 < covered < 0.975


def test_reference_relative_precision_by_the_published_formula():
    x, y = estimates("normal", 200)
    made = relative_precision(Pair(TRUTH, x, y), mcse="normal")
    ratio, rho = y.var(ddof=1) / x.var(ddof=1), np.corrcoef(x, y)[0, 1]
    assert made.value == pytest.approx(ratio - 1)
    assert made.mcse == pytest.approx(2 * ratio * np.sqrt((1 - rho**2) / 199))
    assert made.mcse == pytest.approx(relative_precision(Pair(TRUTH, x, y)).mcse, rel=0.15)


def limits(seed, size=60):
    rng = np.random.default_rng(seed)
    middle = TRUTH + rng.normal(size=size)
    return middle - 1, middle + 1 + rng.random(size)


def test_identity_shares_and_widths_against_plain_loops():
    one, other = limits(1), limits(2)
    one[0][3], other[1][7] = np.nan, np.nan
    other[1][9] = np.inf
    pair = Pair(TRUTH, one[0], other[0], one, other, null=0.7)
    both = [i for i in range(60) if not np.isnan([*(a[i] for a in (*one, *other))]).any()]

    def difference(hit):
        return np.array([hit(one, i) - hit(other, i) for i in both], dtype=float)

    for made, d in (
        (coverage_difference(pair), difference(lambda a, i: int(a[0][i] <= TRUTH <= a[1][i]))),
        (rejection_difference(pair), difference(lambda a, i: int(not a[0][i] <= 0.7 <= a[1][i]))),
    ):
        assert made.used == 58
        assert made.value == pytest.approx(d.mean())
        assert made.mcse == pytest.approx(d.std(ddof=1) / np.sqrt(58))
    finite = [i for i in both if i != 9]
    widths = np.array([(one[1] - one[0])[i] - (other[1] - other[0])[i] for i in finite])
    assert width_difference(pair).value == pytest.approx(widths.mean())
    assert width_difference(pair).used == 57


def test_reference_methods_that_never_differ_still_have_limits():
    one = limits(1)
    made = coverage_difference(Pair(TRUTH, one[0], one[0], one, one))
    assert (made.value, made.mcse) == (0, 0)
    assert made.upper == pytest.approx(1.959964 / 62)  # Agresti & Min 2005 with b = c = 0, n = 60
    assert made.lower == -made.upper


def test_law_limits_of_a_coverage_difference_cover():
    rng = np.random.default_rng(3)
    first, second, covered = np.array([0.95, 0.85]), 0.9, 0
    for _ in range(2000):
        common = rng.random(100)
        hits = common < first[0], np.where(rng.random(100) < 0.8, common, rng.random(100)) < second
        ends = [(np.where(hit, 0.0, 9.0), np.full(100, 9.0)) for hit in hits]
        made = coverage_difference(Pair(TRUTH, ends[0][0], ends[1][0], *ends))
        covered += made.lower <= first[0] - second <= made.upper
    assert 0.93 < covered / 2000 < 0.975


@pytest.mark.parametrize("count", [0, 1, 2])
def test_contract_too_few_pairs_give_missing_and_no_warning(count):
    for measure in COMPARISONS.values():
        made = measure(Pair(TRUTH, np.ones(count), np.arange(count) * 1.0))
        assert made.used == count
        assert count or np.isnan(made.value)


def test_contract_equal_estimates_compare_as_equal():
    x, _ = estimates("normal", 30)
    assert empirical_se_ratio(Pair(TRUTH, x, x)) == (1, 0, 30, (1, 1))
    assert relative_efficiency(Pair(TRUTH, x, x)) == (1, 0, 30, (1, 1))
    constant = np.full(30, TRUTH)
    assert np.isnan(relative_efficiency(Pair(TRUTH, constant, constant)).value)


def test_contract_only_replicates_that_both_have_estimates_of_count():
    x, y = estimates("normal", 30)
    some_x, some_y = x.copy(), y.copy()
    some_x[:3], some_y[10:12] = np.nan, np.inf
    kept = np.r_[3:10, 12:30]
    for measure in COMPARISONS.values():
        assert measure(Pair(TRUTH, some_x, some_y)) == measure(Pair(TRUTH, x[kept], y[kept]))


def condition(methods, count=80):
    """Return the rows of methods, each with replicates of its own choice."""
    rows = {}
    for seed, name in enumerate(methods):
        rng = np.random.default_rng(seed)
        replicate = np.sort(rng.permutation(count)[: count - 5 * seed])
        estimate = TRUTH + np.random.default_rng(99).normal(size=count)[replicate]
        estimate = estimate + 0.3 * rng.normal(size=len(replicate))
        estimate[::7] = np.nan
        interval = {"wald": (estimate - 1, estimate + 1), name: (estimate, estimate)}
        of = EstimandRows(TRUTH, estimate, np.ones(len(estimate)), interval)
        rows[name] = MethodRows(
            replicate,
            np.zeros(len(replicate), np.int8),
            {"mean": of},
            np.zeros(len(replicate), bool),
        )
    return ConditionRows("only", {}, rows)


def permuted(rows, seed):
    """Return the rows of a method in another order."""
    order = np.random.default_rng(seed).permutation(len(rows.replicate))
    estimands = {
        name: EstimandRows(
            of.truth,
            of.estimate[order],
            of.std_error[order],
            {key: (lower[order], upper[order]) for key, (lower, upper) in of.intervals.items()},
        )
        for name, of in rows.estimands.items()
    }
    return MethodRows(rows.replicate[order], rows.status_code[order], estimands, rows.warned[order])


def compared(rows, pairs=None):
    return by_line(condition_comparisons(rows, pairs or pairs_of(rows.methods)))


def by_line(found):
    """Return the numbers of each comparison by its words, one estimand at a time."""
    return {
        (*of[:2], estimand, *of[3:5]): np.array(
            [*(np.ravel(number)[min(i, np.size(number) - 1)] for number in numbers(of.made)), of[6]]
        )
        for of in found
        for i, estimand in enumerate(of.estimands)
    }


def test_identity_intervals_of_different_names_against_each_other():
    rows = condition(["a", "b"])
    plain = compared(rows)
    found = by_line(condition_comparisons(rows, [("b", "a")], intervals=("wald", "a")))
    label = ("b", "a", "mean", "wald against a")
    assert found[*label, "width_difference"][0] == pytest.approx(2)
    of = rows.methods["b"].estimands["mean"]
    covers = np.abs(of.estimate - TRUTH)[np.isfinite(of.estimate)] <= 1
    both = found[*label, "coverage_difference"]
    assert 0 < both[0] <= covers.mean() + 0.1
    estimates = [key for key in plain if key[3] is None]
    assert all(np.array_equal(found[key], plain[key], equal_nan=True) for key in estimates)


def test_contract_the_only_interval_of_each_method_go_together(study_file, tmp_path):
    named = 'Estimate(sample.mean() + 0.01 * rng.normal(), intervals={"wide": (-9, 9)})'
    path = study_file(("Estimate(sample.mean() + 0.01 * rng.normal())", named))
    results = run(path, tmp_path, jobs=1, quiet=True, replicates=5)
    frame = results.comparisons.query("measure == 'coverage_difference'")
    assert set(frame.interval) == {"wide against default"}
    known = results.performance.query("measure == 'coverage'").groupby("method")["value"].mean()
    assert frame.value.mean() == pytest.approx(known["jittered"] - known["average"])
    made = results.compare("average", "jittered")
    text = " ".join(str(made).split())
    assert "default against wide" in set(made.frame.interval.dropna())
    assert "only " not in text
    assert made.frame.equals(
        results.compare("average", "jittered", intervals=("default", "wide")).frame
    )


@pytest.mark.slow
def test_contract_intervals_without_a_partner_are_named(study_file, tmp_path, capsys):
    two = 'intervals={"wide": (-9, 9), "wider": (-99, 99)}'
    named = f"Estimate(sample.mean() + 0.01 * rng.normal(), {two})"
    path = study_file(("Estimate(sample.mean() + 0.01 * rng.normal())", named))
    results = run(path, tmp_path, jobs=1, quiet=True, replicates=5)
    text = " ".join(str(results.compare("jittered", "average")).split())
    assert "only jittered has the intervals wide, wider only average has the interval" in text
    assert "--intervals wide,default" in text
    folder = str(results.folder)
    options = ["compare", folder, "--methods", "jittered,average", "--intervals"]
    assert main([*options, "wide,default"]) == 0
    assert "interval=wide against default" in " ".join(capsys.readouterr().out.split())
    for given, message in (
        ("wide", "give two, the reference's last"),
        ("wide,wald", "average has no interval 'wald'; it has default"),
    ):
        assert main([*options, given]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(MCStudyError, match="intervals is 'wide,default'; give two names"):
        results.compare("jittered", "average", intervals="wide,default")


def test_contract_permuting_rows_changes_nothing():
    plain = condition(["a", "b", "c"])
    known = compared(plain)
    assert len(known) == 3 * (len(COMPARISONS) + len(INTERVAL_COMPARISONS))
    for seed in range(10):
        methods = {
            name: permuted(rows, 7 * seed + i)
            for i, (name, rows) in enumerate(sorted(plain.methods.items(), reverse=bool(seed % 2)))
        }
        found = compared(dataclasses.replace(plain, methods=methods))
        assert found.keys() == known.keys()
        for key, line in found.items():
            np.testing.assert_allclose(line, known[key], rtol=1e-10, atol=1e-12)


def test_contract_adding_a_method_changes_no_other_pair():
    known, more = compared(condition(["a", "b"])), compared(condition(["a", "b", "0", "z"]))
    assert len(more) == 6 * len(known)
    for key, line in known.items():
        np.testing.assert_array_equal(more[key], line)


def test_contract_pairs_do_not_depend_on_the_order_of_methods():
    assert pairs_of(["b", "c", "a"]) == [("b", "a"), ("c", "a"), ("c", "b")]
    assert pairs_of(["b", "c", "a"], "b") == [("a", "b"), ("c", "b")]
    assert pairs_of(["a", "c"], "b") == []
    assert pairs_of(["a"]) == []


def test_contract_every_run_writes_the_table(study_file, tmp_path):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    frame = results.comparisons
    assert frame.columns.tolist() == [
        *("mean", "n", "method", "reference", "estimand", "interval", "measure"),
        *("value", "mcse", "lower", "upper", "used", "replicates"),
    ]
    assert set(zip(frame.method, frame.reference, strict=True)) == {("jittered", "average")}
    cell = frame[(frame["n"] == 5) & (frame["mean"] == 1.5) & (frame.measure == "bias_difference")]
    wide = results.estimates.query("condition == 'mean=1.5, n=5'").pivot(
        index="replicate", columns="method", values="estimate"
    )
    difference = wide["jittered"] - wide["average"]
    assert cell.value.item() == pytest.approx(difference.mean(), rel=1e-12)
    assert cell.mcse.item() == pytest.approx(difference.std() / np.sqrt(60), rel=1e-12)
    assert "comparisons" in results.digests()

    turned = study_file(("seed=7,", "seed=7, reference='jittered',"))
    other = run(turned, tmp_path, jobs=1, quiet=True).comparisons
    assert set(zip(other.method, other.reference, strict=True)) == {("average", "jittered")}
    bias = other[other.measure == "bias_difference"].value.to_numpy()
    assert bias == pytest.approx(-frame[frame.measure == "bias_difference"].value.to_numpy())
    both_ways = open_results(results.folder).compare("average", "jittered").frame
    assert both_ways.drop(columns="interval").equals(other.drop(columns="interval"))


def test_contract_one_method_has_an_empty_table_of_the_same_columns(study_file, tmp_path):
    frame = run(study_file(), tmp_path, jobs=1, quiet=True, methods=["average"]).comparisons
    assert frame.empty
    assert frame.columns[2:].tolist() == [
        *("method", "reference", "estimand", "interval", "measure"),
        *("value", "mcse", "lower", "upper", "used", "replicates"),
    ]


def test_contract_a_null_value_gives_rejection_differences(study_file, tmp_path):
    limits = "Estimate(sample.mean() + 0.01 * rng.normal())"
    path = study_file(
        (limits, "Estimate(sample.mean(), lower=sample.mean() - 1, upper=sample.mean() + 1)"),
        ("seed=7,", "seed=7, null=0.0,"),
    )
    results = run(path, tmp_path, jobs=1, quiet=True)
    rejection = results.comparisons[results.comparisons.measure == "rejection_difference"]
    assert len(rejection) == 4
    wide = results.intervals.assign(rejects=lambda t: (t.lower > 0) | (t.upper < 0)).pivot_table(
        index="condition", columns="method", values="rejects", aggfunc="mean", sort=False
    )
    assert rejection.value.to_numpy() == pytest.approx((wide["jittered"] - wide["average"]).values)
    assert (results.compare("jittered", "average").frame.measure == "rejection_difference").any()


def test_contract_bad_input_is_one_line(study_file, tmp_path, capfd):
    with pytest.raises(MCStudyError, match="reference 'best' is no method; choose from average"):
        run(study_file(("seed=7,", "seed=7, reference='best',")), tmp_path, quiet=True)
    results = run(study_file(), tmp_path, jobs=1, quiet=True, replicates=5)
    with pytest.raises(MCStudyError, match="no method 'best' here; there are average, jittered"):
        results.compare("average", "best")
    with pytest.raises(MCStudyError, match=r"no method 'averge' \(did you mean 'average'\?\) here"):
        results.compare("averge", "jittered")
    folder = str(results.folder)
    for arguments, message in (
        ([folder], "give two folders, a folder and a table of measures, or one folder and"),
        ([folder, folder, "--methods", "a,b"], "give two folders, "),
        ([folder, "--methods", "average"], "give two, the reference last"),
        ([folder, "--methods", "average,average"], "'average' is given twice"),
        ([folder, folder, "--equivalence"], "--equivalence is for two methods"),
        ([folder, folder, "--alpha", "5"], "--alpha is '5'"),
        ([folder, str(tmp_path)], "no tables here"),
    ):
        assert main(["compare", *arguments]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert message in err
        assert err.count("\n") == 1


def test_contract_the_verb_shows_the_paired_table(study_file, tmp_path, capsys):
    results = run(study_file(), tmp_path, jobs=1, quiet=True)
    assert main(["compare", str(results.folder), "--methods", "jittered,average"]) == 0
    out = capsys.readouterr().out
    assert out == f"{results.compare('jittered', 'average')}\n"
    for word in ("jittered against average, paired by replicate", "bias_difference"):
        assert word in out


def test_contract_factors_named_like_columns_keep_their_levels(study_file, tmp_path):
    """Every analysis of a study whose factors are called as its own columns are."""
    path = study_file(
        (
            "def simulate(rng, *, n, mean):",
            "def simulate(rng, *, failed, error):\n    n, mean = 9, 0",
        ),
        ("lambda *, n, mean: {", "lambda *, failed, error: {"),
        ('{"mean": mean}', '{"mean": 0}'),
        ("grid(n=[5, 10], mean=[0.0, 1.5])", "grid(failed=[5, 10], error=[0.5])"),
    )
    results = run(path, tmp_path, jobs=1, quiet=True, replicates=20)
    assert set(results.failure_overlap().frame["failed_factor"]) == {5, 10}
    assert set(results.sensitivity("rmse").frame["failed_factor"]) == {5, 10}
    assert set(results.equivalence("jittered", "average").frame["failed"]) == {5, 10}
    moved = compare_runs(results, results).frame
    assert set(moved["failed"]) == {5, 10}
    assert set(moved["error_factor"]) == {0.5}


def test_contract_a_spread_that_one_replicate_makes_alone_has_no_error():
    """Without it there is none, and what rounding leaves of it is no number to divide by."""
    one, two = np.zeros(200), np.zeros(200)
    one[[5, 9]] = two[5] = 1.0
    made = empirical_se_ratio(Pair(0.0, one, two))
    assert made.value == pytest.approx(2**0.5 * (1 - 2 / 200) ** 0.5 / (1 - 1 / 200) ** 0.5)
    assert np.isnan(made.mcse)
