"""The report: each rule of a published report is looked for on the page."""

import html
import json
import re
import shlex
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from report_studies import HOSTILE, TRIAL

from mcstudy import Estimate, Skip, Study, grid, open_results, run
from mcstudy.analysis.precision import target
from mcstudy.cli import main
from mcstudy.errors import ResultsError
from mcstudy.report.cells import page_data
from mcstudy.report.findings import findings


class Page(HTMLParser):
    """The text of a page by section, and its elements."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.elements, self.ids = {"": ""}, [], []
        self._section, self._hidden = "", 0
        self.feed(text)
        self.data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "section":
            self._section = attributes["id"]
            self.sections[self._section] = ""
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, text):
        if not self._hidden:
            self.sections[self._section] = " ".join(
                f"{self.sections[self._section]} {text}".split()
            )

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    (folder / "trial.py").write_text(TRIAL)
    results = run(folder / "trial.py", folder / "results", jobs=1, quiet=True)
    return results, results.report().read_text()


@pytest.fixture(scope="module")
def page(trial):
    return Page(trial[1])


def test_contract_head_has_title_date_seed_and_aims(trial, page):
    head = page.sections[""]
    assert "trial Simulation study: 4 conditions, 2 methods, 60 replicates of each" in head
    assert "seed 4; " + trial[0].study["runs"][0]["started"][:10] in head
    assert "Does the trimmed mean keep its level? It is compared with the mean" in head
    assert "same samples: <code>mean</code> &amp; <code>shrunken</code>.</p>" in trial[1]
    assert "<code>mcstudy run trial.py\nmcstudy report results/trial</code>" in trial[1]
    assert list(page.sections)[1:] == [
        *("findings", "explore", "figures", "cells"),
        *("failures", "adequacy", "protocol", "environment"),
    ]


def test_contract_whether_the_study_is_good_enough_is_told(trial, page):
    text = page.sections["adequacy"]
    for check in trial[0].adequacy().checks:
        assert f"{check.name} {check.sentence}" in text


def test_contract_data_generating_function_is_shown_with_digest_factors_and_design(trial, page):
    text = page.sections["protocol"]
    assert "Draw normal values around the effect." in text
    assert "return rng.normal(effect, size=n)" in text
    assert trial[0].study["marks"]["mean"]["simulate"] in text
    assert "Conditions: 4, all combinations of the levels." in text
    assert "sample size (n in the code) 10, 20" in text
    assert "kind normal (fixed)" in text


def test_contract_truths_and_methods_are_shown_with_options_and_versions(page):
    text = page.sections["protocol"]
    assert "True values by condition" in text
    assert "Null values, which rejection is about: effect = 0." in text
    assert "Shrunken mean (shrunken in the code) Mean that is drawn to 0" in text
    assert re.search(r"with numpy [\d.]+", text)


def test_contract_every_measure_leads_to_its_definition_and_its_error(page):
    for measure in page.data["measures"]:
        assert f"measure-{measure['name']}" in page.ids
    assert "Bias mean of e. MCSE: sd(e)/sqrt(n)." in page.sections["protocol"]
    assert (
        "spread Largest less smallest estimate. MCSE: as its function" in page.sections["protocol"]
    )


def test_contract_number_of_replicates_is_justified_by_its_errors(page):
    text = page.sections["protocol"]
    assert "With 60, the Monte Carlo standard error of a coverage of 95 % is 2.8 percentage" in text
    assert "Largest Monte Carlo standard error of Coverage:" in text
    assert "No precision was asked for" in text


def test_contract_every_number_stands_with_its_error_and_how_many_it_rests_on(trial, page):
    rows, frame = page.data["rows"], trial[0].performance
    others = len(trial[0].comparisons) + len(trial[0].fit_measures)
    assert len(rows["value"]) == len(frame) + others
    assert rows["used"][: len(frame)] == frame["used"].tolist()
    for value, shown in zip(rows["value"], rows["shown"], strict=True):
        assert (shown == "-") if value is None else re.fullmatch(r"\S+ \(\S+\)( \[.*\])?", shown)


def test_contract_only_measures_with_a_target_have_one(page):
    targets = {each["name"]: each["target"] for each in page.data["measures"]}
    assert targets["bias"] == 0
    assert targets["coverage"] == 0.95
    assert targets["bias_difference"] == 0
    assert targets["relative_efficiency"] == 1
    assert targets["empirical_se"] is targets["rmse"] is None
    assert targets["rejection"] == 0.05  # where the null hypothesis is true


def test_contract_failures_rankings_and_warnings_are_told(page):
    text = page.sections["failures"]
    assert "Fits that did not end ok" in text
    assert "Ranking of the methods by rmse" in text
    assert "Shrunken mean 31 UserWarning: a small value" in text
    assert "ValueError: an outlier" in text or "error" in text


def test_contract_nothing_is_hidden_and_that_is_said(page):
    assert "Every condition, method and measure; nothing is averaged" in page.sections["cells"]
    assert "Throughout: kind = normal." in page.sections["cells"]
    assert {each["label"] for each in page.data["methods"] if not each["pair"]} == {
        *("mean", "Shrunken mean")
    }


def test_contract_methods_are_contrasted_in_pairs(trial, page):
    pairs = [each["label"] for each in page.data["methods"] if each["pair"]]
    assert pairs == ["Shrunken mean against mean"]
    assert "Shrunken mean" in page.sections["findings"]


def test_contract_rule_stands_before_the_findings(page):
    text = page.sections["findings"]
    assert text.index("A sentence is marked") < text.index("The interval")


def test_contract_figures_have_words_and_heads_have_scope(trial, page):
    drawings = [each for each in page.of("div") if each.get("role") == "img"]
    assert len(drawings) >= 6
    assert all(re.search(r"\d", each["aria-label"]) for each in drawings)
    assert all("scope" in attributes for attributes in page.of("th"))
    titles = [json.loads(text)["usermeta"]["title"] for text in _specifications(trial[1])]
    assert all(f"<h3>{html.escape(title)}</h3>" in trial[1] for title in titles)
    assert "Intervals ranked by |estimate - truth| / SE" in titles
    assert "Estimates and the truth" in titles
    assert "Standard error against estimate" in titles


def _specifications(text):
    inner = text[text.index('<section id="figures">') : text.index('<section id="cells">')]
    return re.findall(r'<script type="application/json">(.*?)</script>', inner, re.S)


def test_contract_environment_says_on_what_it_ran_and_how_to_run_it_again(trial, page):
    results, text = trial[0], page.sections["environment"]
    run_of = results.study["runs"][0]
    for words in (run_of["platform"], f"{run_of['fits']} fits in", "python 3", "numpy", "workers"):
        assert words in text
    assert "mcstudy run trial.py" in text
    assert f"mcstudy table {results.folder} --measure coverage --format latex" in text
    for name in ("performance", "fits", "estimates"):
        assert results.study["tables"][name] in text
    assert results.study["source_digest"] in text
    assert "No row is from older code. No row was discarded." in text


def test_contract_replay_command_of_the_page_runs(trial, page, capsys):
    found = re.search(r"mcstudy (replay .*? --trust)", page.sections["environment"])
    assert main(shlex.split(found[1])) == 0
    assert "bit for bit" in capsys.readouterr().out
    found = re.search(r"mcstudy (table .*? --format latex)", page.sections["environment"])
    assert main(shlex.split(found[1])) == 0
    assert "tabular" in capsys.readouterr().out


def test_contract_page_asks_for_nothing_from_elsewhere(trial, page):
    assert page.of("link") + page.of("img") == []
    assert all("src" not in each for each in page.of("script"))
    assert all(each["href"].startswith("#") for each in page.of("a"))
    assert all(each["href"].removeprefix("#") in page.ids for each in page.of("a"))


@pytest.mark.slow
def test_contract_same_results_give_the_same_bytes(trial, tmp_path):
    results, text = trial
    again = open_results(results.folder).report(tmp_path / "again.html").read_text()
    assert again == text


@pytest.mark.slow
def test_contract_page_of_a_study_at_work_says_so(trial, tmp_path):
    from mcstudy.report.page import write_report

    path = write_report(trial[0], tmp_path / "now.html", running=True)
    assert "A run is at work" in Page(path.read_text()).sections[""]
    assert "A run is at work" not in trial[1]


@pytest.mark.slow
def test_contract_page_of_an_unfinished_study_says_how_many_conditions_it_has(trial, tmp_path):
    results = open_results(trial[0].folder)
    frame = results.performance
    results.__dict__["performance"] = frame[frame["n"] == 10]
    results.__dict__["comparisons"] = results.comparisons[results.comparisons["n"] == 10]
    head = Page(results.report(tmp_path / "half.html").read_text()).sections[""]
    assert "Simulation study: 2 of 4 conditions so far, 2 methods" in head


def test_contract_a_path_that_cannot_be_written_is_one_line(trial, tmp_path):
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "x.html", "there is no folder"),
    ):
        with pytest.raises(ResultsError, match=words):
            trial[0].report(path)


def _plain(rng, *, level):
    return rng.normal(size=8)


def _mean(x):
    return {HOSTILE["tag"]: Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5)}


def _skips(x):
    raise Skip("not for these data")


def _fails(x):
    raise ValueError(HOSTILE["tag"] + HOSTILE["control"])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    study = Study(
        name="hostile",
        aims=" ".join(HOSTILE.values()).replace("\x1b", "").replace("\u202e", ""),
        simulate=_plain,
        estimands=lambda *, level: {HOSTILE["tag"]: 0.0},
        methods={HOSTILE["quotes"]: _mean, HOSTILE["signs"]: _mean, HOSTILE["tag"]: _fails},
        conditions=grid(level=list(HOSTILE.values())),
        replicates=10,
        seed=1,
    )
    return run(study, tmp_path_factory.mktemp("hostile"), jobs=1, quiet=True)


@pytest.mark.slow
def test_contract_names_are_text_whatever_they_are(hostile):
    text = hostile.report().read_text()
    page = Page(text)
    assert "<script>alert" not in text
    assert "</td>&amp;" not in text.replace("&lt;/td&gt;&amp;amp;", "")
    assert "{{ 7*7 }}" in page.sections[""]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert (
        len(page.data["factors"][0]["levels"]) == len(set(page.data["factors"][0]["levels"])) == 6
    )


@pytest.mark.slow
def test_contract_a_study_without_a_usable_fit_has_a_page(tmp_path):
    study = Study(
        name="fails",
        simulate=_plain,
        estimands=lambda *, level: {"mu": 0.0},
        methods={"never": _fails, "skips": _skips},
        conditions=grid(level=[1, 2]),
        replicates=5,
        seed=1,
    )
    page = Page(run(study, tmp_path, jobs=1, quiet=True).report().read_text())
    assert "All fits of never failed: error." in page.sections["findings"]
    assert "Aims: to fill in" in page.sections[""]
    assert "No figure estimates: no fit here has an estimate" in page.sections["figures"]


@pytest.mark.parametrize("name", ["low", "high", "lacks", "null", "size", "share", "rmse"])
def test_identity_findings_do_not_depend_on_what_a_factor_is_called(tmp_path, name):
    def said(name):
        study = Study(
            name="named",
            simulate=lambda rng, **factors: rng.normal(0.1 * factors[name], size=9),
            estimands=lambda **factors: {"mean": 0.1 * factors[name]},
            methods={"short": _short},
            conditions=grid(**{name: [0, 1, 2]}),
            replicates=40,
            seed=3,
            null=0.0,
            streams="common",  # the data do not depend on the name either
        )
        return findings(run(study, tmp_path / name, jobs=1, quiet=True))

    plain = str(said("dose"))
    assert "dose = " in plain
    assert str(said(name)) == plain.replace("dose", name)


def _short(x):
    if x[0] > 1.6:
        raise ValueError("large")
    return {"mean": Estimate(x.mean() + 0.2, 0.2)}


def test_contract_one_condition_and_one_method_make_a_page(tmp_path):
    study = Study(
        name="one",
        aims="One mean.",
        simulate=lambda rng: rng.normal(size=9),
        estimands=lambda: {"mu": 0.0},
        methods={"mean": lambda x: {"mu": Estimate(x.mean(), x.std(ddof=1) / 3)}},
        conditions=grid(),
        replicates=20,
        seed=1,
    )
    page = Page(run(study, tmp_path, jobs=1, quiet=True).report().read_text())
    assert "There is one condition, without factors." in page.sections["protocol"]
    assert "The true mu is 0." in page.sections["protocol"]
    assert "No fit failed." in page.sections["findings"]
    assert "No figure" not in page.sections["figures"]


def test_contract_a_study_that_keeps_measures_only_has_a_page(tmp_path):
    study = Study(
        name="sums",
        simulate=_plain,
        estimands=lambda *, level: {"mu": 0.0},
        methods={"a": lambda x: {"mu": Estimate(x.mean(), x.std(ddof=1) / 8**0.5)}}
        | {"b": lambda x: {"mu": Estimate(np.median(x))}},
        conditions=grid(level=[1, 2]),
        replicates=20,
        seed=1,
        keep="measures",
    )
    page = Page(run(study, tmp_path, jobs=1, quiet=True).report().read_text())
    assert "No rows are kept" in page.sections["failures"]
    assert "Bias" in {each["label"] for each in page.data["measures"]}


@pytest.mark.slow
def test_contract_two_hundred_conditions_of_three_methods_fit_in_five_megabytes(tmp_path):
    def estimate(x):
        return {"mu": Estimate(x.mean(), x.std(ddof=1) / len(x) ** 0.5)}

    study = Study(
        name="many",
        simulate=lambda rng, *, n, mu: rng.normal(mu, size=n),
        estimands=lambda *, n, mu: {"mu": mu},
        methods={"a": estimate, "b": lambda x: estimate(x[1:]), "c": lambda x: estimate(x[2:])},
        conditions=grid(n=[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], mu=np.arange(20.0).tolist()),
        replicates=10,
        seed=1,
    )
    path = run(study, tmp_path, jobs=1, quiet=True).report()
    assert path.stat().st_size < 5e6
    assert len(Page(path.read_text()).data["rows"]["value"]) > 10_000


@pytest.mark.slow
def test_contract_a_run_writes_the_report_once_and_says_where(
    study_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("MCSTUDY_REPORT")
    path = tmp_path / "results" / "normal" / "report.html"
    command = ["run", str(study_file()), "--results", str(tmp_path / "results"), "--jobs", "1"]
    main([*command, "--replicates", "20", "--no-report"])
    assert not path.exists()
    capsys.readouterr()
    main([*command, "--replicates", "20"])
    assert capsys.readouterr().out.endswith(f"Report: {path}\n")
    written = path.stat().st_mtime_ns
    main([*command, "--replicates", "20"])
    assert path.stat().st_mtime_ns == written
    main([*command, "--replicates", "24"])
    assert path.stat().st_mtime_ns > written
    assert "24 replicates" in Page(path.read_text()).sections[""]


def test_contract_a_report_that_cannot_be_written_does_not_end_a_run(
    study_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("MCSTUDY_REPORT")
    (tmp_path / "normal" / "report.html").mkdir(parents=True)
    command = ["run", str(study_file()), "--results", str(tmp_path), "--jobs", "1"]
    assert main([*command, "--replicates", "20"]) == 0
    assert "Report: not written (ResultsError: " in capsys.readouterr().out


def test_contract_the_page_and_the_figures_have_the_same_targets(trial):
    on_page = {of["name"]: of["target"] for of in page_data(trial[0])["measures"]}
    assert on_page["miss_above"] == pytest.approx(0.025)
    for name, aim in ((name, target(name, 0.95)) for name in on_page):
        assert np.isnan(aim) or on_page[name] == aim


def test_contract_without_the_table_of_fits_all_measures_are_shown(trial, tmp_path):
    folder = tmp_path / "trial"
    shutil.copytree(trial[0].folder, folder)
    (folder / "fits.parquet").unlink()
    shown = str(open_results(folder).document(verbose=True))
    assert "bias" in shown
    assert "Seconds" not in shown


@pytest.mark.slow
def test_contract_verb_writes_where_it_is_told(trial, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["report", str(trial[0].folder), "--output", str(path)]) == 0
    assert capsys.readouterr().out == f"Report: {path}\n"
    assert path.read_text() == trial[1]


# What the findings say of known laws.


def _made(tmp_path, method, **more):
    study = Study(
        name="law",
        simulate=lambda rng, *, k: rng.normal(size=20),
        estimands=lambda *, k: {"mu": 0.0},
        methods={"m": method},
        conditions=grid(k=list(range(10))),
        replicates=200,
        seed=11,
        **more,
    )
    return run(study, tmp_path, jobs=1, quiet=True)


def test_law_an_exact_method_is_found_in_order(tmp_path):
    results = _made(tmp_path, lambda x: {"mu": Estimate(x.mean(), 20**-0.5)})
    found = findings(results)
    assert not [each.text for each in found if each.warns]
    assert any("No coverage is below 95 % by more than" in each.text for each in found)


def test_law_a_method_that_is_off_is_found(tmp_path):
    results = _made(tmp_path, lambda x: {"mu": Estimate(x.mean() + 0.2, 0.5 * 20**-0.5)})
    warned = " ".join(each.text for each in findings(results) if each.warns)
    assert "The interval “wald” of m contains mu in" in warned
    assert "m overestimates mu by 0.2" in warned
    assert re.search(r"that m returns for mu are (up to )?5\d % \(\d\) smaller", warned)


def test_contract_size_and_power_are_told_apart(tmp_path):
    study = Study(
        name="power",
        simulate=lambda rng, *, mu: rng.normal(mu, size=20),
        estimands=lambda *, mu: {"mu": mu},
        methods={"m": lambda x: {"mu": Estimate(x.mean(), 20**-0.5)}},
        conditions=grid(mu=[0.0, 3.0]),
        replicates=100,
        seed=2,
        null=0.0,
    )
    said = [each.text for each in findings(run(study, tmp_path, jobs=1, quiet=True))]
    assert any(
        re.search(r"null value of mu in [1-9] % \(\d\) .* true \(nominal 5 %\)", x) for x in said
    )
    assert any("in 100 % (>96.3) of the data sets where it is false (its power)" in x for x in said)


def test_contract_missing_intervals_are_bounded_in_the_findings(tmp_path):
    def half(x):
        return {"mu": Estimate(x.mean(), 0.1 * 20**-0.5 if x[0] > 0 else np.nan)}

    said = " ".join(each.text for each in findings(_made(tmp_path, half)))
    assert "of the data sets in which it exists" in said
    assert re.search(r"Some are missing at k = \d: \S+ % \(\S+\) of all data sets have", said)


def test_contract_intervals_that_are_missing_are_not_counted_as_reaching_the_level(tmp_path):
    """They cover enough where they exist, which says little where they do not."""

    def gone(x):
        return {"mu": Estimate(x.mean(), 20**-0.5 if x[0] < 0.3 else np.nan)}

    found = findings(_made(tmp_path, gone))
    (own,) = (each for each in found if "is missing in" in each.text)
    assert own.warns
    assert re.search(
        r"wald” of m for mu is missing in [34]\d % \(\d\) of the data sets at k = \d", own.text
    )
    assert re.search(
        r"[56]\d % \(\d\) of all data sets have one that contains it, or 9\S+ % \(", own.text
    )
    assert own.text.endswith("it is missing in more than 1 % in 10 of 10 conditions.")
    assert not any("No coverage" in each.text for each in found)
    assert not any("coverage is above" in each.text for each in found)


def test_contract_an_interval_that_a_condition_never_has_is_missing_there(tmp_path):
    def never(x):
        return {"mu": Estimate(x.mean(), 20**-0.5 if len(x) > 10 else np.nan)}

    study = Study(
        name="never",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=lambda *, n: {"mu": 0.0},
        methods={"m": never},
        conditions=grid(n=[10, 20]),
        replicates=50,
        seed=2,
    )
    said = [each.text for each in findings(run(study, tmp_path, jobs=1, quiet=True))]
    assert any(
        "for mu is missing in 100 % of the data sets at n = 10: there is none; it is missing in "
        "more than 1 % in 1 of 2 conditions." in text
        for text in said
    )
    assert not any("No coverage" in text for text in said)


def test_contract_a_bias_of_the_other_sign_elsewhere_is_told(tmp_path):
    study = Study(
        name="signs",
        simulate=lambda rng, *, mu: rng.normal(mu, size=20),
        estimands=lambda *, mu: {"mu": mu},
        methods={"half": lambda x: {"mu": Estimate(x.mean() / 2)}},
        conditions=grid(mu=[-1.0, 3.0]),
        replicates=100,
        seed=2,
    )
    said = [each.text for each in findings(run(study, tmp_path, jobs=1, quiet=True))]
    assert any(
        text.startswith("half underestimates mu by 1.5") and "; it overestimates it at" in text
        for text in said
    )


def test_contract_methods_that_do_the_same_are_said_to_and_others_only_not_to_differ(tmp_path):
    study = Study(
        name="pairs",
        simulate=lambda rng: rng.normal(size=20),
        estimands=lambda: {"mu": 0.0},
        methods={
            "mean": lambda x: {"mu": Estimate(x.mean())},
            "same": lambda x: {"mu": Estimate(x.mean())},
            "half": lambda x: {"mu": Estimate(x[:19].mean())},
        },
        conditions=grid(),
        replicates=20,
        seed=2,
    )
    said = [each.text for each in findings(run(study, tmp_path, jobs=1, quiet=True))]
    alike = "Every measure of same is that of mean, to the last bit: what follows is told of mean."
    assert said[0] == alike
    assert (
        "The mean squared errors of mean and half for mu do not differ beyond Monte Carlo error."
        in said
    )


def test_contract_failures_of_one_condition_are_not_averaged_away(tmp_path):
    def fails(x):
        if len(x) == 5 and x[0] > 0:
            raise ValueError("no")
        return {"mu": Estimate(x.mean())}

    study = Study(
        name="fails",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=lambda *, n: {"mu": 0.0},
        methods={"m": fails},
        conditions=grid(n=[5, 10, 20, 40]),
        replicates=100,
        seed=2,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    count = int((results.fits["status"] == "error").sum())
    said = " ".join(each.text for each in findings(results))
    assert f"{count} of 400 fits of m failed" in said
    assert f"at most {count} % (5), at n = 5): error." in said


@pytest.mark.slow
def test_contract_a_mean_width_that_a_few_intervals_make_is_told(tmp_path):
    def odd(x):
        half = 1e9 if x.max() > 3.4 else 1.0
        return {"mu": Estimate(x.mean(), intervals={"i": (x.mean() - half, x.mean() + half)})}

    said = [each for each in findings(_made(tmp_path, odd)) if "mean width" in each.text]
    assert len(said) == 1
    assert said[0].warns
    assert "a few very wide intervals dominate it." in said[0].text

    def plain(x):
        return {"mu": Estimate(x.mean(), 1.0)}

    found = findings(_made(tmp_path / "plain", plain))
    assert not any("mean width" in each.text for each in found)


def _sometimes(x):
    if x[0] > 0.5:
        raise ValueError("large")
    return {"mean": Estimate(x.mean(), 0.05, df=7)}


def test_contract_coverages_are_compared_and_what_comparisons_rest_on_is_said(tmp_path):
    study = Study(
        name="pairs",
        simulate=lambda rng, *, n: rng.normal(size=n),
        estimands=lambda *, n: {"mean": 0.0},
        methods={
            "wide": lambda x: {"mean": Estimate(x.mean(), 0.5, df=7)},
            "narrow": _sometimes,
        },
        conditions=grid(n=[5, 20]),
        replicates=200,
        seed=2,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    said = [finding.text for finding in findings(results)]
    (coverage,) = [text for text in said if "coverage of the interval “wald” of wide" in text]
    assert "where both have one), the coverage" in coverage
    assert "is above that of narrow in 2 of 2 conditions; the largest difference is 0." in coverage
    (equal,) = [text for text in said if text.startswith("The mean squared errors of")]
    assert re.search(
        r"are the same, on the data sets in which both have one \(at least \d+ of 200\)", equal
    )
    (low,) = [text for text in said if "of narrow contains" in text]
    assert re.search(r", lowest at n = 5; nominal 95 %", low)


def _many(rng):
    return rng.normal(size=(14, 5))


def _means(shift):
    def method(x):
        return {f"e{i:02d}": Estimate(row.mean() + shift, 0.5) for i, row in enumerate(x)}

    return method


def test_contract_a_study_of_many_estimands_shows_some_and_says_so(tmp_path):
    study = Study(
        name="many",
        simulate=_many,
        estimands=lambda: {f"e{i:02d}": 0.0 for i in range(14)},
        methods={"a": _means(0.0), "b": _means(0.0), "c": _means(9.0)},
        conditions=grid(),
        replicates=6,
        seed=1,
    )
    results = run(study, tmp_path, jobs=1, quiet=True)
    note = "the first 12 of 14 estimands"
    for name in ("estimates", "se_against_estimate", "bias_se_rmse"):
        assert note in json.dumps(results.plot(name).chart.to_dict())
    own = results.plot("estimates", estimand=["e00", "e13"]).chart.to_dict()
    assert note not in json.dumps(own)
    with pytest.raises(ResultsError, match="panels are too many for a figure"):
        results.plot("methods")
    said = [finding.text for finding in findings(results)]
    assert said[0] == "Every measure of b is that of a, to the last bit: what follows is told of a."
    differ = "the mean squared error of c for e00 is above that of a in 1 condition."
    assert f"On the same data sets, {differ}" in said
