"""Stage 6: ``manifest.json``, what the task reads, once all parts of the data directory are found to fit each other."""

import logging
import platform
import sys
from argparse import Namespace
from pathlib import Path
from typing import Dict, List

import numpy as np
import sacremoses
import sentencepiece
from clean import data_parser
from deduplicate import STEP as DEDUPLICATE
from deduplicate import kept_sources
from embed_teacher import embedding_files
from plan_file import Plan, Source, read_plan
from stamps import Stamps
from train_spm import DICTIONARY, MODEL, VOCABULARY
from train_spm import STEP as TRAIN_SPM

from fairseq_distill import __version__
from fairseq_distill.cli.common import run_command
from fairseq_distill.errors import DataError
from fairseq_distill.formats.binarised import open_binarised
from fairseq_distill.formats.embeddings import open_embeddings, read_info
from fairseq_distill.formats.lines import count_lines
from fairseq_distill.formats.manifest import NAME, Corpus, Count, Manifest, Teacher, write_manifest
from fairseq_distill.formats.vocabulary import NAME as VOCABULARY_REPORT
from fairseq_distill.formats.vocabulary import read_vocabulary_report
from fairseq_distill.text import NORMALISER

logger = logging.getLogger(__name__)


def corpus_of(source: Source, plan: Plan) -> Corpus:
    """The manifest's entry of a corpus; ``n`` is filled by :func:`check_corpus`."""
    corpus = Corpus(
        source.id, source.kind, source.split, source.lang, 0,
        f"bin/{source.name}.{source.lang}", f"clean/{source.name}.{source.lang}",
    )  # fmt: skip
    if source.tgt_lang is not None:
        corpus.tgt_lang, corpus.tgt_text = source.tgt_lang, f"clean/{source.name}.{source.tgt_lang}"
        corpus.teacher = embedding_files(source, plan)
        if source.tgt_lang in plan.student_langs(source)[1:]:
            corpus.tgt = f"bin/{source.name}.{source.tgt_lang}"
    return corpus


def check_corpus(corpus: Corpus, data: Path) -> None:
    """Count the sentences of a corpus, and raise a DataError unless all its files have as many."""
    rows = {corpus.src_text: count_lines(data / corpus.src_text), corpus.src: len(open_binarised(data / corpus.src))}
    if corpus.tgt_text is not None:
        rows[corpus.tgt_text] = count_lines(data / corpus.tgt_text)
    if corpus.tgt is not None:
        rows[corpus.tgt] = len(open_binarised(data / corpus.tgt))
    for name in corpus.teacher:
        rows[name] = len(open_embeddings(data / name))
    corpus.n = rows[corpus.src_text]
    for name, n in rows.items():
        if n != corpus.n:
            raise DataError(
                f"{data / corpus.src_text} has {corpus.n:,} lines but {data / name} has {n:,} rows; "
                "run data_prep/prepare.sh again from --stage 1."
            )


def teacher_of(corpora: List[Corpus], plan: Plan, data: Path) -> Teacher:
    """What the sidecars say of the teacher.

    Raises:
        DataError: a sidecar is missing, says too little, or two embedding files differ in space or width.
    """
    found: Dict[str, Teacher] = {}
    for name in (name for corpus in corpora for name in corpus.teacher):
        info = read_info(data / name)
        if info is None or "pooling" not in info.extra:
            raise DataError(f"{data / name}.json does not say how the teacher pools; embed again with fairseq-teach.")
        width = int(open_embeddings(data / name).shape[1])
        found[name] = Teacher(plan.teacher, info.space, width, str(info.extra["pooling"]), plan.teacher_lang)
    first = next(iter(found))
    for name, teacher in found.items():
        if teacher != found[first]:
            raise DataError(
                f"{data / first} is in the space {found[first].space} ({found[first].dim} wide) but {data / name} in "
                f"{teacher.space} ({teacher.dim} wide); remove {data / 'teacher'} and run data_prep/prepare.sh again."
            )
    return found[first]


def counts_of(plan: Plan, stamps: Stamps) -> List[Count]:
    """Lines in, out and dropped by reason, of every step and corpus; pieces wanted and got of the vocabulary."""
    counts = [Count(**stamps.result(f"clean.{source.name}")) for source in plan.sources]
    counts += [Count(**count) for count in stamps.result(DEDUPLICATE)]
    spm = stamps.result(TRAIN_SPM)
    missing = spm["wanted"] - spm["pieces"]
    counts.append(
        Count(TRAIN_SPM, MODEL, spm["wanted"], spm["pieces"], {"too_little_text": missing} if missing else {})
    )
    return counts


def make_manifest(plan: Plan, data: Path, stamps: Stamps) -> Manifest:
    """The manifest of a data directory whose stages have all run.

    Raises:
        DataError: a file is missing, or does not fit its neighbours.
    """
    corpora = [corpus_of(source, plan) for source in kept_sources(plan, stamps)]
    for corpus in corpora:
        check_corpus(corpus, data)
    files = [MODEL, VOCABULARY, DICTIONARY]
    for corpus in corpora:
        files += [corpus.src_text, f"{corpus.src}.bin", f"{corpus.src}.idx", *corpus.teacher]
        files += [corpus.tgt_text] if corpus.tgt_text else []
        files += [f"{corpus.tgt}.bin", f"{corpus.tgt}.idx"] if corpus.tgt else []
    versions = {
        "fairseq_distill": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "sentencepiece": sentencepiece.__version__,
        "sacremoses": sacremoses.__version__,
    }
    return Manifest(
        languages=plan.languages,
        teacher=teacher_of(corpora, plan, data),
        normaliser=NORMALISER,
        spm=MODEL,
        dictionary=DICTIONARY,
        corpora=corpora,
        counts=counts_of(plan, stamps),
        checksums={name: stamps.checksum(data / name) for name in files},
        versions=versions,
        vocabulary=read_vocabulary_report(data / VOCABULARY_REPORT),
    )


def main(args: Namespace) -> None:
    """Write the manifest, last of all."""
    data, plan = Path(args.data), read_plan(args.data)
    stamps = Stamps(data)
    manifest = make_manifest(plan, data, stamps)
    write_manifest(data, manifest)
    stamps.save()
    for corpus in manifest.corpora:
        logger.info(f"manifest | {corpus.split}.{corpus.id} | {corpus.kind} | {corpus.lang} | {corpus.n:,} sentences")
    logger.info(f"manifest | {data / NAME} | teacher {manifest.teacher.space}, {manifest.teacher.dim} wide")


if __name__ == "__main__":
    sys.exit(run_command(data_parser("write_manifest.py", "Write the manifest of a data directory."), main))
