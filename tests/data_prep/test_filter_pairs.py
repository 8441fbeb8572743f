"""Mined pairs to bitext: one pair for each reason, in the order of the reasons; line numbers kept; a clean bitext passes."""

import gzip
import json
import tracemalloc

import filter_pairs
import pytest

from fairseq_distill.errors import ConfigError, DataError

GOOD = ("mbwa anakimbia haraka sana leo", "the dog runs very fast today")


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(path)


def run(folder, *words):
    args = filter_pairs._parser().parse_args(["--quiet", "--pair", "swa-eng", "--output", str(folder / "out"), *words])
    filter_pairs.main(args)
    counts = json.loads((folder / "out.counts.json").read_text())
    sides = [(folder / f"out.{lang}").read_text(encoding="utf-8").splitlines() for lang in ("swa", "eng")]
    return counts, list(zip(*sides))


@pytest.fixture
def mined(tmp_path):
    """A mined file with one pair for each reason, and the files that give the reasons."""
    pairs = [
        (1.5, *GOOD),
        (1.4, "maji ni uhai wa kila kiumbe", "water is the life of every creature"),  # known
        (1.3, "MBWA anakimbia haraka sana leo!", "The dog runs very fast today."),  # duplicate of the first
        (1.3, "hidden swa line of calibration", "something that is not its partner"),
        (1.3, "jua linawaka sana mchana huu", "this is a line of the dev set"),
        (1.2, "sawa kabisa kwa pande zote mbili", "Sawa kabisa kwa pande zote mbili."),  # identical
        (1.2, "fupi", "a line that is more than five times as long as the other one"),
        (1.2, "12 34 56 78 90 12 34 56", "numbers and hardly any letter at all"),
        (1.2, "γιαγιά και παππούς μου εδώ", "my grandmother and grandfather here"),
        (1.0, "nyumba kubwa ipo mlimani", "the big house is on the hill"),  # at the threshold, not above
    ]
    write(tmp_path / "mined.tsv", [f"{s:.6f}\t{a}\t{b}\t{i + 1}\t{100 - i}" for i, (s, a, b) in enumerate(pairs)])
    write(tmp_path / "known.swa", ["Maji ni uhai wa kila kiumbe."])
    write(tmp_path / "known.eng", ["Water is the life of every creature."])
    words = ["--mined", str(tmp_path / "mined.tsv"), "--threshold", "1.0", "--known", str(tmp_path / "known")]
    words += ["--hidden", write(tmp_path / "hidden.swa", ["Hidden swa line of calibration"])]
    words += ["--exclude", write(tmp_path / "dev.eng", ["This is a line of the dev set!"])]
    return tmp_path, words


def test_mined_pairs_with_provenance_are_read_too(mined):
    folder, words = mined
    plain = run(folder, *words)
    rows = (folder / "mined.tsv").read_text(encoding="utf-8").splitlines()
    write(folder / "mined.tsv", [f"{row}\t0.500000\t{16 * 'a'}\t{16 * 'b'}" for row in rows])
    assert run(folder, *words) == plain


NEAR = [
    ("rais alitembelea mji wa nairobi jumatatu asubuhi na mapema", "a first sentence that nobody else has written"),
    ("sentensi nyingine ambayo haifanani na yoyote ile", "the president visited the city of nairobi on monday evening"),
    ("hii haina shida yoyote kabisa leo asubuhi", "and here is nothing of the kind to be found at all"),
]
DEV = [
    "rais alitembelea mji wa nairobi jumatatu asubuhi",
    "The president visited the city of Nairobi on Monday morning.",
]


@pytest.mark.parametrize(
    "options, kept", [((), [2]), (("--near-lines", "1"), [1, 2]), (("--near-lines", "0"), [0, 1, 2])]
)
def test_near_duplicates_of_evaluation_lines_are_dropped(options, kept, tmp_path, caplog):
    caplog.set_level("INFO")
    mined = write(tmp_path / "mined.tsv", [f"1.{9 - i}\t{a}\t{b}" for i, (a, b) in enumerate(NEAR)])
    words = ["--mined", mined, "--exclude", write(tmp_path / "dev.txt", DEV), *options]
    counts, pairs = run(tmp_path, *words)
    assert pairs == [NEAR[row] for row in kept]
    looked_at = int(options[1]) if options else 3
    assert counts["near_looked_at"] == looked_at and counts["dropped"].get("near_evaluation_set", 0) == 3 - len(kept)
    assert f"near-duplicates looked for in {looked_at} of 3 pairs, the best" in caplog.text
    with pytest.raises(ConfigError, match="--near-lines -1 must be 0 or more"):
        run(tmp_path, *words, "--near-lines", "-1")


def test_each_reason_has_its_pair(mined):
    folder, words = mined
    counts, kept = run(folder, *words)
    assert kept == [GOOD]
    assert counts["in"] == 10 and counts["kept"] == 1 and counts["threshold"] == 1.0
    names = ["below_threshold", "hidden_line", "length_ratio", "identical", "too_few_letters", "wrong_script"]
    assert counts["dropped"] == {name: 1 for name in [*names, "in_evaluation_set", "known", "duplicate"]}
    rows = [
        row.split("\t") for row in gzip.open(folder / "out.dropped.tsv.gz", "rt", encoding="utf-8").read().splitlines()
    ]
    assert [row[:2] for row in rows] == [
        ["2", "known"], ["3", "duplicate"], ["4", "hidden_line"], ["5", "in_evaluation_set"], ["6", "identical"],
        ["7", "length_ratio"], ["8", "too_few_letters"], ["9", "wrong_script"], ["10", "below_threshold"],
    ]  # fmt: skip
    assert (folder / "out.lines.tsv").read_text() == "1.500000\t1\t100\n"


def test_a_lower_threshold_lets_more_through(mined):
    folder, words = mined
    words[words.index("1.0")] = "0.99"
    assert len(run(folder, *words)[1]) == 2


def test_of_repeats_the_first_stays_even_if_another_one_went(mined):
    """A pair that was dropped for another reason must not make a later, good copy a duplicate."""
    folder, words = mined
    write(
        folder / "mined.tsv", [f"0.5\t{GOOD[0]}\t{GOOD[1]}", f"1.5\t{GOOD[0]}\t{GOOD[1]}", f"1.4\t{GOOD[0]}\t{GOOD[1]}"]
    )
    counts, kept = run(folder, *words)
    assert kept == [GOOD] and counts["dropped"] == {"below_threshold": 1, "duplicate": 1}


def test_a_bitext_passes_by_the_same_rules(tmp_path):
    write(tmp_path / "b.swa", ["  mbwa   anakimbia haraka sana leo ", "x", "nyumba kubwa ipo mlimani"])
    write(tmp_path / "b.eng", [GOOD[1], "", "the big house is on the hill"])
    dev = write(tmp_path / "dev.swa", ["nyumba kubwa ipo mlimani?"])
    counts, kept = run(tmp_path, "--input", str(tmp_path / "b"), "--exclude", dev)
    assert kept == [GOOD] and counts["dropped"] == {"empty": 1, "in_evaluation_set": 1}
    assert not (tmp_path / "out.lines.tsv").exists()


def test_what_cannot_be_done_is_said(mined):
    folder, words = mined
    with pytest.raises(ConfigError, match="either --mined FILE or --input"):
        run(folder, *words, "--input", "x")
    with pytest.raises(ConfigError, match="a bitext has no scores"):
        run(folder, "--input", str(folder / "known"), "--threshold", "1")
    with pytest.raises(ConfigError, match="takes files that end in .swa or .eng"):
        run(folder, *words, "--hidden", str(folder / "mined.tsv"))
    with pytest.raises(DataError, match="Of 10 pairs none is left"):
        run(folder, *words, "--threshold", "9")


def test_the_parts_in_which_pairs_are_worked_on_change_nothing(mined, monkeypatch):
    folder, words = mined
    (folder / "near.tsv").write_text(
        "".join(f"1.{9 - i}\t{a}\t{b}\t{i + 1}\t{i + 7}\n" for i, (a, b) in enumerate(NEAR * 3))
    )
    dev = write(folder / "dev.txt", DEV)
    cases = (words, ["--mined", str(folder / "near.tsv"), "--exclude", dev])
    found = []
    for lines in (filter_pairs.CHUNK_LINES, 1, 4):
        monkeypatch.setattr(filter_pairs, "CHUNK_LINES", lines)
        monkeypatch.setattr(filter_pairs, "_LINES", lines)
        for case in cases:
            kept = run(folder, *case)
            dropped = gzip.open(folder / "out.dropped.tsv.gz", "rt", encoding="utf-8").read()
            found.append((kept, dropped, (folder / "out.lines.tsv").read_text()))
    assert found[:2] == found[2:4] == found[4:]


def test_a_further_pair_costs_little_more_than_its_text(tmp_path, made_up, monkeypatch):
    monkeypatch.setattr(filter_pairs, "CHUNK_LINES", 200)
    monkeypatch.setattr(filter_pairs, "_LINES", 200)
    peaks = []
    for n in (1000, 4000):
        rows = [f"1.2\t{two}\t{one}\t{i}\t{i}" for i, (one, two) in enumerate(made_up(n), start=1)]
        words = ["--mined", write(tmp_path / "mined.tsv", rows)]
        tracemalloc.start()
        try:
            assert run(tmp_path, *words)[0]["kept"] > n / 2
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 3000 < 300, peaks
