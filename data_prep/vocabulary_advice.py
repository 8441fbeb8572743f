"""Which vocabulary to take: candidates of several sizes, joint and of each language alone, and the rule that chooses.

The rule, and the measurement behind its numbers, is explained in docs/vocabulary.md.
"""

import functools
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from spm_training import draw, train, wanted_lines, without_reserved
from vocabulary_statistics import SpmVocabulary, Vocabulary, measure

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import disk_error
from fairseq_distill.formats.vocabulary import Advice, PieceCounts, VocabularyReport, size_for_lines
from fairseq_distill.progress import elapsing
from fairseq_distill.text import normalise

logger = logging.getLogger(__name__)


@dataclass
class LanguageText:
    """Text of one language.

    Attributes:
        train: lines to train on, or an even sample of them.
        heldout: lines to measure on, none of which is in ``train``.
        total: lines of the whole training text; ``len(train)`` when nothing was left out.
        source: where the held-out lines are from, for the report.
    """

    train: List[str]
    heldout: List[str]
    total: int
    source: str

    @functools.cached_property
    def normalised(self) -> List[str]:
        """The training lines as vocabularies see them."""
        return [normalise(line) for line in self.train]


def split_text(lines: Sequence[str], total: int) -> LanguageText:
    """Keep back every tenth distinct line, at most ``ADVICE_HELDOUT`` of them, where there is no held-out text.

    Args:
        lines: training text, or an even sample of it.
        total: lines of the whole training text.
    """
    distinct = list(dict.fromkeys(lines))
    step = max(10, len(distinct) // defaults.ADVICE_HELDOUT)
    heldout = distinct[step // 2 :: step]
    kept_back = set(heldout)
    return LanguageText([line for line in lines if line not in kept_back], heldout, total, "train")


def sample(lines: Iterator[str], total: int, most: int) -> List[str]:
    """``most`` of ``total`` lines, evenly spread; all of them when there are no more."""
    return list(draw(lines, total, min(total, most))) if total else []


# --- candidates


def candidates(
    texts: Dict[str, LanguageText], sizes: Sequence[int], temperature: float, kind: str
) -> Iterator[PieceCounts]:
    """Rows of one vocabulary for each size that the text allows, on each language's held-out lines.

    Args:
        texts: languages that share the vocabulary.
        sizes: pieces, ascending; the first that the text does not allow is made as large as it allows, and is the last.
        temperature: of the languages' shares.
        kind: ``joint`` or ``dedicated``.
    """
    wanted = wanted_lines([text.total for text in texts.values()], temperature, defaults.ADVICE_SENTENCES)
    with tempfile.TemporaryDirectory() as folder:
        file, n_lines = Path(folder) / "spm.txt", int(wanted.sum())
        try:
            with open(file, "w", encoding="utf-8") as stream:
                for text, number in zip(texts.values(), wanted):
                    for line in draw(iter(without_reserved(text.normalised)), len(text.normalised), int(number)):
                        stream.write(line + "\n")
        except OSError as error:
            raise disk_error(error, file) from error
        for size in sizes:
            try:
                with elapsing(f"vocabulary | {size:,} pieces"):
                    model, got = train(file, size, n_lines)
            except ConfigError as error:  # too small for the letters of the text
                logger.info(f"advice | {kind} {'+'.join(texts)} | {size:,} pieces left out: {error}")
                continue
            vocabulary = SpmVocabulary(model)
            frequency = training_frequency(vocabulary, texts)
            for lang, text in texts.items():
                row = measure(vocabulary, lang, text.heldout, kind, frequency)
                said = f"{row.per_unit:.2f} pieces a unit, {100 * (row.rare_share or 0):.1f}% rare"
                logger.info(f"advice | {kind} {'+'.join(texts)} | {got:,} pieces | {lang} {said}")
                yield row
            if got < size:
                break


def training_frequency(vocabulary: SpmVocabulary, texts: Dict[str, LanguageText]) -> np.ndarray:
    """How often all the languages' training text holds each piece, estimated where the lines are a sample."""
    total = np.zeros(vocabulary.size)
    for text in texts.values():
        total += vocabulary.frequency(text.normalised) * text.total / max(len(text.normalised), 1)
    return total


def compare(
    texts: Dict[str, LanguageText],
    sizes: Sequence[int],
    temperature: float,
    others: Sequence[Tuple[str, Vocabulary]] = (),
) -> VocabularyReport:
    """Measure other vocabularies, joint ones and each language's own; with the advice that follows.

    Args:
        texts: training and held-out text by language.
        sizes: pieces of the candidates, ascending.
        temperature: of the languages' shares in joint ones.
        others: kind (``teacher``, ``given``) and vocabulary.

    Raises:
        ConfigError: no size is large enough for the letters of the text.
    """
    rows = []
    for kind, vocabulary in others:
        frequency = training_frequency(vocabulary, texts) if isinstance(vocabulary, SpmVocabulary) else None
        rows += [measure(vocabulary, lang, text.heldout, kind, frequency) for lang, text in texts.items()]
    if len(texts) > 1:
        rows += candidates(texts, sizes, temperature, "joint")
    for lang, text in texts.items():
        rows += candidates({lang: text}, sizes, temperature, "dedicated")
    report = VocabularyReport(
        rows, temperature=temperature, heldout={lang: text.source for lang, text in texts.items()}
    )
    report.size, report.advice = advise(report, list(texts))
    return report


# --- the rule


@dataclass
class Choice:
    """A size, and why it is no larger."""

    size: int
    reason: str


def choose_size(ladder: Sequence[Sequence[PieceCounts]]) -> Choice:
    """The size at which a vocabulary should stop to grow.

    It grows while that makes text shorter (pieces a word fall by ``ADVICE_GAIN`` or more for each doubling of the size, as a
    mean over languages), and while the text can train the new pieces (at most ``ADVICE_RARE_SHARE`` of held-out pieces
    stand less than ``RARE_PIECE`` times in the training text, as a mean over languages).

    Args:
        ladder: for each size, ascending, the rows of all its languages in one order; at least one size.
    """
    for smaller, larger in zip(ladder, ladder[1:]):
        here, there = smaller[0].size, larger[0].size
        doublings = np.log2(there / here)
        ratios = [after.per_unit / max(before.per_unit, 1e-9) for before, after in zip(smaller, larger)]
        gain = 1 - float(np.mean(ratios)) ** (1 / doublings)
        rare = float(np.mean([row.rare_share or 0.0 for row in larger]))
        if rare > defaults.ADVICE_RARE_SHARE:
            return Choice(
                here,
                f"with {there:,} pieces {100 * rare:.1f}% of held-out pieces would stand less than "
                f"{defaults.RARE_PIECE} times in the training text",
            )
        if gain < defaults.ADVICE_GAIN:
            return Choice(here, f"beyond it twice the pieces make a sentence only {100 * gain:.1f}% shorter")
    return Choice(ladder[-1][0].size, "it is the largest that was tried or that the text allows")


def advise(report: VocabularyReport, languages: Sequence[str]) -> Tuple[int, List[Advice]]:
    """The size of one vocabulary for all languages; and for whom joint or dedicated is better, and how large.

    A language leaves the joint vocabulary when it is cut into ``ADVICE_DEDICATED`` more pieces there than in the one of its own,
    or has ``ADVICE_UNKNOWN`` more of its characters unknown, each at its chosen size.

    Raises:
        ConfigError: a language has no candidate.
    """
    own = {lang: choose_size([[row] for row in _ladder(report, lang, "dedicated")]) for lang in languages}
    if len(languages) == 1:
        lang = languages[0]
        size = own[lang].size
        return size, [Advice("dedicated", [lang], size, f"{size:,} pieces: {own[lang].reason}.")]
    ladders = [_ladder(report, lang, "joint") for lang in languages]
    joint = choose_size(list(zip(*ladders)))
    leaving = {lang: reason for lang in languages if (reason := _leaves(report, lang, joint.size, own[lang].size))}
    together = [lang for lang in languages if lang not in leaving]
    advice = []
    if len(together) > 1:
        most = max(_excess(report, lang, joint.size, own[lang].size) for lang in together)
        gain = f"would save them at most {100 * most:.1f}% of the pieces" if most > 0 else "would save no pieces"
        reason = f"{joint.size:,} pieces: {joint.reason}. Vocabularies of their own {gain}."
        advice.append(Advice("joint", together, joint.size, reason))
    elif together:
        leaving[together[0]] = "The other languages are better off with vocabularies of their own"
    for lang, reason in leaving.items():
        size = own[lang].size
        advice.append(Advice("dedicated", [lang], size, f"{reason}. {size:,} pieces: {own[lang].reason}."))
    return joint.size, advice


def _ladder(report: VocabularyReport, lang: str, kind: str) -> List[PieceCounts]:
    rows = report.of(lang, kind)
    if not rows:
        raise ConfigError(
            f"No {kind} vocabulary of the sizes tried can hold the letters of {lang}; give larger --sizes."
        )
    return rows


def _at(report: VocabularyReport, lang: str, kind: str, size: int) -> PieceCounts:
    return next(row for row in report.of(lang, kind) if row.size == size)


def _excess(report: VocabularyReport, lang: str, joint: int, own: int) -> float:
    """By how much the joint vocabulary cuts a language into more pieces than the dedicated one; 0.1 is a tenth more."""
    return _at(report, lang, "joint", joint).per_unit / max(_at(report, lang, "dedicated", own).per_unit, 1e-9) - 1


def _leaves(report: VocabularyReport, lang: str, joint: int, own: int) -> Optional[str]:
    """Why a language is better off with a vocabulary of its own; None when it is not."""
    shared, alone = _at(report, lang, "joint", joint), _at(report, lang, "dedicated", own)
    excess, unknown = _excess(report, lang, joint, own), shared.unknown_share - alone.unknown_share
    if excess > defaults.ADVICE_DEDICATED:
        return (
            f"The joint vocabulary of {joint:,} cuts {lang} into {100 * excess:.1f}% more pieces than one of {own:,} of its "
            f"own ({shared.per_unit:.2f} against {alone.per_unit:.2f} a word)"
        )
    if unknown > defaults.ADVICE_UNKNOWN:
        return (
            f"The joint vocabulary of {joint:,} leaves {100 * shared.unknown_share:.2f}% of {lang}'s characters unknown, one of "
            f"its own {100 * alone.unknown_share:.2f}%"
        )
    return None


def advise_by_size(rows: Sequence[PieceCounts], lines: int) -> Advice:
    """What is advised where no candidates were compared: one vocabulary of the languages' own, its size by the number of lines.

    Args:
        rows: the student's and, where it is known, the teacher's vocabulary on each language.
        lines: training lines of all languages together.
    """
    own = {row.lang: row for row in rows if row.vocabulary == "student"}
    taught = {row.lang: row for row in rows if row.vocabulary == "teacher" and row.lang in own}
    languages, size = list(own), size_for_lines(lines)
    reason = f"{size:,} pieces for {lines:,} lines"
    if taught:
        lang = max(taught, key=lambda each: taught[each].per_unit / max(own[each].per_unit, 1e-9))
        reason += (
            f"; the teacher's vocabulary makes {taught[lang].per_unit:.2f} pieces a word of {lang} and knows "
            f"{100 * (1 - taught[lang].unknown_share):.1f} % of its text, the student's own {own[lang].per_unit:.2f} and "
            f"{100 * (1 - own[lang].unknown_share):.1f} %"
        )
    reason += "; other sizes, and vocabularies of single languages, were not compared: --spm-size auto does that"
    return Advice("joint" if len(languages) > 1 else "dedicated", languages, size, reason)
