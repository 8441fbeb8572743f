"""mteb's bitext-mining protocol on local files: its accuracy is our error rate, and what is wrong is one sentence."""

import argparse
import sys

import mteb_bitext
import numpy as np
import pytest

from fairseq_distill.errors import ConfigError, DataError


def options(**changed):
    given = {"student": "s", "teacher": None, "src": "swa_Latn=a", "tgt": "eng_Latn=b", "output": None}
    return argparse.Namespace(**{**given, **changed})


def test_accuracy_and_f1_are_those_of_the_nearest_neighbours():
    pytest.importorskip("mteb", reason="mteb is not installed")
    draw = np.random.default_rng(4)
    src = draw.normal(size=(60, 8)).astype(np.float32)
    tgt = src + draw.normal(size=(60, 8)).astype(np.float32)
    encoders = {
        "swa_Latn": lambda lines: src[[int(x) for x in lines]],
        "eng_Latn": lambda lines: tgt[[int(x) for x in lines]],
    }
    lines = [str(number) for number in range(60)]
    found = mteb_bitext.measure(encoders, {"swa_Latn": lines, "eng_Latn": lines})
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (src, tgt)]
    for direction, cosines in (("swa_Latn-eng_Latn", unit[0] @ unit[1].T), ("eng_Latn-swa_Latn", unit[1] @ unit[0].T)):
        right = (cosines.argmax(1) == np.arange(60)).mean()
        assert 0.1 < right < 0.9  # a score that could be missed
        assert found[direction]["accuracy"] == pytest.approx(right)
        assert found[direction]["recall"] == pytest.approx(right)
        assert found[direction]["xsim"] == pytest.approx(100 * (1 - right))


def test_sides_are_named_as_mteb_names_them(tmp_path):
    for wrong in ("dev.swa", "swa=dev.swa", "swahili=dev.swa"):
        with pytest.raises(ConfigError, match="is not LANGUAGE=FILE.*swa_Latn"):
            mteb_bitext.main(options(src=wrong))
    with pytest.raises(ConfigError, match="both swa_Latn"):
        mteb_bitext.main(options(tgt="swa_Latn=b"))


def test_without_mteb_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(ConfigError, match="pip install mteb"):
        mteb_bitext.main(options())


def test_texts_of_other_lengths_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", argparse)  # any module: nothing of it is used before the texts are read
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("1\n")
    with pytest.raises(DataError, match="a has 2 lines but .*b has 1"):
        mteb_bitext.main(options(src=f"swa_Latn={tmp_path / 'a'}", tgt=f"eng_Latn={tmp_path / 'b'}"))
