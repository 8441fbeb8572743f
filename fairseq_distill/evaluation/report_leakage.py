"""The part of the report about evaluation text in the training text: what the audit found, side by side of each valid set."""

from typing import List, Optional, Sequence, Tuple

from fairseq_distill import defaults
from fairseq_distill.evaluation.report_html import details, escape, missing, paragraph, sentence, table
from fairseq_distill.formats.leakage import NAME, SetLeakage
from fairseq_distill.formats.manifest import Manifest

Side = Tuple[str, str]  # valid set, language
SECTION = "leakage"  # its id on the page

_MOST_ROWS = 200
_SHOWN_AT_ONCE = 12  # examples; more of them open on demand
_MOST_EXAMPLES = 120
_HEAD = (
    "Evaluation set", "Language", "Lines", "In the training text", "Identical", "Near", "Training lines looked at",
)  # fmt: skip


def leakage_section(entries: Optional[Sequence[SetLeakage]], manifest: Optional[Manifest]) -> str:
    """The body of the section; ``entries`` is None where there was no audit."""
    if entries is None:
        return missing(
            f"Not audited: there is no {NAME} in the work directory, so it is not known whether evaluation text is in the training "
            "text. recipes/student.sh writes it before it judges the student."
        )
    audited = {(one.valid_set, one.lang): one for one in entries}
    sides = list(dict.fromkeys([*audited, *_sides(manifest)]))
    if not sides:
        return missing("Audited, but the run has no evaluation set.")
    rows = [_row(side, audited.get(side)) for side in sides[:_MOST_ROWS]]
    body = [table(_HEAD, rows, (2, 4, 5, 6), "Evaluation text in the training text by set and language", "stack")]
    if len(sides) > _MOST_ROWS:
        body.append(paragraph(f"The table ends after {_MOST_ROWS} rows; {NAME} holds all of them."))
    body.append(paragraph(_how(entries)))
    return "".join([*body, _examples(entries)])


def leakage_headline(entries: Optional[Sequence[SetLeakage]], manifest: Optional[Manifest]) -> str:
    """One sentence about the audit, to stand before any number, with the way to the section."""
    if entries is None:
        said, css = "Not audited for evaluation text in the training text.", "note"
    else:
        unaudited = set(_sides(manifest)) - {(one.valid_set, one.lang) for one in entries if _looked(one)}
        hit = sum(one.found.evaluation_hit for one in entries)
        lines = _lines(sum(one.found.evaluation_lines for one in entries), "evaluation ")
        said, css = "Audited for evaluation text in the training text: none found.", "note"
        if hit and any(one.found.identical for one in entries):
            said, css = f"{hit:,} of {lines} {'is' if hit == 1 else 'are'} in the training text, or almost.", "warning"
        elif hit:
            said, css = (
                f"None of {lines} is in the training text as it stands; {hit:,} {'is' if hit == 1 else 'are'} there almost.",
                "warning",
            )
        if unaudited:
            said += f" Not audited: {len(unaudited):,} of {len(_sides(manifest)):,} sides of evaluation sets."
    return f'<p class="{css}">{escape(said)} <a href="#{SECTION}">Counts and examples</a></p>'


def _sides(manifest: Optional[Manifest]) -> List[Side]:
    """Each language of each valid set that has text."""
    sides: List[Side] = []
    for corpus in manifest.select("valid") if manifest is not None else []:
        sides.append((corpus.id, corpus.lang))
        if corpus.tgt_lang is not None and corpus.tgt_text is not None:
            sides.append((corpus.id, corpus.tgt_lang))
    return sides


def _looked(entry: SetLeakage) -> bool:
    """Whether training text was looked at, or there is none to look at."""
    return entry.found.lines > 0 or entry.training_lines == 0


def _row(side: Side, entry: Optional[SetLeakage]) -> "tuple[str, ...]":
    """One row of the table, as HTML cells."""
    names = tuple(escape(name) for name in side)
    if entry is None:
        return (*names, "–", "not audited", "–", "–", "–")
    found = entry.found
    looked = f"{found.lines:,}"
    if found.lines < entry.training_lines:
        looked = f"<span>{looked}<small>of {entry.training_lines:,}, a sample</small></span>"
    if found.evaluation_hit:
        share = 100 * found.evaluation_hit / found.evaluation_lines
        result = f'<span class="worse">{_lines(found.evaluation_hit)}, {share:.1f} %</span>'
    elif found.lines:
        result = "audited, none found"
    else:
        result = "no training text in this language" if _looked(entry) else "not audited"
    return (*names, f"{found.evaluation_lines:,}", result, f"{found.identical:,}", f"{found.near:,}", looked)


def _lines(n: int, kind: str = "") -> str:
    return f"{n:,} {kind}line{'' if n == 1 else 's'}"


def _how(entries: Sequence[SetLeakage]) -> str:
    """What the columns count."""
    thresholds = sorted({one.found.threshold for one in entries})
    least = " or ".join(f"{threshold:g}" for threshold in thresholds) or f"{defaults.NEAR_DUPLICATE:g}"
    return (
        "Identical: training lines that an evaluation line equals but for case and punctuation. Near: further training lines "
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
        head = '<li class="head"><span>Jaccard</span><span>Evaluation line</span><span>Training line</span></li>'
        blocks.append(f'<h3>{escape(one.valid_set)}, {escape(one.lang)}</h3><ul class="pairs">{head}{items}</ul>')
    if not blocks:
        return ""
    every = sum(len(one.found.examples) for one in entries)
    if shown < every:
        blocks.append(paragraph(f"{shown:,} of {every:,} examples; {NAME} holds all of them."))
    body = "".join(blocks)
    return details(f"Examples ({shown:,})", body) if shown > _SHOWN_AT_ONCE else body
