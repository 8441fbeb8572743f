"""The part of the report about evaluation text in training and mined text: what the audits found, side by side of each valid set."""

from typing import List, Optional, Sequence, Tuple

from fairseq_distill import defaults
from fairseq_distill.evaluation.report_html import details, escape, missing, paragraph, sentence, table
from fairseq_distill.formats.leakage import MINED, MINED_TEXT, NAME, TRAINING_TEXT, SetLeakage
from fairseq_distill.formats.manifest import Manifest

Side = Tuple[str, str]  # valid set, language
SECTION = "leakage"  # its id on the page

_NO_AUDIT = (
    f"Not audited: there is no {NAME} in the work directory, so it is not known whether evaluation text is in the training "
    "text. recipes/student.sh writes it before it judges the student."
)
_TITLES = {TRAINING_TEXT: "Training line", MINED_TEXT: "Mined line"}
_MOST_ROWS = 200
_SHOWN_AT_ONCE = 12  # examples; more of them open on demand
_MOST_EXAMPLES = 120
_HEAD = (
    "Evaluation set", "Language", "Text", "Lines", "In that text", "Identical", "Near", "Lines looked at",
)  # fmt: skip


def leakage_section(
    training: Optional[Sequence[SetLeakage]],
    manifest: Optional[Manifest],
    mined: Optional[Sequence[SetLeakage]] = None,
) -> str:
    """The body of the section; of training and of mined text, None where there was no audit."""
    if training is None and mined is None:
        return missing(_NO_AUDIT)
    body = [missing(_NO_AUDIT)] if training is None else []
    entries = [*(training or ()), *(mined or ())]
    audited = {(one.valid_set, one.lang, one.text): one for one in entries}
    wanted = [(*side, TRAINING_TEXT) for side in _sides(manifest)] if training is not None else []
    sides = list(dict.fromkeys([*audited, *wanted]))
    if not sides:
        return missing("Audited, but the run has no evaluation set.")
    rows = [_row(side, audited.get(side)) for side in sides[:_MOST_ROWS]]
    body.append(table(_HEAD, rows, (3, 5, 6, 7), "Evaluation text in other text by set and language", "stack"))
    if len(sides) > _MOST_ROWS:
        body.append(paragraph(f"The table ends after {_MOST_ROWS} rows; {NAME} and {MINED} hold all of them."))
    body.append(paragraph(_how(entries)))
    return "".join([*body, _examples(entries)])


def leakage_headline(
    training: Optional[Sequence[SetLeakage]],
    manifest: Optional[Manifest],
    mined: Optional[Sequence[SetLeakage]] = None,
    has_mined: bool = False,
) -> str:
    """A sentence about each audit, to stand before any number, with the way to the section.

    Args:
        training, manifest, mined: as in :func:`leakage_section`.
        has_mined: whether the run has mined pairs.
    """
    if training is None:
        said, css = f"Not audited for evaluation text in the {TRAINING_TEXT} text.", "note"
    else:
        said, css = _verdict(training, TRAINING_TEXT)
        unaudited = set(_sides(manifest)) - {(one.valid_set, one.lang) for one in training if _looked(one)}
        if unaudited:
            said += f" Not audited: {len(unaudited):,} of {len(_sides(manifest)):,} sides of evaluation sets."
    if mined:
        more, worse = _verdict(mined, MINED_TEXT)
        said, css = f"{said} {more}", max(css, worse)  # a warning is one
    elif has_mined:
        said += f" Not audited for evaluation text in the {MINED_TEXT} text."
    return f'<p class="{css}">{escape(said)} <a href="#{SECTION}">Counts and examples</a></p>'


def _verdict(entries: Sequence[SetLeakage], text: str) -> "tuple[str, str]":
    """What an audit found in a sentence, and how it is to look."""
    hit = sum(one.found.evaluation_hit for one in entries)
    lines = _lines(sum(one.found.evaluation_lines for one in entries), "evaluation ")
    if not hit:
        return f"Audited for evaluation text in the {text} text: none found.", "note"
    verb = "is" if hit == 1 else "are"
    if any(one.found.identical for one in entries):
        return f"{hit:,} of {lines} {verb} in the {text} text, or almost.", "warning"
    return f"None of {lines} is in the {text} text as it stands; {hit:,} {verb} there almost.", "warning"


def _sides(manifest: Optional[Manifest]) -> List[Side]:
    """Each language of each valid set that has text."""
    sides: List[Side] = []
    for corpus in manifest.select("valid") if manifest is not None else []:
        sides.append((corpus.id, corpus.lang))
        if corpus.tgt_lang is not None and corpus.tgt_text is not None:
            sides.append((corpus.id, corpus.tgt_lang))
    return sides


def _looked(entry: SetLeakage) -> bool:
    """Whether the other text was looked at, or there is none to look at."""
    return entry.found.lines > 0 or entry.text_lines == 0


def _row(side: Tuple[str, str, str], entry: Optional[SetLeakage]) -> "tuple[str, ...]":
    """One row of the table, as HTML cells."""
    names = tuple(escape(name) for name in side)
    if entry is None:
        return (*names, "–", "not audited", "–", "–", "–")
    found = entry.found
    looked = f"{found.lines:,}"
    if found.lines < entry.text_lines:
        looked = f"<span>{looked}<small>of {entry.text_lines:,}, a sample</small></span>"
    if found.evaluation_hit:
        share = 100 * found.evaluation_hit / found.evaluation_lines
        result = f'<span class="worse">{_lines(found.evaluation_hit)}, {share:.1f} %</span>'
    elif found.lines:
        result = "audited, none found"
    else:
        result = f"no {entry.text} text in this language" if _looked(entry) else "not audited"
    return (*names, f"{found.evaluation_lines:,}", result, f"{found.identical:,}", f"{found.near:,}", looked)


def _lines(n: int, kind: str = "") -> str:
    return f"{n:,} {kind}line{'' if n == 1 else 's'}"


def _how(entries: Sequence[SetLeakage]) -> str:
    """What the columns count."""
    thresholds = sorted({one.found.threshold for one in entries})
    least = " or ".join(f"{threshold:g}" for threshold in thresholds) or f"{defaults.NEAR_DUPLICATE:g}"
    return (
        "Identical: lines of the other text that an evaluation line equals but for case and punctuation. Near: further lines "
        f"whose character {defaults.NEAR_DUPLICATE_CHARACTERS}-grams are those of an evaluation line to a Jaccard index of {least} or "
        "more. A sentence inside a much longer line, and a translation, are not seen."
    )


def _examples(entries: Sequence[SetLeakage]) -> str:
    """Lines that were found, beside the evaluation lines that they are like."""
    blocks, shown = [], 0
    for one in entries:
        some = one.found.examples[: _MOST_EXAMPLES - shown]
        if not some:
            continue
        shown += len(some)
        items = "".join(
            f'<li><span class="score num">{example.similarity:.2f}<small>line {example.evaluation_line:,}</small></span>'
            f"{sentence(example.evaluation_text, one.lang)}{sentence(example.text, one.lang, 'text other')}</li>"
            for example in some
        )
        head = f'<li class="head"><span>Jaccard</span><span>Evaluation line</span><span>{_TITLES[one.text]}</span></li>'
        blocks.append(
            f'<h3>{escape(one.valid_set)}, {escape(one.lang)}, {escape(one.text)} text</h3><ul class="pairs">{head}{items}</ul>'
        )
    if not blocks:
        return ""
    every = sum(len(one.found.examples) for one in entries)
    if shown < every:
        blocks.append(paragraph(f"{shown:,} of {every:,} examples; {NAME} and {MINED} hold all of them."))
    body = "".join(blocks)
    return details(f"Examples ({shown:,})", body) if shown > _SHOWN_AT_ONCE else body
