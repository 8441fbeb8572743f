"""A student with a vocabulary that was there before: LASER's ids from prepare.sh to the trained checkpoint."""

import os
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest
import sentencepiece

from fairseq_distill.formats.binarised import open_binarised
from fairseq_distill.formats.dictionary import EOS, MASK, SPECIALS, UNK, read_dictionary, write_cvocab
from fairseq_distill.formats.lines import read_lines, write_lines
from fairseq_distill.formats.manifest import read_manifest
from tests.plugin.tiny_data import ENGLISH, REPO, WORDS, train

torch = pytest.importorskip("torch")
pytest.importorskip("fairseq")

sys.path.insert(0, str(REPO / "data_prep"))
SIZE = 54
LINES = ["lala kufi moso", "Tene </s> wiru ሰላም", "<unk> basha <s>", "", "😀 dogo"]


@pytest.fixture(scope="module")
def laser(tmp_path_factory):
    """``laser.spm`` and ``laser.cvocab`` in LASER2's layout, of a text that holds more than the student's."""
    folder = tmp_path_factory.mktemp("laser")
    write_lines(folder / "text", [" ".join(np.random.default_rng(i).permutation(WORDS + ENGLISH)) for i in range(60)])
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "laser"), vocab_size=SIZE, minloglevel=2, num_threads=1
    )
    (folder / "laser.model").rename(folder / "laser.spm")
    spm = sentencepiece.SentencePieceProcessor(str(folder / "laser.spm"))
    write_cvocab(folder / "laser.cvocab", [spm.id_to_piece(i) for i in range(spm.get_piece_size())], "spm+4")
    return folder, spm


def expected_ids(spm, line, shift):
    """SentencePiece's ids + ``shift``, unknown as fairseq's <unk>, with EOS."""
    from fairseq_distill.text import normalise

    return [UNK if spm.is_unknown(i) else i + shift for i in spm.encode(normalise(line), out_type=int)] + [EOS]


@pytest.mark.parametrize("style, shift", [("spm+1", 1), ("spm+4", 4)])
def test_fairseq_reads_the_pieces_as_the_tokenizer_does(laser, tmp_path, style, shift):
    import encode_spm
    import train_spm
    from fairseq.data import Dictionary

    folder, spm = laser
    cvocab = str(folder / "laser.cvocab") if style == "spm+4" else None
    train_spm.take_spm(Namespace(spm_model=str(folder / "laser.spm"), cvocab=cvocab, spm_ids=style), tmp_path)
    assert (tmp_path / "spm.model").read_bytes() == (folder / "laser.spm").read_bytes()
    assert len(read_dictionary(tmp_path / "dict.txt")) == SIZE + shift
    block, n, n_unknown = encode_spm.encode_lines(LINES, str(tmp_path / "spm.model"), str(tmp_path / "dict.txt"))
    theirs = Dictionary.load(str(tmp_path / "dict.txt"))
    rows = [
        theirs.encode_line(line, add_if_not_exist=False).tolist() for line in block.decode().split("\n")[: len(LINES)]
    ]
    expected = [expected_ids(spm, line, shift) for line in LINES]
    assert rows == expected and any(UNK in row for row in rows)
    assert n == sum(map(len, rows)) - len(rows) and n_unknown == sum(row.count(UNK) for row in rows)


@pytest.mark.slow
def test_a_student_keeps_lasers_ids(laser, tmp_path):
    from fairseq_distill.embedding.student import load_student

    folder, spm = laser
    rng = np.random.default_rng(3)
    for split, n in (("train", 80), ("dev", 20)):
        chosen = [rng.integers(0, len(WORDS), rng.integers(3, 8)) for _ in range(n)]
        write_lines(tmp_path / f"{split}.swa", [" ".join(WORDS[i] for i in row) for row in chosen])
        write_lines(tmp_path / f"{split}.eng", [" ".join(ENGLISH[i] for i in row) for row in chosen])
    known = read_lines(tmp_path / "train.eng") + read_lines(tmp_path / "dev.eng")
    write_lines(tmp_path / "known.txt", known)
    np.save(tmp_path / "known.npy", rng.normal(size=(len(known), 8)).astype(np.float32))
    teacher = f"file:{tmp_path}/known.npy?text={tmp_path}/known.txt,space=made-up,pooling=max"
    command = [
        "bash",
        REPO / "data_prep/prepare.sh",
        "--data",
        tmp_path / "data",
        "--langs",
        "swa",
        "--teacher",
        teacher,
    ]
    command += ["--bitext", f"eng-swa={tmp_path}/train", "--valid", f"eng-swa={tmp_path}/dev"]
    command += ["--spm-model", folder / "laser.spm", "--workers", 1]  # laser.cvocab lies beside it
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    settings = {**os.environ, "PATH": path, "FAIRSEQ_DISTILL_VENV": "none", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=settings)
    assert done.returncode == 0, done.stderr
    data = tmp_path / "data"
    manifest = read_manifest(data)
    assert manifest.vocabulary is not None and manifest.vocabulary.origin == str(folder / "laser.spm")
    assert [(row.lang, row.vocabulary, row.size) for row in manifest.vocabulary.rows] == [("swa", "student", SIZE)]
    for corpus in manifest.corpora:
        for ids, line in zip(open_binarised(data / corpus.src), read_lines(data / corpus.src_text)):
            assert ids.tolist() == expected_ids(spm, line, 4)
    train(data, tmp_path / "checkpoints", 2)
    student = load_student(tmp_path / "checkpoints" / "checkpoint_best.pt")
    symbols = student.state.dictionary.symbols
    assert symbols == [*SPECIALS, *(spm.id_to_piece(i) for i in range(SIZE)), MASK]
    assert student.model.embed_tokens.weight.size(0) == len(symbols) and student.state.dictionary.style == "spm+4"
    assert [row.tolist() for row in student.prepare(LINES)] == [expected_ids(spm, line, 4) for line in LINES]
    assert np.isfinite(student.encode(LINES)).all()
