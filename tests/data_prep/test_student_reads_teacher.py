"""--tlm and --self: the teacher's language in the student's vocabulary, from prepare.sh to the manifest."""

import json
import subprocess

import numpy as np
import pytest
from plan import make_plan, parser
from test_prepare import ROOT, prepare, unchanged, write_teacher

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.binarised import open_binarised
from fairseq_distill.formats.dictionary import UNK, read_dictionary
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import read_manifest
from fairseq_distill.text import StudentTokenizer


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, made_up, write):
    """50 pairs and 30 lines of English, some of them in the evaluation sets; the options that made them."""
    folder = tmp_path_factory.mktemp("tlm")
    pairs, valid, more = made_up(50, seed=1), made_up(8, seed=3), made_up(40, seed=4)
    own = [english for english, _ in more[:30]]
    leaked = [valid[2][0], valid[5][0].upper(), more[35][0]]  # of --valid, in other letters, and of --exclude
    write(folder / "news" / "train", pairs)
    write(folder / "news" / "dev", valid)
    (folder / "test.eng").write_text(more[35][0] + "\n")
    (folder / "books.txt").write_text("".join(line + "\n" for line in [*own, *leaked, own[0], "", "12 34"]))
    teacher, sentences, rows = write_teacher(folder, [english for english, _ in pairs + valid] + own, 1)
    options = [
        "--data", folder / "data", "--langs", "swa", "--teacher", teacher, "--spm-size=120",
        "--bitext", f"eng-swa={folder}/news/train", "--valid", f"eng-swa={folder}/news/dev",
        "--exclude", folder / "test.eng", "--self", f"eng={folder}/books.txt", "--tlm",
    ]  # fmt: skip
    done = prepare(options)
    assert done.returncode == 0, done.stderr
    return folder, options, own, dict(zip(sentences, rows))


@pytest.mark.slow
def test_the_manifest_has_the_teachers_side_and_its_own_text(prepared):
    folder, _, own, rows = prepared
    data = folder / "data"
    pairs, english, valid = read_manifest(data).corpora
    assert (english.kind, english.split, english.lang, english.tgt_lang) == ("self", "train", "eng", "eng")
    assert english.src_text == english.tgt_text and english.tgt is None and english.n == 30
    assert read_lines(data / english.src_text) == own, "lines of evaluation sets, repeats and non-sentences are dropped"
    expected = np.stack([rows[line] for line in own])
    np.testing.assert_allclose(open_embeddings(data / english.teacher[-1]), expected, rtol=2e-3)
    dropped = {(count.step, count.corpus): count.dropped for count in read_manifest(data).counts}
    assert dropped["deduplicate", f"train.{english.id}"] == {"in_evaluation_set": 3, "duplicate": 1}
    assert dropped["clean", f"train.{english.id}"] == {"empty": 1, "too_few_letters": 1}
    assert pairs.tgt == f"bin/train.{pairs.id}.eng" and valid.tgt is None
    sums = read_manifest(data).checksums
    assert {f"{pairs.tgt}.bin", f"{pairs.tgt}.idx", f"{english.src}.bin"} <= set(sums)


@pytest.mark.slow
def test_the_teachers_side_is_in_the_students_ids_line_for_line(prepared):
    data = prepared[0] / "data"
    tokenizer = StudentTokenizer((data / "spm.model").read_bytes(), read_dictionary(data / "dict.txt"))
    pairs, english, _ = read_manifest(data).corpora
    for prefix, text in ((pairs.src, pairs.src_text), (pairs.tgt, pairs.tgt_text), (english.src, english.src_text)):
        sentences = open_binarised(data / prefix)
        expected = tokenizer.encode(read_lines(data / text), defaults.MAX_LENGTH_PIECES)
        assert len(sentences) == len(expected)
        assert all(np.array_equal(ids, wanted) for ids, wanted in zip(sentences, expected))
        assert UNK not in np.concatenate(expected), "the vocabulary was not trained on this side"
    drawn = json.loads((data / "stamps" / "train_spm.json").read_text())["result"]["lines"]
    assert set(drawn) == {"swa", "eng"} and drawn["eng"] < 80 * drawn["swa"] / 50, "up-sampled as other languages are"


@pytest.mark.slow
def test_a_second_run_does_nothing_and_one_without_takes_it_back(prepared, tmp_path):
    folder, options, _, _ = prepared
    done = prepare(options)
    assert done.returncode == 0 and len(unchanged(done)) == 3 + 1 + 1 + 4 + 4 + 3 + 1  # the last: vocabulary
    done = prepare([option for option in options if option != "--tlm"])
    assert done.returncode == 0, done.stderr
    pairs, english, _ = read_manifest(folder / "data").corpora
    assert pairs.tgt is None and english.kind == "self" and "train_spm" not in unchanged(done)
    done = prepare(options)
    assert done.returncode == 0 and read_manifest(folder / "data").corpora[0].tgt is not None


def plan_of(*options):
    return make_plan(parser().parse_args(["--data", "x", "--langs", "swa", "--teacher", "sbert:x", *options]))


def test_self_is_text_of_the_teachers_language(tmp_path, made_up, write):
    prefix = write(tmp_path / "c", made_up(2))
    bitext = f"--bitext=eng-swa={prefix}"
    source = plan_of(bitext, f"--self=eng_Latn={prefix}.eng").sources[1]
    assert (source.kind, source.lang, source.tgt_lang, source.tgt) == ("self", "eng_Latn", "eng_Latn", None)
    assert source.sides() == [("eng_Latn", f"{prefix}.eng")]
    with pytest.raises(
        ConfigError, match="the teacher's language is eng; text of a student's language is --mono swa=FILE"
    ):
        plan_of(bitext, f"--self=swa={prefix}.swa")
    with pytest.raises(ConfigError, match="not of the form eng=FILE"):
        plan_of(bitext, f"--self={prefix}.eng")


def test_what_the_student_reads(tmp_path, made_up, write):
    prefix = write(tmp_path / "c", made_up(2))
    options = [f"--bitext=eng-swa={prefix}", f"--valid=eng-swa={prefix}", f"--mono=swa={prefix}.swa"]
    options.append(f"--self=eng={prefix}.eng")
    for more, expected in (([], ["swa"]), (["--tlm"], ["swa", "eng"])):
        plan = plan_of(*options, *more)
        by_kind = {(source.split, source.kind): plan.student_langs(source) for source in plan.sources}
        assert by_kind == {
            ("train", "distil"): expected, ("train", "mask"): ["swa"], ("train", "self"): ["eng"], ("valid", "distil"): ["swa"],
        }  # fmt: skip


def test_student_sh_names_both_options():
    done = subprocess.run(["bash", ROOT / "recipes/student.sh", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--self eng=FILE" in done.stdout and "[--tlm]" in done.stdout
    assert done.stdout.rstrip().endswith("prints the xsim table.")
