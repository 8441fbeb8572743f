"""What the fault suite shares: commands called in this process, what a folder holds, and a teacher that needs no model."""

import json
import re
from pathlib import Path

import numpy as np
import sentencepiece

from fairseq_distill.formats.binarised import write_binarised
from fairseq_distill.formats.dictionary import write_cvocab
from fairseq_distill.text import StudentTokenizer

OWN_TEACHER = '''
import hashlib
import numpy as np

class Teacher:
    """A sentence's vector is a function of its text and of nothing else."""
    fingerprint, space = "hash", "hash:space"

    def encode(self, sentences):
        seeds = (hashlib.sha256(sentence.encode("utf-8")).digest()[:8] for sentence in sentences)
        rows = [np.random.default_rng(int.from_bytes(seed, "big")).standard_normal(8) for seed in seeds]
        return np.array(rows, np.float32).reshape(len(sentences), 8)
'''


_made = {}
exec(OWN_TEACHER, _made)  # the text above
own_rows = _made["Teacher"]().encode  # the rows that it gives for sentences, float32 [N, 8]


def own_teacher(folder, more=""):
    """``python:…`` of a teacher that embeds without a model; its file, ``more`` at its end, is written into ``folder``."""
    path = Path(folder) / "own_teacher.py"
    path.write_text(OWN_TEACHER + more, encoding="utf-8")
    return f"python:{path}:Teacher"


def write_nllb(folder, spm, lines):
    """A configuration of the nllb branch with a pair and monolingual text."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=spm)
    dictionary = write_cvocab(folder / "v.cvocab", [pieces.id_to_piece(i) for i in range(len(pieces))], "spm+4")
    (folder / "v.spm").write_bytes(spm)
    for name, part in (("train.swa", lines), ("train.eng", lines[::-1]), ("mono.swa", lines[:5])):
        rows = StudentTokenizer(spm, dictionary).encode(part)
        (folder / "swa-eng").mkdir(exist_ok=True)
        write_binarised(folder / "swa-eng" / name, np.concatenate(rows), np.array([len(row) for row in rows]))
    train, other, mono = (str(folder / "swa-eng" / name) for name in ("train.swa", "train.eng", "mono.swa"))
    entries = [{"id": "swa-eng", "src": train, "tgt": other}, {"id": "mono", "src": mono, "tgt": mono}]
    vocabulary = str(folder / "v.cvocab")
    (folder / "nllb.json").write_text(json.dumps({"src_vocab": vocabulary, "tgt_vocab": vocabulary, "train": entries}))


def content(folder):
    """Every file below a folder with its bytes, by its name; folders have None."""
    found = {}
    for path in Path(folder).rglob("*"):
        found[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else None
    return found


def refused(capsys, main, words, said, folder=None):
    """Call a command that must refuse: exit code 1, one sentence with ``said`` (a pattern), no file made or changed.

    Returns:
        the sentence.
    """
    before = content(folder) if folder is not None else None
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if ": error: " in line]
    assert code == 1, f"exit code {code}: {err}"
    assert len(errors) == 1 and "Traceback" not in err, err
    assert re.search(said, errors[0]), errors[0]
    assert out == ""
    if before is not None:
        assert content(folder) == before
    return errors[0]
