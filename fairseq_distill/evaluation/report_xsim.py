"""The parts of the report about xsim: the headline, the picture and the table."""

import math
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq_distill import defaults
from fairseq_distill.evaluation.report_charts import Dot, dot_chart
from fairseq_distill.evaluation.report_html import details, escape, missing, paragraph, percent
from fairseq_distill.formats.results import ENCODERS, MARGINS, XsimEntry

NAMES = {"student": "Student", "teacher": "Teacher directly", "random": "Random student"}
_MOST_ROWS = 40
_MOST_SETS_IN_FULL = 2

SetKey = Tuple[str, str, str]  # valid set, source and target language


def valid_sets(xsim: Sequence[XsimEntry]) -> List[SetKey]:
    """The valid sets with their direction, in order of first appearance."""
    return list(dict.fromkeys((row.valid_set, row.src_lang, row.tgt_lang) for row in xsim))


def main_margin(xsim: Sequence[XsimEntry]) -> Optional[str]:
    """The margin of the headline: the project's own for xsim, or the first there is; None without results."""
    found = {row.margin for row in xsim}
    order = (defaults.XSIM_MARGIN, *MARGINS)
    return next((margin for margin in order if margin in found), None)


def find(xsim: Sequence[XsimEntry], key: SetKey, encoder: str, margin: str) -> Optional[XsimEntry]:
    """One result; the last where several stand for the same thing."""
    rows = [
        row
        for row in xsim
        if (row.valid_set, row.src_lang, row.tgt_lang) == key and (row.encoder, row.margin) == (encoder, margin)
    ]
    return rows[-1] if rows else None


def mean_percent(xsim: Sequence[XsimEntry], encoder: str, margin: str) -> Optional[float]:
    """The unweighted mean over all valid sets; None unless the encoder was judged on each of them."""
    rows = [find(xsim, key, encoder, margin) for key in valid_sets(xsim)]
    values = [row.percent for row in rows if row is not None]
    return math.fsum(values) / len(values) if values and len(values) == len(rows) else None


def headline(xsim: Sequence[XsimEntry]) -> str:
    """The error rates of student, teacher and random student side by side, and the student's in a sentence."""
    margin = main_margin(xsim)
    if margin is None:
        return missing("No xsim result is there yet: results.json is missing or holds none.")
    sets = valid_sets(xsim)
    cells = []
    for encoder in ENCODERS:
        value = mean_percent(xsim, encoder, margin)
        if value is None:
            shown = '<span class="value">–</span><span class="track"></span>'
        else:
            shown = (
                f'<span class="value">{percent(value)}<span class="unit"> %</span></span>'
                f'<span class="track"><span style="width:{value:.1f}%"></span></span>'
            )
        cells.append(f'<div class="{encoder}"><span class="who">{NAMES[encoder]}</span>{shown}</div>')
    return f'<div class="scores">{"".join(cells)}</div>{paragraph(_in_words(xsim, sets, margin), "lead")}'


def _in_words(xsim: Sequence[XsimEntry], sets: List[SetKey], margin: str) -> str:
    """What the headline's numbers mean, in one or two sentences."""
    rows = [find(xsim, key, "student", margin) for key in sets]
    judged = [row for row in rows if row is not None]
    kind = f"xsim error rate, {margin} margin, lower is better"
    if len(sets) > 1 or not judged:
        mean = f", as the mean of {len(sets)} valid sets" if len(sets) > 1 else ""
        absent = "" if judged else " The student itself was not judged."
        return f"Share of sentences whose translation is not found ({kind}){mean}.{absent}"
    row = judged[0]
    interval = (
        f", 95 % interval {percent(row.low)} to {percent(row.high)}"
        if row.low is not None and row.high is not None
        else ""
    )
    return (
        f"The student finds the {row.tgt_lang} translation of {row.n - row.errors:,} of {row.n:,} {row.src_lang} "
        f"sentences ({kind}, k = {row.k}{interval})."
    )


def xsim_section(xsim: Sequence[XsimEntry]) -> str:
    """The body of the xsim section."""
    margin = main_margin(xsim)
    if margin is None:
        return missing("No xsim result is there yet: results.json is missing or holds none.")
    sets = valid_sets(xsim)
    absent = [NAMES[encoder] for encoder in ENCODERS if not any(row.encoder == encoder for row in xsim)]
    note = missing(f"Not judged in this run: {', '.join(absent).lower()}.") if absent else ""
    shown = sets[:_MOST_ROWS]
    more = paragraph(f"The picture shows the first {len(shown)} of {len(sets)} valid sets.") if shown != sets else ""
    picture = _chart(xsim, shown, margin) + _legend(xsim) + more
    figure = f"<figure><h3>By language, {margin} margin</h3>{picture}</figure>"
    how = paragraph(
        "Each source sentence looks for its translation among all target sentences, which the teacher embeds; the "
        "error rate is the share of those that find another one. Small figures are the bootstrap interval."
        if any(row.low is not None for row in xsim)
        else "Each source sentence looks for its translation among all target sentences, which the teacher embeds; "
        "the error rate is the share of those that find another one. No bootstrap interval was computed."
    )
    signatures = [row.signature for row in xsim if row.signature and row.encoder == "student"]
    signed = ""
    if signatures:
        lines = "".join(f"<li><code>{escape(line)}</code></li>" for line in signatures[:60])
        signed = details("Signatures", f'<ul class="plain">{lines}</ul>')
    if len(sets) > _MOST_SETS_IN_FULL:
        tables = _short_table(xsim, sets, margin) + details("All margins", _table(xsim, sets))
    else:
        tables = _table(xsim, sets)
    return f'<div class="split"><div>{tables}{signed}</div>{figure}</div>{how}{note}'


def _chart(xsim: Sequence[XsimEntry], sets: Sequence[SetKey], margin: str) -> str:
    """The dot chart of one margin."""
    several = len({key[1:] for key in sets}) < len(sets)
    targets = list(dict.fromkeys(key[2] for key in sets))
    rows: List[Tuple[str, List[Dot]]] = []
    words: List[str] = []
    for key in sets:
        dots = []
        for encoder in ENCODERS:
            row = find(xsim, key, encoder, margin)
            if row is not None:
                text = f"{NAMES[encoder].lower()}: {percent(row.percent)} % of {row.n:,}"
                dots.append(Dot(encoder, row.percent, row.low, row.high, text))
        name = key[0] if several else (f"{key[1]} → {key[2]}" if len(targets) > 1 else key[1])
        rows.append((name, dots))
        words.append(f"{name}: " + ", ".join(dot.text for dot in dots))
    label = f"xsim error rate in percent, {margin} margin. " + "; ".join(words)
    return dot_chart(rows, label, f"xsim error into {targets[0]}, %" if len(targets) == 1 else "xsim error, %")


def _legend(xsim: Sequence[XsimEntry]) -> str:
    """The keys of the dot chart."""
    shapes = {
        "student": '<circle class="fill" cx="7" cy="7" r="5"/>',
        "teacher": '<path class="fill" d="M7 1l6 6l-6 6l-6 -6z"/>',
        "random": '<path class="cross" d="M3 3l8 8m0 -8l-8 8"/>',
    }
    keys = "".join(
        f'<li><svg viewBox="0 0 14 14" aria-hidden="true"><g class="{encoder}">{shapes[encoder]}</g></svg>'
        f"{NAMES[encoder]}</li>"
        for encoder in ENCODERS
        if any(row.encoder == encoder for row in xsim)
    )
    return f'<ul class="legend">{keys}</ul>'


def _table(xsim: Sequence[XsimEntry], sets: Sequence[SetKey]) -> str:
    """Error rates: one group of rows a valid set, one row an encoder, one column a margin."""
    margins = [margin for margin in MARGINS if any(row.margin == margin for row in xsim)]
    head = "".join(f'<th scope="col" class="num">{margin}</th>' for margin in margins)
    groups = []
    for key in sets:
        here = [row for row in xsim if (row.valid_set, row.src_lang, row.tgt_lang) == key]
        sizes = "/".join(dict.fromkeys(f"{row.n:,}" for row in here))
        ks = "/".join(dict.fromkeys(str(row.k) for row in here if row.margin != "absolute")) or "–"
        title = f"{escape(key[1])} → {escape(key[2])}"
        side = f"{escape(key[0])} · {sizes} sentences · k = {ks}"
        rows = []
        for encoder in ENCODERS:
            found: Dict[str, Optional[XsimEntry]] = {margin: find(xsim, key, encoder, margin) for margin in margins}
            if any(found.values()):
                cells = "".join(_cell(found[margin]) for margin in margins)
                rows.append(f'<tr class="{encoder}"><th scope="row">{NAMES[encoder]}</th>{cells}</tr>')
        groups.append(
            f'<tbody><tr class="group"><th scope="rowgroup" colspan="{len(margins) + 1}">{title} '
            f"<small>{side}</small></th></tr>{''.join(rows)}</tbody>"
        )
    caption = "xsim error rate in percent by margin"
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table class="xsim">'
        f'<caption>{caption}</caption><thead><tr><th scope="col">Encoder</th>{head}</tr></thead>{"".join(groups)}'
        "</table></div>"
    )


def _short_table(xsim: Sequence[XsimEntry], sets: Sequence[SetKey], margin: str) -> str:
    """Error rates with one margin: one row a valid set, one column an encoder."""
    encoders = [encoder for encoder in ENCODERS if any(row.encoder == encoder for row in xsim)]
    head = "".join(f'<th scope="col" class="num">{encoder.capitalize()}</th>' for encoder in encoders)
    rows = []
    for key in sets:
        found = {encoder: find(xsim, key, encoder, margin) for encoder in encoders}
        side = f"{escape(key[0])} · {'/'.join(dict.fromkeys(f'{row.n:,}' for row in found.values() if row))}"
        name = f"{escape(key[1])} → {escape(key[2])}<small>{side}</small>"
        cells = "".join(_cell(found[encoder], encoder) for encoder in encoders)
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    caption = f"xsim error rate in percent, {margin} margin"
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table class="xsim">'
        f'<caption>{caption}</caption><thead><tr><th scope="col">Valid set, sentences</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(row: Optional[XsimEntry], css: str = "") -> str:
    """One error rate with its interval beneath."""
    if row is None:
        return '<td class="num">–</td>'
    interval = f"<small>{percent(row.low)}–{percent(row.high)}</small>" if row.low is not None else ""
    return f'<td class="num {css}">{percent(row.percent)}{interval}</td>'
