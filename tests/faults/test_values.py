"""Values that no program of ours writes, in files that are sound otherwise: one sentence where they are read, not later."""

import json
import math
import struct

import numpy as np
import pytest

from fairseq_distill.errors import CheckpointError, DataError, DistillError
from fairseq_distill.evaluation.augment import augment
from fairseq_distill.evaluation.report import report
from fairseq_distill.evaluation.report_data import look_at_pieces
from fairseq_distill.evaluation.training_log import read_training_log
from fairseq_distill.formats import calibration, results
from fairseq_distill.formats.augmented import read_augmented, write_augmented
from fairseq_distill.formats.binarised import write_binarised
from fairseq_distill.formats.dictionary import Dictionary
from fairseq_distill.formats.manifest import Corpus
from fairseq_distill.formats.mined_pairs import read_mined_pairs
from fairseq_distill.formats.student_folder import read_student_folder
from tests.faults.formats import FORMATS, ROUND, SUMMARY, catalogue
from tests.faults.test_truncated import change
from tests.unit.evaluation.report_example import make_run

ODD = ["NaN", "Infinity", "-Infinity", "1e999", str(10**400), "1e101", "9" * 5000]


def changed_json(path, keys, value):
    """The text of a JSON file with one value replaced by a raw token."""
    content = json.loads(path.read_text())
    change(content, *keys, to="@@@")
    return json.dumps(content).replace('"@@@"', value)


NUMBERS = {
    "results": ("results.json", ("training", "seconds"), lambda path: results.read_results(path.parent)),
    "results, whole": ("results.json", ("xsim", 0, "n"), lambda path: results.read_results(path.parent)),
    "calibration": ("calibration.json", ("settings", 0, "best_f1", "threshold"), calibration.read_calibration),
    "calibration, whole": ("calibration.json", ("hidden",), calibration.read_calibration),
    "evaluation": ("evaluation.json", ("scores", 0, "low"), FORMATS["evaluation"][2]),
    "manifest": ("manifest.json", ("corpora", 0, "n"), FORMATS["manifest"][2]),
    "rounds": ("iterate.json", ("rounds", 0, "xsim"), FORMATS["rounds"][2]),
    "summary": ("mine.json", ("threshold",), FORMATS["summary of mining"][2]),
    "counts": ("mined.counts.json", ("kept",), FORMATS["counts of pairs"][2]),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ODD, ids=lambda value: value[:9])
def test_numbers_that_are_none(name, value, made, tmp_path):
    file, keys, read = NUMBERS[name]
    (tmp_path / file).write_text(changed_json(made / file, keys, value))
    with pytest.raises(DataError, match=file):
        read(tmp_path / file)


SHAPES = {
    "searched": ("calibration.json", ("searched",), [], "searched has 0 numbers instead of 2"),
    "an interval": ("calibration.json", ("settings", 0, "best_f1", "intervals"), {"threshold": [0.1]}, "has 1 numbers instead of 2"),
    "a summary's list": ("mine.json", (), [], "it must be an object, but is a list"),
    "a summary's pairs": ("mine.json", ("pairs",), "many", "pairs must be a whole number"),
    "a round's xsim": ("iterate.json", ("rounds", 0, "xsim"), "a", r"rounds\[0\].xsim must be a number"),
    "no rounds": ("iterate.json", ("rounds",), None, "rounds must be a list"),
    "counts that are a list": ("mined.counts.json", (), [], "it must be an object, but is a list"),
    "counts by reason": ("mined.counts.json", ("dropped",), {"known": "2"}, "must be a whole number, but is text"),
    "a licence": ("corpus.json", ("licence",), [1], "its licence is no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_values_of_another_shape(name, made, tmp_path):
    file, keys, value, said = SHAPES[name]
    text = changed_json(made / file, keys, json.dumps(value)) if keys else json.dumps(value)
    (tmp_path / file).write_text(text)
    read = next(read for found, _, read in FORMATS.values() if found == file)
    with pytest.raises(DataError, match=said):
        read(tmp_path / file)


def test_the_records_above_are_those_of_the_programs():
    import iterate_round

    assert set(ROUND) == set(iterate_round.Round.__dataclass_fields__)
    from fairseq_distill.mining.pairs import MiningResult

    assert set(SUMMARY) <= set(MiningResult.__dataclass_fields__)


LINES = {
    "a threshold of a curve": ("curve.tsv", "1.000000", "nan"),
    "pairs of a curve": ("curve.tsv", "\t10\t", f"\t{10**30}\t"),
    "a line number of a pair": ("mined.tsv", "\t1\t2", f"\t{10**30}\t2"),
    "a line number 0": ("mined.tsv", "\t1\t2", "\t0\t2"),
    "a long line number": ("near.tsv", "1\t", "1" * 5000 + "\t"),
    "a line number that is cut": ("mined.lines.tsv", "\t3\t4", "\t3\t"),
    "a score": ("mined.lines.tsv", "1.125000", "inf"),
    "an origin without a place": ("mono.swa.origin.tsv", "\t3", ""),
    "a long count": ("corpora.tsv", "30", "3" * 5000),
}


@pytest.mark.parametrize("name", LINES)
def test_numbers_in_lines(name, made, tmp_path):
    file, old, new = LINES[name]
    text = (made / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    read = next(read for found, _, read in FORMATS.values() if found == file)
    with pytest.raises(DataError, match=rf"{file}, line [12]: ") as caught:
        read(tmp_path / file)
    assert len(str(caught.value)) < 300


def test_line_numbers_of_mined_pairs_fit_an_int64(tmp_path):
    (tmp_path / "m.tsv").write_text(f"1.0\ta\tb\t{2**63 - 1}\t1\n")
    assert next(read_mined_pairs(tmp_path / "m.tsv")).source_line == 2**63 - 1


# --- the training log is read past what cannot be read


@pytest.mark.parametrize("value", [*ODD, "-1e308", "1e308"], ids=lambda value: value[:9])
def test_a_log_with_numbers_that_are_none(value, tmp_path):
    if len(value) > 4300:  # Python does not read it: a broken line
        value = '"' + value + '"'
    path = tmp_path / "train.json.log"
    path.write_text(
        "".join(f'{{"epoch": 1, "loss": {v}, "num_updates": "{n}"}}\n' for n, v in ((1, 2.5), (2, value), (3, 2.25)))
    )
    log = read_training_log(path)
    assert log.curve("train_inner", "loss") == {1: 2.5, 3: 2.25} and log.not_finite == {("train_inner", "loss", 2)}
    path.write_text(f'{{"epoch": 1, "loss": 1, "num_updates": {value}}}\n')
    assert read_training_log(path).curves == {}


def test_a_log_nested_too_deeply_has_a_broken_line(tmp_path):
    (tmp_path / "log").write_text('{"epoch": ' + "[" * 100_000 + '\n{"epoch": 1, "loss": 2, "num_updates": 3}\n')
    log = read_training_log(tmp_path / "log")
    assert log.n_broken == 1 and log.curve("train_inner", "loss") == {3: 2.0}


@pytest.mark.parametrize("value", ["1e308", "-1e308", "NaN", str(10**400)], ids=lambda value: value[:6])
def test_a_report_is_made_of_such_a_log(value, tmp_path):
    work = make_run(tmp_path / "work", n_updates=40, n_mined=20)
    with open(work / "log" / "train.json.log", "a") as stream:
        stream.write(f'\n{{"epoch": 1, "loss": {value}, "bsz": {value}, "ups": {value}, "num_updates": "41"}}\n')
    report(work, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


# --- students, near copies, ids


@pytest.mark.parametrize("value, said", [
    ("Infinity", "cannot convert float infinity"), ("5000", "is 5,000, but the encoder has 256 positions"), ("-5", "-5 is no whole number"),
    ("0", "0 is no whole number"), ("1e999", "infinity"),
])  # fmt: skip
def test_a_folder_whose_longest_sentence_does_not_fit(value, said, made, tmp_path):
    for file in (made / "folder").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(changed_json(made / "folder" / "config.json", ("max_length_pieces",), value))
    with pytest.raises(CheckpointError, match=said):
        read_student_folder(tmp_path)


@pytest.mark.parametrize("copy", ["a\ncat", "a \ud800 cat"])
@pytest.mark.parametrize("place", ["text", "kind"])
def test_near_copies_that_are_no_lines(copy, place, tmp_path):
    text, kind = (copy, "entity") if place == "text" else ("a cat", copy)
    for content in ({text: {"src": "a dog", "errtype": kind}}, {"a dog": {kind: [text]}}):
        (tmp_path / "near.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match="holds a line feed or half a character"):
            read_augmented(tmp_path / "near.json", ["a dog"])


def test_near_copies_of_a_line_with_a_tab_are_read_again(tmp_path):
    targets = ["It was\t20 degrees.", "There were 30."]
    made_here = augment(targets)
    write_augmented(tmp_path / "near.tsv", made_here)
    read = read_augmented(tmp_path / "near.tsv", targets)
    assert read.texts == made_here.texts and set(read.originals.tolist()) == {0, 1}
    assert len(set(read.texts)) == len(read)


def negative_ids(folder):
    write_binarised(folder / "ids", np.full(8, 70_000), np.array([8]))
    ids = np.array([4, -3, 5, -1, 6, 4, 4, 2], np.int32)
    (folder / "ids.bin").write_bytes(ids.tobytes())
    return folder / "ids"


def test_a_negative_id_is_no_other_piece(tmp_path):
    negative_ids(tmp_path)
    (tmp_path / "text").write_text("some words\n")
    corpus = Corpus("a", "mask", "train", "swa", 1, "ids", "text")
    dictionary = Dictionary(["<s>", "<pad>", "</s>", "<unk>", *"abcdef"])
    assert look_at_pieces(tmp_path, corpus, dictionary).examples[0] == ["a", "?", "b", "?", "c", "a", "a"]
    from from_nllb import opened

    with pytest.raises(DataError, match="holds the id -3, but dict.txt has 10 symbols"):
        opened(tmp_path / "ids", dictionary, "dict.txt")


# --- catalogues


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "zlib", "no-such", "utf-7"])
@pytest.mark.parametrize("kind", ["po", "mo"])
def test_character_sets_that_are_none(kind, charset, tmp_path):
    from catalogue_files import read_mo, read_po

    path = tmp_path / f"x.{kind}"
    head = f"Content-Type: text/plain; charset={charset}\n"
    if kind == "mo":
        path.write_bytes(catalogue({b"": head.encode(), b"a": b"\xff\xfe\xe9+"}))
    else:
        path.write_bytes(
            b'msgid ""\nmsgstr "%s"\n\nmsgid "a"\nmsgstr "\xff\xfe\xe9+"\n' % head.replace("\n", "\\n").encode()
        )
    with pytest.raises(DataError, match=f"x.{kind}"):
        list({"po": read_po, "mo": read_mo}[kind](path).pairs())


@pytest.mark.parametrize("form", ["n-6", "n-2", "1/0", "(" * 200 + "n" + ")" * 200, "n" + "*9" * 3000, "9**9**9"])
def test_plural_forms_that_count_to_nowhere(form, tmp_path):
    from catalogue_files import read_mo

    head = f"charset=UTF-8\nPlural-Forms: nplurals=2; plural={form};\n"
    (tmp_path / "x.mo").write_bytes(catalogue({b"": head.encode(), b"a file\0files": b"one\0many"}))
    pairs = list(read_mo(tmp_path / "x.mo").pairs())
    assert pairs in ([("a file", "one", False), ("files", "many", False)], [("files", "", False)])


def test_a_catalogue_whose_entries_all_span_the_file(tmp_path):
    from catalogue_files import read_mo

    n, size = 2000, 28 + 16 * 2000 + 10_000_000
    table = struct.pack("<2I", size, 0) * n
    (tmp_path / "x.mo").write_bytes(
        struct.pack("<7I", 0x950412DE, 0, n, 28, 28 + 8 * n, 0, 0) + table * 2 + bytes(10_000_000)
    )
    with pytest.raises(DataError, match="name more bytes than it has"):  # else 40 GB of copies
        read_mo(tmp_path / "x.mo")


def test_a_registry_that_is_nested_deeply(tmp_path):
    from catalogue_files import read_registry

    (tmp_path / "x.xcd").write_text("<r>" + "<c>" * 5000 + "</c>" * 5000 + "</r>")
    with pytest.raises(DataError, match="nested more than"):
        read_registry(tmp_path / "x.xcd")


# --- the whole report, over files that were changed


@pytest.mark.parametrize("threshold", [1e99, -1e99, 1e-99, 0.0])
def test_a_report_of_sizes_at_the_edge(threshold, tmp_path):
    work = make_run(tmp_path / "work", n_updates=40, n_mined=20)
    (work / "mining").mkdir()
    cut = calibration.Cut(threshold, 2**62, 8.0, 7, 0.9, 0.8, 0.85, {"threshold": [-1e99, 1e99]})
    found = calibration.Calibration(
        "swa-eng", 10, 3, [2**62, 2**62], "max", 0.9, [calibration.Setting("ratio", 4, cut, cut)]
    )
    calibration.write_calibration(work / "mining" / "calibration.json", found)
    rows = [("ratio", 4, t, 10, 8.0, 7, 0.9, 0.8, 0.85) for t in (-1e99, threshold, 1.0, 1e99)]
    calibration.write_curve(work / "mining" / "calibration.tsv", rows)
    try:
        report(work, tmp_path / "report.html")
    except DistillError:
        return
    assert "nan" not in (tmp_path / "report.html").read_text() and math.isfinite(threshold)
