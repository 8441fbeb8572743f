"""recipes/evaluate_sets.py from its command line, with encoders whose vectors are known."""

import json
import sys

import evaluate_sets
import numpy as np
import pytest

from fairseq_distill.formats.evaluation import read_evaluation

WORDS = "sun moon river mountain teacher school market garden doctor farmer bread water stone letter window".split()


class WordEncoder:
    """A sentence's vector counts its words, known by their last letters; a weak one knows but one letter of them."""

    pooling, normaliser, dim = "mean", "none", 40

    def __init__(self, spec):
        self.name, self.space, self.letters = (
            spec,
            "words" if spec != "t:other" else "other",
            1 if "weak" in spec else 4,
        )
        self.seen = 0

    def encode(self, sentences):
        self.seen += len(sentences)
        rows = np.full((len(sentences), 40), 0.01, np.float32)
        for row, sentence in enumerate(sentences):
            for word in sentence.split():
                rows[row, sum(map(ord, word[-self.letters :])) % 40] += 1
        return rows


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    opened = []

    def open_encoder(spec):
        opened.append(WordEncoder(spec))
        return opened[-1]

    monkeypatch.setattr(evaluate_sets, "open_encoder", open_encoder)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["evaluate.sh", "--work", str(tmp_path / "work"), *map(str, words)])
        code = evaluate_sets.cli_main()
        out = capsys.readouterr()
        return code, out.out, out.err, sum(one.seen for one in opened)

    return call


@pytest.fixture
def flores(tmp_path):
    random = np.random.default_rng(1)
    lines = [" ".join(random.choice(WORDS, 4)) for _ in range(60)]
    folder = tmp_path / "flores" / "devtest"
    folder.mkdir(parents=True)
    for code, ahead in (("eng_Latn", ""), ("swh_Latn", "ki"), ("zul_Latn", "isi")):
        (folder / f"{code}.devtest").write_text(
            "".join(" ".join(ahead + word for word in line.split()) + "\n" for line in lines)
        )
    return folder.parent, lines


def test_the_whole_table(run, flores, tmp_path):
    root, lines = flores
    (tmp_path / "near.tsv").write_text(f"1\tentity\t{lines[0]} extra\n4\tnumber\tseven {lines[3]}\n")
    (tmp_path / "train.txt").write_text(f"new line altogether\n{lines[5].upper()}!\n")
    for lang, ahead in (("fra", "f"), ("eng", "e")):
        (tmp_path / f"b.{lang}").write_text("".join(f"{ahead}{i}\t{line}\n" for i, line in enumerate(lines[:40])))
    (tmp_path / "b.gold").write_text("".join(f"f{i}\te{i}\n" for i in range(30)))
    words = ["--encoder", "good=t:good", "--encoder", "weak=t:weak", "--set", root, "--nway", "--baseline", "good"]
    words += [
        "--augmented",
        tmp_path / "near.tsv",
        "--bucc",
        f"fra-eng={tmp_path / 'b'}",
        "--train",
        tmp_path / "train.txt",
    ]
    code, out, err, seen = run(*words)
    assert code == 0, err
    found = read_evaluation(tmp_path / "work" / "evaluation.json")
    kinds = {(one.metric, one.src_lang, one.encoder): one for one in found.scores}
    assert len(found.scores) == 2 * (2 + 2 + 6 + 1)
    assert kinds["xsim", "swh_Latn", "good"].percent < kinds["xsim", "swh_Latn", "weak"].percent
    assert kinds["xsim", "swh_Latn", "good"].p_value is None and 0 < kinds["xsim", "swh_Latn", "weak"].p_value < 0.2
    weak = kinds["xsim", "swh_Latn", "weak"]
    assert weak.difference == pytest.approx(weak.percent - kinds["xsim", "swh_Latn", "good"].percent)
    assert set(kinds["xsim++", "zul_Latn", "good"].details) == {"entity", "number", "misaligned"}
    assert kinds["bucc-f1", "fra", "good"].n == 15 and kinds["bucc-f1", "fra", "good"].percent > 80
    assert "|test:flores-devtest|pair:swh_Latn-eng_Latn|" in weak.signature
    hit = {entry.evaluation: (entry.identical, entry.evaluation_hit) for entry in found.leakage}
    assert hit[str(root / "devtest" / "eng_Latn.devtest")] == (1, 1) and sorted(hit.values()) == [
        (0, 0),
        (0, 0),
        (1, 1),
    ]
    assert out == (tmp_path / "work" / "evaluation.txt").read_text() and out.startswith("leakage (")
    first = {path: path.read_bytes() for path in (tmp_path / "work").glob("evaluation.*")}
    assert len(first) == 5
    assert run(*words)[3] == seen  # nothing was embedded again
    assert {path: path.read_bytes() for path in first} == first


def test_whose_targets(run, flores, tmp_path):
    root, _ = flores
    words = ["--encoder", "a=t:weak", "--encoder", "b=t:other", "--teacher", "t:good", "--set", root, "--langs", "swh"]
    assert run(*words)[0] == 0
    scores = json.loads((tmp_path / "work" / "evaluation.json").read_text())["scores"]
    targets = [score["signature"].split("|target:")[1].split("|")[0] for score in scores]
    assert targets == ["t:good", "t:other"]  # the teacher's only in its own space


def test_what_does_not_fit_is_refused_before_anything_is_embedded(run, flores, tmp_path):
    root, _ = flores
    good = ["--encoder", "a=t:good"]
    cases = [
        ([*good], "Nothing to measure"),
        ([*good, "--set", root, "--tgt", "fra"], "has no fra, but eng_Latn"),
        ([*good, "--set", root, "--langs", "swh,xho"], "No set has xho"),
        ([*good, "--set", root, "--baseline", "b"], "none of the encoders"),
        ([*good, "--set", root, "--set", root], "same name"),
        ([*good, *good, "--set", root], "same name"),
        ([*good, "--set", root, "--augmented", f"x={root / 'devtest' / 'eng_Latn.devtest'}"], "no such set"),
        ([*good, "--bucc", "b"], "write the languages"),
        ([*good, "--set", root, "--train", tmp_path / "gone"], "does not exist"),
        ([*good, "--set", tmp_path], "holds no evaluation set"),
    ]
    for words, said in cases:
        code, _, err, seen = run(*words)
        assert (code, seen) == (1, 0) and said in err, words
