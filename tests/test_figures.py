"""Figures: what they show is what the tables say, in any words, the same each time."""

import json
import re
import struct
import xml.etree.ElementTree as ET
import zlib

import pytest
from scipy import stats

from mcstudy import Estimate, MCStudyError, Study, grid, run
from mcstudy.cli import main
from mcstudy.figures import FIGURES, rendered, specification
from mcstudy.figures.style import method_colours

ODD = ('a "b" <script>alert(1)</script>', "x.y[0]", "\u202eright \U0001f642", "long" * 125)


def draw(rng, **factors):
    return rng.normal(size=12)


def mean(x):
    return {"t.h[0]<b>": Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5)}


def shrunk(x):
    return {"t.h[0]<b>": Estimate(0.9 * x.mean(), x.std(ddof=1) / len(x) ** 0.5)}


def fails(x):
    raise ValueError("no")


def results_of(folder, methods=None, conditions=None, **options):
    study = Study(
        name="s",
        simulate=draw,
        estimands=lambda **_: {"t.h[0]<b>": 0.0},
        methods=methods or {"</script><b>": mean, "other.method[1]": shrunk},
        conditions=conditions or grid(kind=[*ODD], n=[5, 10, 20]),
        replicates=30,
        seed=1,
        **options,
    )
    return run(study, folder, jobs=1, quiet=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    # Vega-Lite puts titles into expressions of its own: a quote and a backslash must not end them.
    labels = {"kind": 'odd "kind" \\ \x1b[31m', "n": "sample size", "other.method[1]": "shrunk"}
    return results_of(tmp_path_factory.mktemp("odd"), labels=labels)


def parts_of(thing):
    """Yield every mapping of a specification: charts, marks, encodings."""
    if isinstance(thing, dict):
        yield thing
    for value in thing.values() if isinstance(thing, dict) else thing:
        if isinstance(value, dict | list):
            yield from parts_of(value)


def marks(spec):
    """Return the marks of a specification, each with its kind and how it is drawn."""
    return [part["mark"] for part in parts_of(spec) if "type" in (part.get("mark") or ())]


def has_reference(spec):
    """Return whether a line is dashed, as those of targets are."""
    return any("strokeDash" in mark for mark in marks(spec))


def records(thing):
    """Yield all data of a specification."""
    if isinstance(thing, dict):
        values = thing.get("values")
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            yield from values
        for value in thing.values():
            yield from records(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from records(value)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FIGURES, "coverage", "bias"])
def test_contract_each_figure_is_small_the_same_each_time_and_can_be_drawn(results, name):
    spec = specification(results.plot(name))
    assert json.dumps(spec) == json.dumps(specification(results.plot(name)))
    assert len(json.dumps(spec)) < 1_000_000
    svg = rendered(results.plot(name), "svg")
    ET.fromstring(svg)
    assert b"<script" not in svg
    assert rendered(results.plot(name), "svg") == svg
    assert spec["usermeta"]["title"] in spec["description"]


def test_identity_a_measure_shows_the_numbers_of_the_table(results):
    frame = results.performance
    of = frame[frame["measure"] == "coverage"]
    shown = [r for r in records(specification(results.plot("coverage", x="n"))) if "v" in r]
    for ours, theirs in (("v", "value"), ("l", "lower"), ("u", "upper")):
        expected = sorted(float(f"{x:.6g}") for x in of[theirs])
        assert sorted(record[ours] for record in shown) == expected


def test_identity_a_path_ends_at_the_table(results):
    frame = results.performance
    of = frame[(frame["measure"] == "bias") & (frame["n"] == 5) & (frame["kind"] == ODD[1])]
    where = {"n": 5, "kind": ODD[1]}
    spec = specification(results.plot("path", measure="bias", where=where))
    last = {record["v"] for record in records(spec) if record.get("x") == 30}
    assert sorted(last) == sorted(float(f"{x:.6g}") for x in of["value"])


SHOW_A_MEASURE = ["lolly", "nested_loop", "path", "coverage"]


@pytest.mark.parametrize("name", [*SHOW_A_MEASURE, "bias_se_rmse", "heat"])
def test_contract_each_number_of_a_measure_has_its_monte_carlo_interval(results, name):
    spec = specification(results.plot(name))
    values = [record for record in records(spec) if "v" in record]
    assert values
    assert all(record["l"] <= record["v"] <= record["u"] for record in values)
    assert {"l", "u"} <= {part.get("field") for part in parts_of(spec)}
    drawn = any({"y2", "x2"} & set(part.get("encoding", ())) for part in parts_of(spec))
    assert drawn or name == "heat"  # whose tooltips have it


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOW_A_MEASURE)
@pytest.mark.parametrize(
    ("measure", "target"),
    [("coverage", True), ("bias", True), ("empirical_se", False), ("rmse", False)],
)
def test_contract_a_reference_line_stands_where_there_is_a_target(results, name, measure, target):
    asked = {"measure": measure} if name in FIGURES else {}
    figure = results.plot(name if asked else measure, x=None if asked else "n", **asked)
    assert has_reference(specification(figure)) == target


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FIGURES, "coverage"])
def test_contract_a_method_has_one_colour_in_all_figures(results, name):
    colours = method_colours(["</script><b>", "other.method[1]"])
    expected = {"</script><b>": colours["</script><b>"], "shrunk": colours["other.method[1]"]}
    for part in parts_of(specification(results.plot(name))):
        paint = part.get("color")
        if isinstance(paint, dict) and paint.get("field") == "m":
            shown = dict(zip(paint["scale"]["domain"], paint["scale"]["range"], strict=True))
            assert shown.items() <= expected.items()


@pytest.mark.slow
def test_contract_a_line_joins_numbers_and_no_categories(results):
    def kinds(name, **options):
        return {mark["type"] for mark in marks(specification(results.plot(name, **options)))}

    assert "line" in kinds("bias", x="n", facets="kind")
    assert "line" not in kinds("bias", x="kind", facets="n")
    assert "line" not in kinds("nested_loop")
    assert "line" not in kinds("bias_se_rmse", x="kind")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FIGURES, "coverage"])
def test_contract_names_are_the_labels_of_the_study_in_one_harmless_line(results, name):
    text = json.dumps(specification(results.plot(name)), ensure_ascii=False)
    assert "shrunk" in text
    assert "other.method[1]" not in text
    assert not re.search("[\x00-\x1f\u202e]", json.loads(json.dumps(text)))
    assert "long" * 20 not in text


def test_contract_a_caption_names_what_all_panels_share(results):
    figure = results.plot("zip", where={"n": 5, "kind": ODD[1]})
    caption = specification(figure)["usermeta"]["caption"][0]
    assert "sample size = 5" in caption
    assert "t.h[0]<b>" in caption
    assert "30 replicates" in caption


@pytest.mark.slow
def test_contract_a_notebook_shows_an_image_and_words(results):
    figure = results.plot("coverage", x="n")
    shown, size = figure._repr_mimebundle_()
    assert set(shown) == {"image/png", "text/plain"}
    assert shown["text/plain"] == figure.chart.description
    assert shown["text/plain"].startswith("Coverage by sample size")
    width, height = struct.unpack(">II", shown["image/png"][16:24])
    assert size["image/png"] == {"width": round(width / 2), "height": round(height / 2)}
    start = shown["image/png"].index(b"IDAT")
    (length,) = struct.unpack(">I", shown["image/png"][start - 4 : start])
    packed = shown["image/png"][start + 4 : start + 4 + length]
    assert len(zlib.decompress(packed)) == height * (1 + 4 * width)  # four bytes a pixel
    assert shown["image/png"].endswith(b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))


def test_contract_limits_far_outside_or_endless_are_drawn_to_the_edge(tmp_path):
    def far(x):
        upper = {0: 1e300, 1: float("inf")}.get(int(x[0] * 100) % 5, x.mean() + 1)
        return {"t.h[0]<b>": Estimate(x.mean(), 0.3, x.mean() - 1, upper)}

    spec = specification(results_of(tmp_path, {"m": far}, grid()).plot("zip"))
    bars = [record for record in records(spec) if "h" in record]
    assert len(bars) == 30
    assert any("to inf" in record["t"] for record in bars)
    assert max(record["u"] for record in bars) < 10


def test_contract_intervals_of_an_estimand_are_drawn_on_one_scale(tmp_path):
    def wide(x, by):
        return {"t.h[0]<b>": Estimate(x.mean(), 0.1, x.mean() - by, x.mean() + by)}

    for times, own in ((3, False), (100, True)):
        methods = {"a": lambda x: wide(x, 1.0), "b": lambda x, by=times: wide(x, float(by))}
        spec = specification(results_of(tmp_path / str(times), methods, grid()).plot("zip"))
        scales = [part["scale"]["domain"] for part in parts_of(spec) if part.get("field") == "l"]
        domains = {tuple(domain) for domain in scales}
        assert len(domains) == 1 + own
        said = " ".join(spec["title"]["subtitle"])
        assert ("each panel has its own scale" in said) == own


def test_contract_a_method_keeps_its_colour_where_others_are_left_out(results):
    colours = method_colours(["</script><b>", "other.method[1]"])
    text = json.dumps(specification(results.plot("bias", x="n", method="other.method[1]")))
    assert colours["other.method[1]"] in text
    assert colours["</script><b>"] not in text


@pytest.mark.slow
def test_contract_a_page_needs_no_network_and_holds_no_foreign_script(results):
    page = rendered(results.plot("coverage", x="n"), "html").decode()
    spec = re.search(r'id="specification">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(spec) == specification(results.plot("coverage", x="n"))
    assert not re.search(r'<(script|link)[^>]*(src|href)="http', page)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "no figure 'nonsense'"),
        (["coverage", "--x", "size"], "no column 'size'"),
        (["coverage", "--x", "n", "--facets", "n"], "n is given twice among x, y and facets"),
        (["coverage", "--where", "n=7"], "no n=7 here"),
        (["path", "--measure", "warned"], "cannot follow 'warned'"),
    ],
)
def test_contract_bad_input_is_one_line(results, tmp_path, capsys, arguments, said):
    out = str(tmp_path / "f.svg")
    assert main(["plot", str(results.folder), *arguments, "--output", out]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_contract_the_command_writes_a_file_by_its_name(results, tmp_path, capsys):
    folder = str(results.folder)
    assert main(["plot", folder, "bias", "--output", str(tmp_path / "f.gif")]) == 2
    assert "ends in .svg" in capsys.readouterr().err
    for kind, begin in (("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        path = tmp_path / f"f.{kind}"
        assert main(["plot", folder, "bias", "--x", "n", "--output", str(path)]) == 0
        assert path.read_bytes().startswith(begin)


def test_contract_where_all_fits_failed_only_statuses_can_be_shown(tmp_path):
    results = results_of(tmp_path, {"m": fails}, grid(), level=0.9)
    assert "0" in json.dumps(specification(results.plot("statuses")))
    for name in FIGURES:
        if name != "statuses":
            with pytest.raises(MCStudyError) as raised:
                results.plot(name)
            assert re.fullmatch(r"[^\n]{20,200}", str(raised.value))


@pytest.mark.slow
def test_contract_without_rows_figures_of_measures_work_and_others_say_why(tmp_path):
    results = results_of(tmp_path, {"m": mean, "k": shrunk}, grid(n=[5, 10]), keep="measures")
    for name in ("coverage", "lolly", "heat", "nested_loop", "bias_se_rmse", "statuses"):
        specification(results.plot(name))
    with pytest.raises(MCStudyError, match="keeps measures"):
        results.plot("zip")


@pytest.mark.slow
def test_contract_a_study_of_one_condition_and_one_method_has_figures(tmp_path):
    results = results_of(tmp_path, {"m": mean}, grid())
    for name in {*FIGURES, "bias"} - {"nested_loop", "methods"}:
        specification(results.plot(name))


def test_contract_methods_with_an_interval_each_of_their_own_share_the_panels(tmp_path):
    def named(name):
        def method(x):
            half = 2 * x.std(ddof=1) / len(x) ** 0.5
            limits = {name: (x.mean() - half, x.mean() + half)}
            return {"t.h[0]<b>": Estimate(x.mean(), intervals=limits)}

        return method

    methods, conditions = {"a": named("wald"), "b": named("score")}, grid(n=[5, 10])
    made = results_of(tmp_path / "own", methods, conditions)
    for name in ("coverage", "nested_loop"):
        spec = made.plot(name).to_dict()
        assert "intervals wald of a, score of b" in spec["title"]["subtitle"][0]
        assert not [each for each in parts_of(spec) if each.get("field") in ("interval", "r")]
    both = {"a": named("wald"), "b": named("wald"), "c": named("score")}
    shared = results_of(tmp_path / "shared", both, conditions).plot("coverage").to_dict()
    assert "intervals wald of a, wald of b, score of c" in shared["title"]["subtitle"][0]


def test_contract_a_coverage_that_lacks_intervals_is_drawn_with_its_bounds(tmp_path):
    def gone(x):
        half = float("nan") if x[0] > 1 else 0.9
        limits = {"i": (x.mean() - half, x.mean() + half)}
        return {"t.h[0]<b>": Estimate(x.mean(), intervals=limits)}

    methods = {"whole": mean, "gone": gone}
    results = results_of(tmp_path, methods=methods, conditions=grid(n=[5, 10, 20]))
    frame = results.performance.query("measure == 'coverage' and method == 'gone'")
    of_all = results.performance.query("measure == 'coverage_of_all' and method == 'gone'")
    assert (frame.used < frame.replicates).all()
    for figure in (results.plot("coverage"), results.plot("lolly")):
        spec = specification(figure)
        bounds = sorted(record["b"] for record in records(spec) if "b" in record)
        assert bounds == sorted(float(f"{x:.6g}") for x in of_all.value)
        assert "in 3 cells more than 1 %" in " ".join(spec["title"]["subtitle"])
        assert {"b", "d"} <= {part.get("field") for part in parts_of(spec)}
    whole = specification(results.plot("coverage", method="whole"))
    assert not [record for record in records(whole) if "b" in record]
    assert "more than 1 %" not in " ".join(whole["title"]["subtitle"])
    zipped = results.plot("zip")
    assert "SE, or half the width of the interval where" in specification(zipped)["title"]["text"]
    heat = " ".join(specification(results.plot("heat", measure="coverage"))["title"]["subtitle"])
    assert "Monte Carlo standard error at most 0." in heat
    assert "coverage_of_all counts" in heat


def test_identity_p_values_of_welchs_test_are_those_of_its_degrees_of_freedom(tmp_path):
    """Each replicate has its own; with those of the normal distribution p is too small."""

    def welch(data):
        test = stats.ttest_ind(*data, equal_var=False)
        difference = data[0].mean() - data[1].mean()
        error = abs(difference / test.statistic)
        return {"d": Estimate(difference, error, df=test.df)}

    study = Study(
        name="welch",
        simulate=lambda rng: (rng.normal(size=5), rng.normal(0, 3, size=4)),
        estimands=lambda: {"d": 0.0},
        methods={"welch": welch},
        conditions=grid(),
        replicates=200,
        seed=3,
        null=0.0,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    cells = results.performance
    rejection = cells[cells["measure"] == "rejection"]["value"].item()
    said = results.plot("pvalues").chart.description
    assert f"welch: {rejection:.3f} of 200 p-values at or below 0.05" in said


def test_contract_estimates_without_a_truth_claim_none(tmp_path):
    study = Study(
        name="plain",
        simulate=lambda rng: rng.normal(size=5),
        estimands=None,
        methods={"mean": lambda x: {"m": x.mean()}},
        conditions=grid(),
        replicates=20,
        seed=3,
    )
    chart = run(study, tmp_path, jobs=1, quiet=True).plot("estimates").chart
    assert chart.usermeta["title"] == "Estimates"
    assert "truth" not in chart.description
