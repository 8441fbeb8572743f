"""The parts of the report about the data: what each step kept and dropped, the corpora, the student's vocabulary."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from fairseq_distill.evaluation.report_html import big_number, details, escape, facts, missing, number, paragraph, table
from fairseq_distill.evaluation.report_vocabulary import measured_vocabularies
from fairseq_distill.formats.binarised import Sequences, open_binarised
from fairseq_distill.formats.dictionary import EOS, MASK, SPECIALS, UNK, Dictionary, read_dictionary
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.formats.manifest import Corpus, Count, Manifest
from fairseq_distill.languages import Language

KINDS = {
    "distil": "bitext, distillation",
    "self": "teacher's language through the student",
    "mask": "monolingual, MLM",
}
_MOST_ROWS = 200
_MOST_SENTENCES = 20_000  # of a language that the vocabulary's facts are taken from
_SEGMENTED = 2  # example sentences a language
_SEGMENTED_PIECES = 40
_MOST_LANGUAGES = 40
_SPACE = "▁"  # SentencePiece writes a word's start so

_STEPS_HEAD = ("Step", "Lines in", "Lines out", "Kept", "Dropped, by reason")


def data_section(manifest: Optional[Manifest]) -> str:
    """The body of the data section."""
    if manifest is None:
        return missing("There is no data/manifest.json, so nothing is known about the data.")
    body = []
    if manifest.counts:
        rows = [_count_row(step) for step in totals(manifest.counts)]
        body.append(table(_STEPS_HEAD, rows, (1, 2), "Lines in and out by step", "stack"))
        body.append(_why(totals(manifest.counts)))
        single = [_count_row(c, f"{c.step} · {c.corpus}") for c in manifest.counts[:_MOST_ROWS]]
        body.append(
            details("By corpus", table(_STEPS_HEAD, single, (1, 2), "Lines in and out by step and corpus", "stack"))
        )
    else:
        body.append(missing("The manifest counts no step of data preparation."))
    corpora = [
        (escape(c.id), escape(c.split), escape(KINDS.get(c.kind, c.kind)), escape(c.lang), f"{c.n:,}")
        for c in manifest.corpora[:_MOST_ROWS]
    ]
    body.append("<h3>Corpora the student reads</h3>")
    body.append(table(("Corpus", "Split", "Kind", "Language", "Sentences"), corpora, (4,), "Corpora", "stack"))
    if max(len(manifest.corpora), len(manifest.counts)) > _MOST_ROWS:
        body.append(paragraph(f"Tables end after {_MOST_ROWS} rows; the manifest holds all of them."))
    return "".join(body)


def totals(counts: Sequence[Count]) -> List[Count]:
    """The counts of each step, summed over corpora, in order of first appearance."""
    steps: Dict[str, Count] = {}
    for count in counts:
        step = steps.setdefault(count.step, Count(count.step, "", 0, 0, {}))
        step.n_in += count.n_in
        step.n_out += count.n_out
        for reason, n in count.dropped.items():
            step.dropped[reason] = step.dropped.get(reason, 0) + n
    return list(steps.values())


def _why(steps: Sequence[Count]) -> str:
    """What took lines away, over all steps, the most first; nothing where nothing was dropped."""
    reasons = sorted(
        ((n, step.step, why) for step in steps for why, n in step.dropped.items() if n), key=lambda r: -r[0]
    )
    if not reasons:
        return ""
    total = sum(n for n, _, _ in reasons)
    rows = []
    for n, step, why in reasons[:_MOST_ROWS]:
        bar = f'<span class="track"><span style="width:{100 * n / reasons[0][0]:.1f}%"></span></span>'
        share = f'<span class="kept lost">{bar}<span class="num">{100 * n / total:.1f} %</span></span>'
        rows.append((escape(why.replace("_", " ")), escape(step), f"{n:,}", share))
    head = ("Reason", "Step", "Lines", "Of all dropped lines")
    return f"<h3>Why lines were dropped</h3>{table(head, rows, (2,), 'Dropped lines by reason', 'stack why')}"


def _count_row(count: Count, name: Optional[str] = None) -> "tuple[str, ...]":
    """One row of a table of counts, as HTML cells."""
    share = count.n_out / count.n_in if count.n_in else 0.0
    bar = (
        f'<span class="kept"><span class="track"><span style="width:{min(share, 1) * 100:.1f}%"></span></span>'
        f'<span class="num">{share * 100:.1f} %</span></span>'
        if count.n_in
        else "–"
    )
    reasons = "".join(
        f'<li>{escape(reason.replace("_", " "))} <span class="num">{n:,}</span></li>'
        for reason, n in sorted(count.dropped.items(), key=lambda item: -item[1])
        if n
    )
    lost = count.n_in - count.n_out - sum(count.dropped.values())
    if lost > 0:
        reasons += f'<li>no reason recorded <span class="num">{lost:,}</span></li>'
    return (
        escape(name or count.step),
        f"{count.n_in:,}",
        f"{count.n_out:,}",
        bar,
        f'<ul class="reasons">{reasons}</ul>' if reasons else "–",
    )


@dataclass
class LanguagePieces:
    """How the student's vocabulary cuts one language.

    Attributes:
        n: sentences looked at.
        pieces: their pieces without EOS; unknown: those that are not in the vocabulary.
        units: their words, or their characters where words are not separated by spaces.
        examples: a few sentences as pieces.
    """

    n: int = 0
    pieces: int = 0
    unknown: int = 0
    units: int = 0
    examples: List[List[str]] = field(default_factory=list)


def look_at_pieces(
    data_dir: Path, corpus: Corpus, dictionary: Dictionary, most: int = _MOST_SENTENCES
) -> LanguagePieces:
    """Facts from the first ``most`` sentences of a corpus's binarised text and clean text.

    Raises:
        DataError: a file is missing or damaged.
    """
    sequences = open_binarised(data_dir / corpus.src)
    n = min(len(sequences), most)
    if n == 0:
        return LanguagePieces()
    end = int(sequences.starts[n - 1]) + int(sequences.lengths[n - 1])
    tokens = np.asarray(sequences.tokens[:end])
    lines = list(itertools.islice(iter_lines(data_dir / corpus.src_text), n))
    language = _language(corpus.lang)
    units = sum(len(line.replace(" ", "")) if language.unspaced else len(line.split()) for line in lines)
    n_pieces = int((tokens != EOS).sum())
    return LanguagePieces(n, n_pieces, int((tokens == UNK).sum()), units, _examples(sequences, n, dictionary))


def _language(code: str) -> Language:
    """A manifest's language code without the check of its form: a report does not refuse odd codes."""
    iso, _, script = code.replace("-", "_").partition("_")
    return Language(code, iso, script or None)


def _examples(sequences: Sequences, n: int, dictionary: Dictionary) -> List[List[str]]:
    """Sentences of moderate length from the middle of a corpus, as pieces."""
    lengths = sequences.lengths[:n]
    fitting = np.flatnonzero((lengths > 6) & (lengths <= _SEGMENTED_PIECES))
    places = sorted({len(fitting) * (i + 1) // (_SEGMENTED + 1) for i in range(_SEGMENTED)}) if len(fitting) else []
    names = dictionary.symbols
    return [
        [names[i] if 0 <= i < len(names) else "?" for i in sequences[int(row)] if i != EOS] for row in fitting[places]
    ]


def vocabulary_section(data_dir: Path, manifest: Optional[Manifest]) -> str:
    """The body of the vocabulary section.

    Raises:
        DataError: a file that the manifest names is there but damaged.
    """
    if manifest is None:
        return missing("There is no data/manifest.json, so the vocabulary is not known.")
    if not (data_dir / manifest.dictionary).is_file():
        return missing(f"{manifest.dictionary} is no longer in the data directory, so the vocabulary cannot be shown.")
    dictionary = read_dictionary(data_dir / manifest.dictionary)
    pieces = [piece for piece in dictionary.symbols[len(SPECIALS) :] if piece not in (MASK, *SPECIALS)]
    bare = [piece.lstrip(_SPACE) for piece in pieces]
    starts = sum(piece.startswith(_SPACE) for piece in pieces)
    items = [
        ("Pieces", f"{len(pieces):,}"),
        ("Single characters", f"{sum(len(piece) == 1 for piece in bare):,}"),
        ("Start a word", f"{100 * starts / max(len(pieces), 1):.0f} %"),
        ("Characters a piece", number(sum(map(len, bare)) / max(len(bare), 1))),
    ]
    return facts(items) + measured_vocabularies(manifest.vocabulary) + _languages(data_dir, manifest, dictionary)


def _languages(data_dir: Path, manifest: Manifest, dictionary: Dictionary) -> str:
    """How the vocabulary cuts each language, from the largest training corpus of each that is still there."""
    largest: Dict[str, Corpus] = {}
    langs = list(dict.fromkeys(corpus.lang for corpus in manifest.select("train")))
    for corpus in manifest.select("train"):
        files = (f"{corpus.src}.bin", f"{corpus.src}.idx", corpus.src_text)
        best = largest.get(corpus.lang)
        if all((data_dir / file).is_file() for file in files) and (best is None or corpus.n > best.n):
            largest[corpus.lang] = corpus
    rows, examples = [], []
    absent = [lang for lang in langs if lang not in largest]
    for lang, corpus in list(largest.items())[:_MOST_LANGUAGES]:
        seen = look_at_pieces(data_dir, corpus, dictionary)
        unit = "character" if _language(lang).unspaced else "word"
        rate = f"{seen.pieces / seen.units:.2f} a {unit}" if seen.units else "–"
        sentence = f"{seen.pieces / seen.n:.1f}" if seen.n else "–"
        unknown = f"{100 * seen.unknown / seen.pieces:.3f} %" if seen.pieces else "–"
        rows.append((escape(lang), big_number(seen.n), sentence, rate, unknown))
        examples += [_segmented(lang, example, len(largest) > 1) for example in seen.examples]
    body = ""
    if rows:
        head = ("Language", "Sentences looked at", "Pieces a sentence", "Pieces", "Unknown pieces")
        caption = "How the vocabulary cuts the training text"
        body += f"<h3>{caption}</h3>" + table(head, rows, (1, 2, 3, 4), caption, "stack")
    if examples:
        body += f'<h3>Sentences as pieces</h3><ul class="plain segmented">{"".join(examples[:_MOST_LANGUAGES])}</ul>'
    if absent:
        body += missing(f"The training text of {', '.join(absent)} is no longer in the data directory.")
    return body


def _segmented(lang: str, pieces: Sequence[str], named: bool) -> str:
    """A sentence as pieces, the words further apart than the pieces of a word; its language before it if ``named``."""
    tag = escape(lang.replace("_", "-"))
    spans = "".join(
        f"{' ' if piece.startswith(_SPACE) else ''}<span>{escape(piece.lstrip(_SPACE) or '␣')}</span>"
        for piece in pieces
    )
    name = f"<small>{escape(lang)}</small>" if named else ""
    return f'<li>{name}<div dir="auto" lang="{tag}">{spans}</div></li>'
