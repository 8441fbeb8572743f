"""Near-duplicates between the text that a student is judged on and the text that it was trained on, or that it has mined.

data_prep has dropped every line that equals an evaluation line in letters and digits; what is left is almost equal. Of a large
corpus a sample is looked at, so that this takes a minute or two at the most.
"""

import random
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from fairseq_distill import defaults
from fairseq_distill.data.near_duplicates import NearDuplicateIndex
from fairseq_distill.formats.leakage import MINED_TEXT, TRAINING_TEXT, SetLeakage
from fairseq_distill.formats.lines import count_lines, iter_lines, read_lines
from fairseq_distill.formats.manifest import Corpus, Manifest
from fairseq_distill.formats.mined_pairs import read_mined_pairs


class Text(NamedTuple):
    """Other text in one language: how many lines it has, and what gives them."""

    n: int
    lines: Callable[[], Iterable[str]]


def texts_of(corpus: Corpus) -> Iterator[Tuple[str, str]]:
    """(language, file) of each side that a corpus has as text."""
    yield corpus.lang, corpus.src_text
    if corpus.tgt_lang is not None and corpus.tgt_text is not None:
        yield corpus.tgt_lang, corpus.tgt_text


def sample(lines: Iterable[str], total: int, limit: int) -> List[str]:
    """At most ``limit`` of ``total`` lines, evenly over them, shuffled: any part of it is a sample too."""
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
    files: Dict[str, Dict[Path, int]] = {}
    for corpus in manifest.select("train"):
        for lang, text in texts_of(corpus):
            files.setdefault(lang, {})[data / text] = corpus.n
    texts = {lang: Text(sum(sizes.values()), partial(_all_lines, sizes)) for lang, sizes in files.items()}
    sides = _sides(data, manifest)
    return _audit(sides, {lang: texts.get(lang, Text(0, list)) for _, lang, _ in sides}, TRAINING_TEXT, limit, seconds)


def audit_mined(
    data: Path,
    manifest: Manifest,
    mined: Path,
    pair: Tuple[str, str],
    limit: int = defaults.LEAKAGE_LINES,
    seconds: float = defaults.LEAKAGE_SECONDS,
) -> List[SetLeakage]:
    """Each side of each valid set against that side of mined pairs which is of its language, in the order of the manifest.

    Args:
        data, limit, seconds: as in :func:`audit_training`.
        mined: what fairseq-mine wrote.
        pair: language of its source, of its target; valid sets in other languages are left out.
    """
    n = count_lines(mined)
    texts = {
        pair[0]: Text(n, lambda: (one.source for one in read_mined_pairs(mined))),
        pair[1]: Text(n, lambda: (one.target for one in read_mined_pairs(mined))),
    }
    return _audit([side for side in _sides(data, manifest) if side[1] in texts], texts, MINED_TEXT, limit, seconds)


def _sides(data: Path, manifest: Manifest) -> List[Tuple[str, str, Path]]:
    """(valid set, language, file) of each side of each valid set."""
    return [(corpus.id, lang, data / text) for corpus in manifest.select("valid") for lang, text in texts_of(corpus)]


def _all_lines(files: Iterable[Path]) -> Iterator[str]:
    return (line for file in files for line in iter_lines(file))


def _audit(
    sides: List[Tuple[str, str, Path]], texts: Dict[str, Text], kind: str, limit: int, seconds: float
) -> List[SetLeakage]:
    """Each side against the text of its language; ``kind`` is what to call that text."""
    samples: Dict[str, List[str]] = {}
    result = []
    for name, lang, path in sides:
        text = texts[lang]
        if lang not in samples:
            samples[lang] = sample(text.lines(), text.n, limit)
        found = NearDuplicateIndex(read_lines(path)).audit(
            samples[lang], total=len(samples[lang]), seconds=seconds / len(sides)
        )
        result.append(SetLeakage(name, lang, text.n, found, kind))
    return result


def leakage_lines(entries: List[SetLeakage], kind: str = TRAINING_TEXT) -> List[str]:
    """What to print of what was found in the text of that kind."""
    said = [
        f"near-duplicates of evaluation lines in the {kind} text (Jaccard index {defaults.NEAR_DUPLICATE:g} or more)"
    ]
    for one in entries:
        looked = f"{one.found.lines:,}"
        looked += (
            f" {kind} lines" if one.found.lines == one.text_lines else f" of {one.text_lines:,} {kind} lines, sampled"
        )
        said.append(
            f"{one.valid_set}, {one.lang}: {one.found.evaluation_hit:,} of {one.found.evaluation_lines:,} lines have one "
            f"({one.found.identical:,} identical and {one.found.near:,} near among {looked})"
        )
    return said
