"""A small valid file of every format that is read, where it is cut to be noticed, and its reader."""

import base64
import gzip
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch

from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.evaluation.score_histogram import count_scores
from fairseq_distill.evaluation.training_log import read_training_log
from fairseq_distill.export.laser import laser
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.formats import calibration, evaluation, leakage, manifest, provenance, results, vocabulary
from fairseq_distill.formats.augmented import read_augmented
from fairseq_distill.formats.binarised import open_either, write_binarised
from fairseq_distill.formats.bucc import read_bucc
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.embeddings import EmbeddingInfo, open_embeddings, read_info, write_info
from fairseq_distill.formats.evaluation_sets import find_sets
from fairseq_distill.formats.lines import count_lines, read_lines, write_lines
from fairseq_distill.formats.mined_pairs import MinedPair, read_mined_pairs, write_mined_pairs
from fairseq_distill.formats.mining_record import MiningRecord, SideRecord, read_record, write_record
from fairseq_distill.formats.nllb_config import read_nllb_config
from fairseq_distill.formats.provenance import read_mined_lines, read_origins
from fairseq_distill.formats.sbert_folder import require_stock_classes
from fairseq_distill.formats.shards import Shard
from fairseq_distill.mining.job import open_job
from fairseq_distill.mining.shards import joined, search_shard
from fairseq_distill.modules.lstm import LstmEncoder, LstmShape
from fairseq_distill.teachers.sbert_tokenizer import load_tokenizer
from tests.unit.export.export_students import train_spm, write_student

REPO = Path(__file__).parents[2]
PROGRAMS = [
    str(REPO / folder) for folder in ("data_prep", "recipes", "recipes/ablation")
]  # of which some formats are read by


def write_formats(folder):
    """Write a small valid file of every format into a folder; returns it."""
    np.save(folder / "rows.npy", np.ones((5, 4), np.float32))
    np.save(folder / "half.npy", np.ones((5, 4), np.float16))
    np.save(folder / "scores.npy", np.ones(50, np.float32))
    np.ones((5, 4), np.float32).tofile(folder / "rows.raw")
    write_info(folder / "rows.npy", EmbeddingInfo("a", "b", "c"))
    write_binarised(folder / "ids", np.arange(20) % 7 + 1, np.array([5, 5, 10]))
    legacy = [np.array([2, 2, 2]), np.array([0, 2, 5]), np.array([2, 3])]
    head = b"TNTIDX\0\0" + struct.pack("<QQQQQ", 1, 4, 4, 2, 2)
    (folder / "old.idx").write_bytes(head + b"".join(part.astype(np.int64).tobytes() for part in legacy))
    (folder / "old.bin").write_bytes(np.arange(1, 6, dtype=np.int32).tobytes())
    (folder / "text.gz").write_bytes(gzip.compress(b"a line of text\n" * 99, mtime=0))
    (folder / "dict.txt").write_text("".join(f"piece{i} 1\n" for i in range(20)))
    pairs = [MinedPair(1.25, "a source", "a target", 1, 2), MinedPair(1.125, "another", "one more", 3, 4)]
    write_mined_pairs(folder / "mined.tsv", pairs, with_ids=True)
    write_mined_pairs(folder / "mined.tsv.gz", pairs * 20)
    write_mined_pairs(folder / "origin.tsv", [replace(pair, cosine=0.5) for pair in pairs], provenance=True)
    side = SideRecord("a.txt", "0", "a.npy", "1", 5, 5)
    write_record(MiningRecord(str(folder / "origin.tsv"), "2", side, side, {"pairs": 2}))
    write_lines(folder / "five.txt", [f"line {i}" for i in range(5)])
    search_shard(_mining(folder), Shard(1, 1), 2)
    _write_json_formats(folder)
    _write_models(folder)
    _write_recipe_formats(folder)
    _write_sbert(folder / "sbert")
    (folder / "b.fra").write_text("f1\ta\nf2\tb\n")
    (folder / "b.eng").write_text("e1\ta\ne2\tb\n")
    (folder / "b.gold").write_text("f1\te1\nf2\te2\n")
    (folder / "x.po").write_text('msgid ""\nmsgstr "charset=UTF-8\\n"\n\nmsgid "open"\nmsgstr "fungua"\n')
    (folder / "x.mo").write_bytes(catalogue({b"": b"charset=UTF-8\n", b"open": b"fungua", b"file": b"faili"}))
    (folder / "x.xcd").write_text(
        '<r xmlns:oor="http://openoffice.org/2001/registry"><c oor:package="a" oor:name="b"/></r>\n'
    )
    return folder


def _mining(folder):
    """A run of mining over ``five.txt`` and ``rows.npy``, both sides alike."""
    return open_job((folder / "five.txt",) * 2, (folder / "rows.npy",) * 2, folder / "o.tsv")


def _write_json_formats(folder):
    teacher = manifest.Teacher("sbert:x", "space", 4, "mean", "eng")
    corpus = manifest.Corpus("a.eng-swa", "distil", "train", "swa", 5, "bin/x", "clean/x", "eng", "clean/y", ["t.npy"])
    manifest.write_manifest(folder, manifest.Manifest(["swa"], teacher, "laser-1", "spm.model", "dict.txt", [corpus]))
    cut = calibration.Cut(1.06, 10, 8.0, 7, 0.9, 0.8, 0.85)
    settings = [calibration.Setting("ratio", 4, cut)]
    calibration.write_calibration(
        folder / "calibration.json", calibration.Calibration("swa-eng", 10, 3, [5, 6], "max", 0.9, settings)
    )
    calibration.write_curve(folder / "curve.tsv", [("ratio", 4, 1.0, 10, 8.0, 7, 0.9, 0.8, 0.85)])
    score = evaluation.Score("xsim", "t", "swa", "eng", "enc", 5.0, 4.0, 6.0, 100, "signature")
    evaluation.write_evaluation(folder / "evaluation.json", evaluation.Evaluation([score]))
    entry = results.XsimEntry("student", "v", "swa", "eng", "ratio", 4, 100, 5, 5.0)
    results.write_results(folder, results.Results([entry], results.TrainingFacts(seconds=1.5)))
    counts = vocabulary.PieceCounts("swa", "student", "", 10, 5, 6, 7, 8, 1, 1, 1, 5, 2, 20, 19)
    vocabulary.write_vocabulary_report(folder / "vocabulary.json", vocabulary.VocabularyReport([counts]))
    near = leakage.NearDuplicate(1, 2, 0.8, "a line", "another line")
    audit = leakage.SetLeakage("news", "swa", 9, leakage.Leakage(9, 1, 2, 8, 3, 0.7, [near]))
    leakage.write_leakage(folder / "leakage.json", [audit])
    nllb = {
        "src_vocab": "a",
        "tgt_vocab": "b",
        "train": [{"id": "x", "src": "d/amh-eng/train.amh", "tgt": "d/amh-eng/train.eng"}],
    }
    (folder / "nllb.json").write_text(json.dumps(nllb))
    (folder / "near.json").write_text(json.dumps({"a cat": {"src": "a dog", "errtype": "entity"}}))
    (folder / "near.tsv").write_text("1\tentity\ta cat\n")
    provenance.write_provenance(
        folder / "from.tsv", [provenance.Provenance(1, 1.1, 0.9, "a", 1, "b", 2, "ck", "s", "t")]
    )


ROUND = {
    "number": 1, "checkpoint": "c", "xsim": 5.0, "low": 4.0, "high": 6.0, "margin": "ratio", "k": 4, "threshold": 1.1, "cut": "best F1",
    "precision": 0.9, "recall": 0.5, "mined": 9, "kept": 7, "new": 7, "dropped": {"known": 2},
}  # fmt: skip
SUMMARY = {
    "src_searched": 9, "tgt_searched": 8, "margin": "ratio", "retrieval": "max", "k": 4, "threshold": 1.06, "pairs": 7,
}  # fmt: skip
PREPARED = {
    "languages": ["swa"], "teacher": "sbert:x", "teacher_lang": "eng", "spm_size": 99, "increments": 1,
    "sources": [{"id": "x", "kind": "mask", "split": "train", "lang": "swa", "src": "/a"}],
}  # fmt: skip
TRAINED = {
    "arch": "tiny", "seed": 1, "max_update": 9, "lr": 0.1, "warmup_updates": 1, "max_tokens": 99, "validate_every": 3, "log_interval": 1,
    "request": {},
}  # fmt: skip
RUN = {
    "key": "3f0c", "variant": "mlm", "group": "horn", "lang": None, "seed": 1, "size": "cpu", "updates": 8,
    "sets": [["dev", 8, {"absolute": 0, "distance": 0, "ratio": 0}]], "wrong": base64.b64encode(zlib.compress(bytes(3))).decode(),
}  # fmt: skip


def _write_recipe_formats(folder):
    """What the recipes leave between their steps."""
    (folder / "iterate.json").write_text(json.dumps({"format_version": 1, "rounds": [ROUND], "stopped": None}))
    (folder / "mine.json").write_text(json.dumps(SUMMARY))
    (folder / "mined.counts.json").write_text(
        json.dumps({"in": 9, "kept": 7, "dropped": {"known": 2}, "threshold": 1.1})
    )
    (folder / "mined.lines.tsv").write_text("1.250000\t1\t2\n1.125000\t3\t4\n")
    (folder / "mono.swa.origin.tsv").write_text("news/train.swa\t12\ncrawl.swa\t3\n")
    (folder / "corpora.tsv").write_text("swa\t12,000\t500000\nzul\t30\n")
    (folder / "corpus.json").write_text(json.dumps({"licence": "CC-BY-4.0", "files": {"x": {"bytes": 1}}}))
    (folder / "corpora.lock.tsv").write_text(f"# corpus\tside\nnews-swa\tswa\t{'0' * 64}\t12\t2026-11-23\n")
    (folder / "licences.tsv").write_text("CC-BY-4.0\topen\twith a name\nCC0\topen\tno condition\n")
    (folder / "languages.tsv").write_text("swa\tswh,swc\tSwahili\tLatn\tswahili_kikuyu\tBantu\tswh\t-\n")
    for name, content in (("prepared", PREPARED), ("trained", TRAINED)):
        (folder / name).mkdir()
        (folder / name / "plan.json").write_text(json.dumps(content))
    (folder / "runs.jsonl").write_text(json.dumps(RUN) + "\n")
    (folder / "family").mkdir()
    (folder / "family" / "config.sh").write_text('FAMILY="A family"\nLANGS=(swa kik)\nSPM_SIZE=8000\n')
    log = '{"epoch": 1, "update": 0.5, "loss": "2.5", "ups": "3", "bsz": "9", "num_updates": "10"}'
    (folder / "train.json.log").write_text(f"2026-11-23 | INFO | train_inner | {log}\n" * 2)
    for name in ("swh_Latn", "eng_Latn"):
        (folder / "flores" / "dev").mkdir(parents=True, exist_ok=True)
        (folder / "flores" / "dev" / f"{name}.dev").write_text("one line\nand another\n")


def _write_sbert(folder):
    stock = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{stock}Transformer"},
        {"path": "1_Dense", "type": f"{stock}Dense"},
    ]
    (folder / "1_Dense").mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Dense" / "config.json").write_text(
        json.dumps({"activation_function": "torch.nn.modules.activation.Tanh"})
    )
    words = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": words}))


def _write_models(folder):
    spm = train_spm()
    write_student(folder / "student.pt", spm)
    safetensors(folder / "student.pt", folder / "folder")
    laser(folder / "student.pt", folder / "laser")
    content = torch.load(folder / "student.pt", weights_only=True)
    torch.save(content, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=spm)
    ids = {pieces.id_to_piece(i): i + 4 for i in range(3, len(pieces))}
    shape = LstmShape(vocabulary=60, embed_dim=8, hidden=6, layers=2)
    params = {
        "num_embeddings": 60, "padding_idx": 1, "embed_dim": 8, "hidden_size": 6, "num_layers": 2, "bidirectional": True,
    }  # fmt: skip
    (folder / "laser2").mkdir()
    tensors = LstmEncoder(shape).state_dict()
    torch.save({"params": params, "model": tensors, "dictionary": ids}, folder / "laser2" / "laser2.pt")
    (folder / "laser2" / "laser2.spm").write_bytes(spm)


def catalogue(messages):
    """A compiled gettext catalogue."""
    start = 28 + 16 * len(messages)
    tables, texts = [b"", b""], b""
    for side in (0, 1):
        for pair in messages.items():
            tables[side] += struct.pack("<2I", len(pair[side]), start + len(texts))
            texts += pair[side] + b"\0"
    return (
        struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, 0)
        + tables[0]
        + tables[1]
        + texts
    )


def _po(path):
    from catalogue_files import read_po

    list(read_po(path).pairs())


def _mo(path):
    from catalogue_files import read_mo

    list(read_mo(path).pairs())


def _xcd(path):
    from catalogue_files import read_registry

    read_registry(path)


def _rounds(path):
    from iterate_round import read_rounds

    read_rounds(path.parent)


def _counts(path):
    from iterate_round import read_counts

    read_counts(path)


def _summary(path):
    from add_mining import read_summary

    read_summary(path)


def _corpora(path):
    from plan_families import read_counts

    read_counts(path)


def _licence(path):
    from corpora_root import licence_in

    licence_in(path)


def _lock(path):
    from corpora_lock import read_lock

    read_lock(path)


def _licences(path):
    from family_config import read_licences

    read_licences(path)


def _languages(path):
    from language_table import read_table

    read_table(path)


def _family(path):
    from family_config import read_config

    read_config(path.parent)


def _prepared(path):
    from plan_file import read_plan

    read_plan(path.parent)


def _trained(path):
    from plan_training import read_plan

    read_plan(path)


def _runs(path):
    from run_records import read_records

    read_records(path)


def _evaluation_sets(path):
    for found in find_sets(path.parents[1]):
        found.require_even()


def _tokenizer(path):
    pytest.importorskip("tokenizers")
    load_tokenizer(str(path.parent))


def _encoder(path):
    open_encoder(str(path), "cpu", "float32")


ENDS, BINARY = (
    (0, 0.5, -3),
    (0, 0.02, 0.5, 0.97, -1),
)  # where a file is cut: a share of its bytes, or so many before its end
# format -> (file, where it is cut, how it is read)
FORMATS = {
    "embeddings, float32": ("rows.npy", (0, 5, 0.3, 0.9, -1), open_embeddings),
    "embeddings, float16": ("half.npy", (0, 8, 0.5, -1), open_embeddings),
    "headerless embeddings": ("rows.raw", (7, 0.5, -1), lambda path: open_embeddings(path, 4)),
    "scores": ("scores.npy", (0, 0.5, -1), lambda path: count_scores(path)),
    "sidecar": ("rows.npy.json", ENDS, lambda path: read_info(str(path)[: -len(".json")])),
    "index": ("ids.idx", BINARY, lambda path: open_either(path.with_suffix(""))),
    "ids": ("ids.bin", (0, 0.5, -1), lambda path: open_either(path.with_suffix(""))),
    "legacy index": ("old.idx", BINARY, lambda path: open_either(path.with_suffix(""))),
    "legacy ids": ("old.bin", (0, 0.5, -1), lambda path: open_either(path.with_suffix(""))),
    "packed text, read": ("text.gz", (5, 0.5, -1), read_lines),
    "packed text, counted": ("text.gz", (5, 0.5, -1), count_lines),
    "dictionary": ("dict.txt", (0.5, -3), read_dictionary),
    "mined pairs": ("mined.tsv", (0.1, 0.8), lambda path: list(read_mined_pairs(path))),
    "packed mined pairs": ("mined.tsv.gz", (5, 0.5, -1), lambda path: list(read_mined_pairs(path))),
    "mined pairs with provenance": ("origin.tsv", (0.1, 0.8, -4), lambda path: list(read_mined_pairs(path))),
    "record of mined pairs": ("origin.tsv.json", ENDS, lambda path: read_record(path.with_suffix(""))),
    "neighbours of a shard": ("o.tsv.shard1of1.npy", (0, 5, 0.5, -1), lambda path: joined(_mining(path.parent), 1, 2)),
    "description of a shard": ("o.tsv.shard1of1.npy.json", ENDS, lambda path: joined(_mining(path.parent), 1, 2)),
    "manifest": ("manifest.json", ENDS, lambda path: manifest.read_manifest(path.parent)),
    "calibration": ("calibration.json", ENDS, calibration.read_calibration),
    "calibration curve": ("curve.tsv", (0, 0.3, 0.8), calibration.read_curve),
    "evaluation": ("evaluation.json", ENDS, evaluation.read_evaluation),
    "results": ("results.json", ENDS, lambda path: results.read_results(path.parent)),
    "vocabulary": ("vocabulary.json", ENDS, vocabulary.read_vocabulary_report),
    "leakage": ("leakage.json", ENDS, lambda path: leakage.read_leakage(path.parent)),
    "nllb configuration": ("nllb.json", ENDS, read_nllb_config),
    "near copies, JSON": ("near.json", ENDS, lambda path: read_augmented(path, ["a dog"])),
    "near copies, TSV": ("near.tsv", (0, 0.5), lambda path: read_augmented(path, ["a dog"])),
    "provenance": ("from.tsv", (0, 0.3, 0.9), lambda path: list(provenance.read_provenance(path))),
    "BUCC gold": ("b.gold", (0, 0.3, 0.6), lambda path: read_bucc(path.with_suffix(""), "fra", "eng")),
    "BUCC text": ("b.fra", (0, 0.6), lambda path: read_bucc(path.with_suffix(""), "fra", "eng")),
    "catalogue .po": ("x.po", (0.35, 0.95), _po),
    "catalogue .mo": ("x.mo", (0, 0.3, 0.9, -3), _mo),
    "registry .xcd": ("x.xcd", (0, 0.5, 0.9), _xcd),
    "training log": ("train.json.log", (), read_training_log),  # is read as far as it goes, see below
    "rounds": ("iterate.json", ENDS, _rounds),
    "summary of mining": ("mine.json", ENDS, _summary),
    "counts of pairs": ("mined.counts.json", ENDS, _counts),
    "lines of mined pairs": ("mined.lines.tsv", (0.2, 0.4, -5), read_mined_lines),
    "origins of lines": ("mono.swa.origin.tsv", (0.2, -3), read_origins),
    "counts of languages": ("corpora.tsv", (0, 0.1), _corpora),
    "record of a corpus": ("corpus.json", ENDS, _licence),
    "checksums of corpora": ("corpora.lock.tsv", (0.3, 0.7, -13), _lock),
    "licences": ("licences.tsv", (0, 0.2, -14), _licences),
    "languages": ("languages.tsv", (0, 0.5, -4), _languages),
    "plan of a data directory": ("prepared/plan.json", ENDS, _prepared),
    "plan of a training": ("trained/plan.json", ENDS, _trained),
    "runs of the ablation": ("runs.jsonl", (0.02, 0.5, -3), _runs),
    "evaluation set": ("flores/dev/swh_Latn.dev", (0, 0.3), _evaluation_sets),
    "list of modules": ("sbert/modules.json", ENDS, lambda path: require_stock_classes(path.parent)),
    "settings of a module": ("sbert/1_Dense/config.json", ENDS, lambda path: require_stock_classes(path.parents[1])),
    "tokenizer": ("sbert/tokenizer.json", ENDS, _tokenizer),
    "student": ("student.pt", BINARY, _encoder),
    "student, old layout": ("legacy.pt", BINARY, _encoder),
    "LASER2": ("laser2/laser2.pt", BINARY, _encoder),
    "LASER2's SentencePiece model": ("laser2/laser2.spm", (0, 0.5), lambda path: _encoder(path.with_suffix(".pt"))),
    "LASER3": ("laser/laser3-swh.v1.pt", BINARY, _encoder),
    "LASER3's SentencePiece model": (
        "laser/laser3-swh.v1.spm",
        (0, 0.5),
        lambda path: _encoder(path.with_suffix(".pt")),
    ),
    "LASER3's .cvocab": ("laser/laser3-swh.v1.cvocab", (0, 0.5, -3), lambda path: _encoder(path.with_suffix(".pt"))),
    "folder: weights": ("folder/model.safetensors", BINARY, lambda path: _encoder(path.parent)),
    "folder: configuration": ("folder/config.json", ENDS, lambda path: _encoder(f"fairseq:{path.parent}")),
    "folder: SentencePiece model": ("folder/spm.model", ENDS, lambda path: _encoder(path.parent)),
    "folder: dictionary": ("folder/dict.txt", ENDS, lambda path: _encoder(path.parent)),
}
# what bash runs: cut off like the others, but never changed at random, as nobody knows what it would do then
PROGRAM_FORMATS = {"configuration of a family": ("family/config.sh", (0, 0.1, 0.6), _family)}
