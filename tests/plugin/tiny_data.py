"""A tiny data directory of an invented language, and runs of the stock fairseq commands on it."""

import json
import os
import random
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder

from fairseq_distill.data.parts import cut_words
from fairseq_distill.formats.dictionary import read_dictionary, write_dictionary
from fairseq_distill.formats.embeddings import EmbeddingInfo, EmbeddingWriter, write_info
from fairseq_distill.formats.lines import write_lines
from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher, write_manifest
from fairseq_distill.text import NORMALISER, StudentTokenizer

REPO = Path(__file__).resolve().parents[2]
WORDS = "lala kufi moso tene wiru basha dogo nyumba kitu samaki jua mvua shamba pepo".split()
ENGLISH = "sleep door many four fish big small house thing river sun rain field wind".split()
MIRRORED = [word[::-1] for word in WORDS]  # of the second language
DIM = 8
PARTS = 3  # of the curriculum


def _binarise(prefix, rows):
    builder = MMapIndexedDatasetBuilder(f"{prefix}.bin", dtype=np.uint16)
    for row in rows:
        builder.add_item(torch.from_numpy(row))
    builder.finalize(f"{prefix}.idx")


def _teacher_rows(sentences):
    words = np.random.default_rng(0).normal(size=(len(ENGLISH), DIM))
    return np.array(
        [sum(words[ENGLISH.index(word)] for word in line.split()) + 0.1 for line in sentences], dtype=np.float32
    )


def make_data(folder, mono=None, read_english=False):
    """A data directory with two languages to distil, one monolingual corpus and two valid sets.

    Args:
        mono: the monolingual lines; random ones when not given.
        read_english: the student's vocabulary has the teacher's language: pairs for TLM, and a ``self`` corpus.
    """
    rng = random.Random(1)
    for name in ("bin", "teacher", "clean"):
        (folder / name).mkdir(parents=True)
    sizes = {("train", "aaa"): 150, ("train", "bbb"): 60, ("valid", "aaa"): 30, ("valid", "bbb"): 20}
    numbers = {key: _random_lines(rng, n) for key, n in sizes.items()}
    mono = mono or _text(_random_lines(rng, 80), WORDS)
    own = _text(_random_lines(rng, 90), ENGLISH) if read_english else []
    foreign = {key: _text(lines, WORDS if key[1] == "aaa" else MIRRORED) for key, lines in numbers.items()}
    seen = [line for (split, _), lines in foreign.items() if split == "train" for line in lines] + mono + 3 * own
    tokenizer = _train_tokenizer(folder, seen, 140 if read_english else 70)
    corpora = [
        _pairs(folder, split, lang, foreign[split, lang], _text(lines, ENGLISH), tokenizer, read_english)
        for (split, lang), lines in numbers.items()
    ]
    write_lines(folder / "clean/mono.aaa", mono)
    _binarise(folder / "bin/mono", tokenizer.encode(mono))
    corpora.append(Corpus("mono", "mask", "train", "aaa", len(mono), "bin/mono", "clean/mono.aaa"))
    if own:
        corpora.append(_own_language(folder, own, tokenizer))
    teacher = Teacher("file:test", "test:space", DIM, "mean", "eng")
    write_manifest(folder, Manifest(["aaa", "bbb"], teacher, NORMALISER, "spm.model", "dict.txt", corpora))
    return folder


def _random_lines(rng, n):
    """Lines of 2 to 9 words, as numbers of words."""
    return [[rng.randrange(len(WORDS)) for _ in range(rng.randint(2, 9))] for _ in range(n)]


def _text(lines, words):
    return [" ".join(words[number] for number in line) for line in lines]


def _train_tokenizer(folder, lines, size):
    """A vocabulary of these lines in ``spm.model`` and ``dict.txt``."""
    write_lines(folder / "spm.txt", lines)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "spm.txt"),
        model_prefix=str(folder / "spm"),
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    spm = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    write_dictionary(folder / "dict.txt", [spm.id_to_piece(i) for i in range(3, spm.get_piece_size())])
    return StudentTokenizer((folder / "spm.model").read_bytes(), read_dictionary(folder / "dict.txt"))


def _pairs(folder, split, lang, foreign, english, tokenizer, read_english):
    """A corpus to distil: both sides, and the teacher's rows for each part of the curriculum, of a valid set for the whole."""
    name, tgt = f"{split}.{lang}", None
    write_lines(folder / f"clean/{name}.{lang}", foreign)
    write_lines(folder / f"clean/{name}.eng", english)
    _binarise(folder / f"bin/{name}", tokenizer.encode(foreign))
    if read_english and split == "train":
        tgt = f"bin/{name}.eng"
        _binarise(folder / tgt, tokenizer.encode(english))
    teacher = _embed_parts(folder, name, english, range(1, PARTS + 1) if split == "train" else [PARTS])
    texts = f"clean/{name}.{lang}", "eng", f"clean/{name}.eng"
    return Corpus(name, "distil", split, lang, len(english), f"bin/{name}", *texts, teacher, tgt)


def _embed_parts(folder, name, english, parts):
    """The files of the teacher's rows for some parts of the lines."""
    files = [f"teacher/{name}.part{part}.npy" for part in parts]
    for part, file in zip(parts, files):
        with EmbeddingWriter(folder / file, len(english), DIM) as writer:
            writer.write(_teacher_rows([cut_words(line, part, PARTS) for line in english]))
        write_info(folder / file, EmbeddingInfo("test", "test:space", "none"))
    return files


def _own_language(folder, lines, tokenizer):
    """A corpus of the teacher's language, with its rows for each part of the curriculum."""
    write_lines(folder / "clean/own.eng", lines)
    _binarise(folder / "bin/own", tokenizer.encode(lines))
    files = _embed_parts(folder, "own", lines, range(1, PARTS + 1))
    return Corpus("own", "self", "train", "eng", len(lines), "bin/own", "clean/own.eng", "eng", "clean/own.eng", files)


def run(words):
    """Run a command in the environment of the tests; the finished process with its output."""
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPO),
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env=variables,
        timeout=300,
        cwd=REPO,
    )


def train(data, save_dir, updates, *extra, arch="student_encoder_tiny", check=True):
    """``fairseq-train`` on the tiny data; (finished process, {update: logged line}, valid lines)."""
    log = Path(save_dir) / "train.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [
        sys.executable,
        "-m",
        "fairseq_cli.train",
        data,
        "--user-dir",
        REPO / "fairseq_distill",
        "--task",
        "sentence_distillation",
    ]
    words += ["--arch", arch, "--criterion", "sentence_distillation", "--optimizer", "fused_adamw", "--lr", "0.01"]
    words += [
        "--lr-scheduler",
        "inverse_sqrt",
        "--warmup-updates",
        "4",
        "--max-update",
        updates,
        "--max-tokens",
        "160",
        "--clip-norm",
        "1.0",
    ]
    words += [
        "--save-dir",
        save_dir,
        "--save-interval-updates",
        "5",
        "--no-epoch-checkpoints",
        "--log-format",
        "json",
        "--log-interval",
        "1",
    ]
    words += ["--best-checkpoint-metric", "xsim", "--num-workers", "0", "--log-file", log, "--seed", "7", *extra]
    done = run(words)
    if check:
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    text = log.read_text().splitlines() if log.is_file() else []
    lines = [json.loads(line) for line in text if line.startswith('{"epoch"')]
    inner = {int(line["num_updates"]): line for line in lines if "num_updates" in line}
    return done, inner, [line for line in lines if "valid_loss" in line]


def train_on_two(data, save_dir, updates, *options):
    """As :func:`train`, by two processes over gloo; what the first of them logged."""
    gloo = ["--cpu", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp", "--distributed-no-spawn"]
    gloo += ["--distributed-world-size", "2", "--distributed-init-method", f"tcp://127.0.0.1:{free_port()}"]
    with ThreadPoolExecutor(2) as pool:
        ranks = [pool.submit(train, data, save_dir, updates, *options, *gloo, "--distributed-rank", r) for r in (0, 1)]
        return [rank.result() for rank in ranks][0]


def weights(path):
    """The model's tensors in a checkpoint."""
    return torch.load(path, map_location="cpu", weights_only=True)["model"]


def assert_equal_weights(first, second, **tolerance):
    """Bit by bit, unless a tolerance is given."""
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], msg=key, **({"rtol": 0, "atol": 0} | tolerance))


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
