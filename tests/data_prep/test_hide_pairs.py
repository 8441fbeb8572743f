"""Hiding pairs: every line goes where it should, once; the truth can be found again; nothing of an evaluation set."""

import json

import hide_pairs
import numpy as np
import pytest
from clean import line_keys

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.lines import PackedLines
from tests.reference import hiding as reference


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read(path):
    return path.read_text(encoding="utf-8").splitlines()


def bitext(folder, n=60):
    """n pairs, of which the first two share their English side and the third is without letters on one side."""
    swa = [f"neno la kwanza namba {i}" for i in range(n)]
    eng = [f"the first word number {i}" for i in range(n)]
    eng[1] = eng[0]
    eng[2] = ""
    write(folder / "train.swa", swa)
    write(folder / "train.eng", eng)
    return swa, eng


def run(folder, *words):
    argv = ["--quiet", "--pair", "swa-eng", "--input", str(folder / "train"), "--output", str(folder / "out"), *words]
    args = hide_pairs._parser().parse_args(argv)
    hide_pairs.main(args)
    return {path.name: read(path) for path in (folder / "out").iterdir()}


def test_each_line_goes_to_one_place(tmp_path):
    swa, eng = bitext(tmp_path)
    write(tmp_path / "dev.eng", [eng[10].upper() + "!"])
    write(tmp_path / "m.eng", ["something else", "", "Something  else.", eng[20], eng[10], "a third line"])
    made = run(
        tmp_path,
        "--hide",
        "20",
        "--alone",
        "8",
        "--exclude",
        str(tmp_path / "dev.eng"),
        "--mono",
        f"eng={tmp_path / 'm.eng'}",
    )
    pairs = set(zip(swa, eng))
    assert set(zip(made["hidden.swa"], made["hidden.eng"])) < pairs and len(made["hidden.swa"]) == 20
    assert set(zip(made["kept.swa"], made["kept.eng"])) < pairs
    assert len(made["kept.swa"]) == 60 - 20 - 16 - 1 - 1, "all but the hidden, the leak and the empty one"
    sides = [set(made[f"{part}.swa"]) for part in ("hidden", "alone", "kept")]
    assert sum(map(len, sides)) == len(set.union(*sides)), "a source line is in one part"
    partners = dict(zip(swa, eng))
    assert {partners[line] for line in made["alone.swa"]}.isdisjoint(made["mono.eng"])
    assert {partners[line] for line in made["alone.swa"]}.isdisjoint(made["kept.eng"])
    assert sorted(made["mono.swa"]) == sorted(made["hidden.swa"] + made["alone.swa"])
    lone = {partners[line] for line in made["alone.swa"]}
    extra = {"something else", "a third line"} | ({eng[20]} - lone - set(made["hidden.eng"] + made["alone.eng"]))
    assert set(made["mono.eng"]) == {*made["hidden.eng"], *made["alone.eng"], *extra}
    assert eng[10] not in made["mono.eng"] + made["kept.eng"] + made["hidden.eng"]
    # The two pairs that share a side cannot be hidden: the other one would stay in the bitext.
    assert {swa[0], swa[1]} <= set(made["kept.swa"])
    counts = json.loads((tmp_path / "out" / "hidden.json").read_text())
    assert counts["in_evaluation_set"] == 1
    mono = counts["mono.eng"]
    assert (mono["monolingual"], mono["empty"], mono["in_evaluation_set"], mono["duplicate"]) == (6, 1, 1, 1)


def test_origins_lead_back_to_the_lines(tmp_path):
    bitext(tmp_path)
    write(tmp_path / "m.swa", ["mstari wa kwanza", "", "mstari wa tatu"])
    write(tmp_path / "more.swa", ["mstari wa nne", "mstari wa kwanza", "mstari wa sita"])
    mono = [word for name in ("m", "more") for word in ("--mono", f"swa={tmp_path / name}.swa")]
    made = run(tmp_path, "--hide", "10", *mono)
    assert len(made["mono.swa"]) == 14
    assert made["mono.swa"] != sorted(made["mono.swa"]), "shuffled"
    for lang in ("swa", "eng"):
        assert len(made[f"mono.{lang}"]) == len(made[f"mono.{lang}.origin.tsv"])
        for line, origin in zip(made[f"mono.{lang}"], made[f"mono.{lang}.origin.tsv"]):
            path, number = origin.split("\t")
            assert int(number) > 0
            with open(path, encoding="utf-8") as stream:
                assert stream.read().splitlines()[int(number) - 1] == line


@pytest.mark.parametrize("seed", range(5))
def test_a_text_is_that_of_the_slow_way(seed):
    random = np.random.default_rng(seed)
    words = ["", "a b", "A, b!", "c", "d d", "e", "f\u0301", "\u00fc g", "h", "i", "j"]
    own, *sides = (list(random.choice(words, n)) for n in (9, 20, 0, 7))
    rows, absent = np.array([4, 1, 7]), np.array([2])
    mono = [(f"m{number}", side) for number, side in enumerate(sides)]
    key = lambda line: int(line_keys([line])[0])  # noqa: E731
    evaluation = {key("e"), key("nobody")}
    packed = [(path, PackedLines(side)) for path, side in mono]
    made = hide_pairs.hidden_text(
        PackedLines(own), rows, absent, packed, "bi", np.array(sorted(evaluation), np.uint64), seed
    )
    assert (list(made.lines()), list(made.origins())) == reference.hidden_text(
        own, rows, absent, mono, "bi", evaluation, key, seed
    )


def test_the_seed_decides(tmp_path):
    bitext(tmp_path)
    first, again = run(tmp_path, "--hide", "10"), run(tmp_path, "--hide", "10")
    assert first == again
    assert run(tmp_path, "--hide", "10", "--seed", "2")["hidden.swa"] != first["hidden.swa"]


def test_keep_takes_a_part_of_the_rest(tmp_path):
    bitext(tmp_path)
    made = run(tmp_path, "--hide", "10", "--keep", "7")
    assert len(made["kept.swa"]) == len(made["kept.eng"]) == 7


@pytest.mark.parametrize(
    "words, error, said",
    [
        (["--hide", "58"], DataError, "need 58 pairs whose sides stand nowhere else, but there are 57"),
        (["--hide", "50", "--keep", "10"], DataError, "10 pairs are to stay bitext, but only 9 are left"),
        (["--hide", "0"], ConfigError, "--hide is 0"),
        (["--hide", "5", "--alone", "-1"], ConfigError, "--alone is -1"),
        (["--hide", "5", "--mono", "zul=x"], ConfigError, "LANG swa or eng"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(tmp_path, words, error, said):
    bitext(tmp_path)
    with pytest.raises(error, match=said):
        run(tmp_path, *words)
    assert not (tmp_path / "out").exists()


def test_standing_alone():
    keys = line_keys(["A b", "c", "a, B!", "d"])
    assert hide_pairs.standing_alone(keys).tolist() == [False, True, False, True]
    assert hide_pairs.standing_alone(np.empty(0, np.uint64)).tolist() == []
