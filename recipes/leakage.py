"""Near-duplicates between the text that a student was trained on and the text that it is judged on, before any number.

data_prep has dropped every line that equals an evaluation line in letters and digits; what is left is almost equal. Of a large
corpus a sample is looked at, so that this takes a minute or two at the most.
"""

import random
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from fairseq_distill import defaults
from fairseq_distill.data.near_duplicates import NearDuplicateIndex
from fairseq_distill.formats.leakage import SetLeakage
from fairseq_distill.formats.lines import iter_lines, read_lines
from fairseq_distill.formats.manifest import Corpus, Manifest


def texts_of(corpus: Corpus) -> Iterator[Tuple[str, str]]:
    """(language, file) of each side that a corpus has as text."""
    yield corpus.lang, corpus.src_text
    if corpus.tgt_lang is not None and corpus.tgt_text is not None:
        yield corpus.tgt_lang, corpus.tgt_text


def sample(files: List[Path], total: int, limit: int) -> List[str]:
    """At most ``limit`` of the ``total`` lines of some files, evenly over them, shuffled: any part of it is a sample too."""
    lines = (line for file in files for line in iter_lines(file))
    kept = [line for i, line in enumerate(lines) if total <= limit or (i + 1) * limit // total > i * limit // total]
    random.Random(1).shuffle(kept)
    return kept


def audit_training(
    data: Path, manifest: Manifest, limit: int = defaults.LEAKAGE_LINES, seconds: float = defaults.LEAKAGE_SECONDS
) -> List[SetLeakage]:
    """Each side of each valid set against the training text of its language, in the order of the manifest.

    Args:
        data: the data directory.
        limit: training lines of a language that are looked at.
        seconds: after which no further lines are looked at, all sides together.
    """
    training: Dict[str, Dict[Path, int]] = {}
    for corpus in manifest.select("train"):
        for lang, text in texts_of(corpus):
            training.setdefault(lang, {})[data / text] = corpus.n
    sides = [(corpus.id, lang, data / text) for corpus in manifest.select("valid") for lang, text in texts_of(corpus)]
    samples: Dict[str, List[str]] = {}
    result = []
    for name, lang, path in sides:
        known = training.get(lang, {})
        total = sum(known.values())
        if lang not in samples:
            samples[lang] = sample(list(known), total, limit)
        found = NearDuplicateIndex(read_lines(path)).audit(
            samples[lang], total=len(samples[lang]), seconds=seconds / len(sides)
        )
        result.append(SetLeakage(name, lang, total, found))
    return result


def leakage_lines(entries: List[SetLeakage]) -> List[str]:
    """What to print of it."""
    said = [
        f"near-duplicates of evaluation lines in the training text (Jaccard index {defaults.NEAR_DUPLICATE:g} or more)"
    ]
    for one in entries:
        looked = f"{one.found.lines:,}"
        looked += (
            " training lines"
            if one.found.lines == one.training_lines
            else f" of {one.training_lines:,} training lines, sampled"
        )
        said.append(
            f"{one.valid_set}, {one.lang}: {one.found.evaluation_hit:,} of {one.found.evaluation_lines:,} lines have one "
            f"({one.found.identical:,} identical and {one.found.near:,} near among {looked})"
        )
    return said
