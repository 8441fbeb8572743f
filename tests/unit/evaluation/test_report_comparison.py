"""Runs compared: the same numbers as the paired tests themselves, settings read back, and what cannot be compared said."""

import re
import shutil

import numpy as np
import pytest

from fairseq_distill.cli.report import cli_main
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.paired import compare
from fairseq_distill.evaluation.report_comparison import compare_runs
from fairseq_distill.evaluation.report_paired import against, judge
from fairseq_distill.evaluation.report_runs import differing, logged_settings, parse_runs, read_run
from fairseq_distill.evaluation.xsim import wrong_sentences
from fairseq_distill.formats.lines import read_lines, write_lines
from fairseq_distill.formats.results import read_results, write_results
from tests.unit.evaluation.report_example import make_run
from tests.unit.evaluation.test_report import Page

CONFIGURATION = (
    "{'_name': None, 'common': {'_name': None, 'seed': 1, 'log_file': '/a/x.log'}, 'optimization': {'_name': None, "
    "'max_update': 1520, 'lr': [0.0015, 0.1], 'clip_norm': 1.0}, 'model': {'_name': 'student_encoder_small', 'layer_norm': pre, "
    "'note': 'a, {b}: c'}, 'task': {'_name': 'sentence_distillation', 'max_update': 1520, 'weight': 0.2}}\n"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    first = make_run(folder / "plain", ["swa", "zul"], n_updates=200, n_mined=20)
    second = make_run(folder / "mlm", ["swa", "zul"], n_updates=100, n_mined=20)
    for lang in ("swa", "zul"):  # the second run's vectors are nearer to the teacher's
        path = second / "embeddings" / "student" / f"valid.mafand.eng-{lang}.{lang}.npy"
        np.save(path, np.load(path) + 2 * np.load(second / "data" / "v.npy"))
    for run, update in ((first, "1520"), (second, "3000")):
        log = run / "log" / "train.json.log"
        log.write_text(log.read_text(encoding="utf-8") + CONFIGURATION.replace("1520", update), encoding="utf-8")
    return first, second


def page_of(tmp_path, *specs):
    return Page(compare_runs([str(spec) for spec in specs], tmp_path / "page.html").read_text(encoding="utf-8"))


def test_paired_differences_equal_those_of_the_vectors(runs):
    first, second = (judge(read_run(run), "distance") for run in runs)
    found = against(second, first, list(first))
    assert (
        list(found.sets) == [("mafand.eng-swa", "swa", "eng"), ("mafand.eng-zul", "zul", "eng")] and not found.unpaired
    )
    for (name, lang, _), test in found.sets.items():
        wrong = []
        for run in runs:
            src = np.load(run / "embeddings" / "student" / f"valid.{name}.{lang}.npy")
            texts = read_lines(run / "data" / "valid.eng")
            wrong.append(wrong_sentences(src, np.load(run / "data" / "v.npy"), ("distance",), 4, texts)["distance"])
        assert test == compare(wrong[1], wrong[0]) and test.difference < 0
    assert found.mean.mean == pytest.approx(np.mean([test.difference for test in found.sets.values()]))
    assert found.mean.low <= found.mean.mean <= found.mean.high


def test_examples_are_of_sentences_that_one_run_alone_finds(runs):
    first, second = (judge(read_run(run), "distance") for run in runs)
    key = ("mafand.eng-swa", "swa", "eng")
    found = against(second, first, [key])
    texts = first[key].texts
    assert 0 < len(found.mended[key]) <= 4
    for example in found.mended[key]:
        i = texts.src_text.index(example.source)
        assert texts.tgt_text[i] == example.right and first[key].wrong[i] and not second[key].wrong[i]
        assert example.instead == texts.tgt_text[first[key].found[i]] != example.right


def test_the_page_shows_differences_settings_and_both_curves(runs, tmp_path):
    page = page_of(tmp_path, f"one={runs[0]}", f"two={runs[1]}")
    assert page.unbalanced == [] and "one and two compared" in page.words
    first, second = (judge(read_run(run), "distance") for run in runs)
    for key, test in against(second, first, list(first)).sets.items():
        assert f"{test.difference:+.1f} ({test.low:+.1f} to {test.high:+.1f})" in page.words, key
    assert re.search(r"optimization\. ?max_ ?update 1520 3000", page.words) and "clip_norm" not in page.words
    assert page.words.count("task.max_update") == 0, "what a task repeats is not listed twice"
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    chart = text.partition("<h3>xsim error in %</h3>")[2].partition("</svg>")[0]
    assert 'class="line c1"' in chart and 'class="line c2"' in chart and "xsim error in % over time" in page.words


def test_other_sentences_or_absent_vectors_are_not_tested_and_said(runs, tmp_path):
    other = shutil.copytree(runs[1], tmp_path / "other")
    lines = read_lines(other / "data" / "valid.swa")
    write_lines(other / "data" / "valid.swa", ["changed", *lines[1:]])
    (other / "embeddings" / "student" / "valid.mafand.eng-zul.zul.npy").unlink()
    words = page_of(tmp_path, runs[0], other).words
    assert "Not tested: swa → eng of mafand.eng-swa: the sentences are not the same." in words
    assert "Not tested: zul → eng of mafand.eng-zul: its vectors are not there for both." in words
    assert "no paired comparison" in words and "p = " not in words.partition("Beneath")[0]


def test_runs_without_a_common_valid_set(runs, tmp_path):
    other = shutil.copytree(runs[1], tmp_path / "other")
    results = read_results(other)
    for row in results.xsim:
        row.valid_set = "elsewhere"
    write_results(other, results)
    page = page_of(tmp_path, runs[0], other)
    assert "no valid set in common" in page.words and page.unbalanced == []


def test_names_of_runs(tmp_path):
    assert parse_runs(["a=/x/one", "/x/two"]) == [("a", "/x/one"), ("two", "/x/two")]
    assert [name for name, _ in parse_runs(["/x/fresh 1/work/student", "/x/fresh 2/work/student"])] == [
        "fresh 1",
        "fresh 2",
    ]
    (tmp_path / "k=4").mkdir()
    assert parse_runs([str(tmp_path / "k=4"), "/x/b"])[0] == ("k=4", str(tmp_path / "k=4"))
    with pytest.raises(ConfigError, match="called 'a'"):
        parse_runs(["a=/x/one", "a=/x/two"])
    with pytest.raises(ConfigError, match="called 'one'"):
        parse_runs(["/x/one", "/x/one"])


def test_the_configuration_is_read_back_from_the_log(tmp_path):
    path = tmp_path / "log"
    path.write_text(
        "noise\n" + CONFIGURATION.replace("0.2", "0.1") + '{"epoch": 1}\n' + CONFIGURATION, encoding="utf-8"
    )
    assert logged_settings(path) == {
        "_name": "None", "common.seed": "1", "optimization.max_update": "1520", "optimization.lr": "[0.0015, 0.1]",
        "optimization.clip_norm": "1.0", "model._name": "student_encoder_small", "model.layer_norm": "pre",
        "model.note": "a, {b}: c", "task._name": "sentence_distillation", "task.weight": "0.2",
    }  # fmt: skip


def test_settings_that_differ():
    assert differing([{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}]) == ({"b": ["2", "3"], "c": [None, "4"]}, 1)


def test_the_command_refuses_what_is_no_comparison(runs, tmp_path, capsys):
    with pytest.raises(ConfigError, match="1 runs were given"):
        compare_runs([str(runs[0])], tmp_path / "page.html")
    with pytest.raises(DataError, match="holds nothing to report"):
        compare_runs([str(runs[0]), str(tmp_path)], tmp_path / "page.html")
    with pytest.raises(SystemExit):
        cli_main(["--work", str(runs[0]), "--run", str(runs[1])])
    capsys.readouterr()
    assert (
        cli_main(["--quiet", "--run", str(runs[0]), "--run", str(runs[1]), "--output", str(tmp_path / "c.html")]) == 0
    )
    assert capsys.readouterr().out == f"{tmp_path / 'c.html'}\n"


def test_hostile_names_and_settings_stay_text(runs, tmp_path):
    nasty = "</script><b onmouseover='x()'>"
    other = shutil.copytree(runs[1], tmp_path / "other")
    results = read_results(other)
    results.options[nasty] = nasty
    write_results(other, results)
    page = page_of(tmp_path, runs[0], f"<b onmouseover>={other}")
    assert page.unbalanced == [] and "b" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
