"""The page: its numbers come from the results, unfinished runs are said, sentences follow from intervals."""

import numpy as np
import pytest
from claims import ALL, CLAIMS, GROUPS, VARIANTS, Comparison, group_named, runs_of
from run_records import Record, pack_wrong, sets_of
from write_table import by_run, cells_of, document, language_of, rows_of, sentence

from fairseq_distill.errors import DataError

ETHIOPIC, LAKES, SWAHILI = (group_named(name) for name in ("ethiopic", "lakes", "swahili"))


def set_of(lang):
    return f"dev.eng-{lang}"


def make(name, group, seed, share, n=60, key=""):
    """Records of a variant for a group and a seed: ``share`` of each development set is wrong, the same sentences each time."""
    records = []
    for run in runs_of(VARIANTS[name], group, seed):
        languages = [lang for each in GROUPS for lang in each.languages] if run.group == ALL else run.languages
        bits = np.arange(n) < round(share * n)
        wrong = {set_of(lang): {"absolute": ~bits, "distance": bits, "ratio": bits} for lang in languages}
        records.append(
            Record(f"{key}{run.name}", name, run.group, run.lang, seed, "cpu", 800, sets_of(wrong), pack_wrong(wrong))
        )
    return records


def test_language_of_a_development_set():
    assert [language_of(name) for name in ("hornmt.eng-amh", "a_b.eng-swa-2")] == ["amh", "swa"]


def test_rows_means_differences_and_runs():
    records = [
        *make("base", ETHIOPIC, 1, 0.5),
        *make("base", LAKES, 1, 0.3),
        *make("mlm", ETHIOPIC, 1, 0.2),
        *make("mlm", ETHIOPIC, 2, 0.1),  # no partner yet
    ]
    base, mlm = rows_of(Comparison("t", ("base", "mlm")), [ETHIOPIC, LAKES, SWAHILI], [1, 2, 3], by_run(records))
    assert base.mean.mean == pytest.approx(40) and base.groups == pytest.approx({"ethiopic": 50, "lakes": 30})
    assert base.difference is None and (base.done, base.planned) == (2, 9)
    assert mlm.mean.mean == pytest.approx(15) and (mlm.done, mlm.planned) == (2, 9)
    assert mlm.difference.mean == pytest.approx(-30)  # ethiopic, seed 1, alone
    assert sentence(mlm, base, 1).startswith('- + MLM: better than "base: mean-pooled, cosine", -30.00 (')
    assert sentence(base, mlm, 1).startswith("- base: mean-pooled, cosine: nothing to compare yet (2 of 9 runs)")


def test_single_language_students_count_when_all_of_a_group_are_there():
    records = make("single", ETHIOPIC, 1, 0.25)
    cells = cells_of("single", "distance", [ETHIOPIC, SWAHILI], [1], by_run(records))
    assert list(cells) == ["ethiopic"] and sorted(cells["ethiopic"][1]) == sorted(map(set_of, ETHIOPIC.languages))
    assert cells_of("single", "distance", [ETHIOPIC], [1], by_run(records[1:])) == {}


def test_the_student_for_all_languages_is_judged_group_by_group():
    cells = cells_of("all", "distance", [ETHIOPIC, SWAHILI], [1], by_run(make("all", ETHIOPIC, 1, 0.25)))
    assert sorted(cells["ethiopic"][1]) == sorted(map(set_of, ETHIOPIC.languages))
    assert sorted(cells["swahili"][1]) == [set_of("swa")]


def test_margins_are_rows_of_one_run():
    comparison = next(claim for claim in CLAIMS if claim.letter == "h").comparisons[0]
    found = by_run([*make("base", ETHIOPIC, 1, 0.25), *make("base", LAKES, 1, 0.25)])
    distance, ratio, absolute = rows_of(comparison, [ETHIOPIC, LAKES], [1], found)
    assert distance.mean.mean == pytest.approx(25) and absolute.mean.mean == pytest.approx(75)
    assert ratio.difference.mean == 0 and absolute.difference.mean == pytest.approx(50)
    assert sentence(ratio, distance, 2).startswith('- ratio margin: no difference at 95 % to "distance margin"')
    assert sentence(absolute, distance, 2).startswith('- absolute margin: worse than "distance margin"')


def test_a_page_has_every_claim_and_says_what_is_missing():
    page = document([*make("base", ETHIOPIC, 1, 0.5), *make("mlm", ETHIOPIC, 1, 0.2)], "cpu")
    for claim in CLAIMS:
        assert f"## ({claim.letter}) {claim.question}\n" in page
    assert "| + MLM | 20.00 (" in page and "1 of 9" in page and "0 of 9" in page
    assert page.count("nothing to compare yet") >= 10
    assert page == document([*make("base", ETHIOPIC, 1, 0.5), *make("mlm", ETHIOPIC, 1, 0.2)], "cpu")


def test_two_results_of_one_run_are_refused():
    with pytest.raises(DataError, match="two runs of base ethiopic"):
        document([*make("base", ETHIOPIC, 1, 0.5), *make("base", ETHIOPIC, 1, 0.4, key="other")], "cpu")
    with pytest.raises(DataError, match="no run of size gpu"):
        document(make("base", ETHIOPIC, 1, 0.5), "gpu")
