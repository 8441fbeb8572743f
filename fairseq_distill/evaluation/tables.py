"""One table of an evaluation, a column for each encoder: text, CSV, LaTeX, HTML."""

import csv
import html
import io
from dataclasses import dataclass, fields
from typing import Dict, List, Sequence, Tuple

import numpy as np

from fairseq_distill.formats.evaluation import Evaluation, LeakageEntry, Score

_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", "*": r"$^{*}$"}
NOTE = "xsim, xsim++: error in %, lower is better; BUCC: F1 in %, higher is better; ± half the 95% interval"
STAR = "* differs from {}, p < 0.05 (exact randomisation, sentence by sentence; no correction for many tests)"


@dataclass(frozen=True)
class Line:
    """One row: what was measured, and a cell for each encoder, empty where it was not."""

    metric: str
    test: str
    pair: str
    n: int
    cells: Tuple[str, ...]
    mean: bool = False


def encoders_of(scores: Sequence[Score]) -> List[str]:
    """The encoders in the order of their first number."""
    return list(dict.fromkeys(score.encoder for score in scores))


def table_lines(evaluation: Evaluation) -> List[Line]:
    """The rows; after the pairs of a set that has several, their mean over the pairs that all encoders have.

    Of an n-way evaluation the rows are languages: the mean over all pairs that it is the source of.
    """
    encoders = encoders_of(evaluation.scores)
    groups: Dict[Tuple[str, str], Dict[Tuple[str, str], List[Score]]] = {}
    for score in evaluation.scores:
        pair = (score.src_lang, "*") if score.metric == "xsim n-way" else (score.src_lang, score.tgt_lang)
        groups.setdefault((score.metric, score.test), {}).setdefault(pair, []).append(score)
    lines: List[Line] = []
    for (metric, test), pairs in groups.items():
        rows = []
        for (src, tgt), scores in pairs.items():
            of_encoder = [[score for score in scores if score.encoder == name] for name in encoders]
            lines.append(Line(metric, test, f"{src}-{tgt}", scores[0].n, tuple(_cell(found) for found in of_encoder)))
            rows.append([np.mean([one.percent for one in found]) if found else np.nan for found in of_encoder])
        values = np.array(rows)
        shared = values[~np.isnan(values).any(axis=1)]
        if len(values) > 1 and len(shared):
            cells = tuple(f"{value:.2f}" for value in shared.mean(axis=0))
            lines.append(
                Line(metric, test, f"mean of {len(shared)}", sum(line.n for line in lines[-len(rows) :]), cells, True)
            )
    return lines


def _cell(scores: Sequence[Score]) -> str:
    if len(scores) != 1:
        return f"{np.mean([score.percent for score in scores]):.2f}" if scores else ""
    score = scores[0]
    star = "*" if score.p_value is not None and score.p_value < 0.05 else ""
    return f"{score.percent:.2f} ±{(score.high - score.low) / 2:.2f}{star}"


def _head(evaluation: Evaluation) -> List[str]:
    return ["metric", "set", "pair", "n", *encoders_of(evaluation.scores)]


def _rows(evaluation: Evaluation) -> List[List[str]]:
    return [[line.metric, line.test, line.pair, f"{line.n:,}", *line.cells] for line in table_lines(evaluation)]


def _notes(evaluation: Evaluation) -> List[str]:
    return [NOTE, *([STAR.format(evaluation.baseline)] if evaluation.baseline else [])]


def leakage_text(leakage: "Sequence[LeakageEntry] | None") -> str:
    """The audit in words: a line for each pair of texts, and the examples."""
    if leakage is None:
        return "leakage: not looked for; name the training and mined text with --train"
    said = [f"leakage (Jaccard index of character n-grams, {leakage[0].threshold:g} or more)"] if leakage else []
    for one in leakage:
        share = 100 * one.evaluation_hit / max(one.evaluation_lines, 1)
        said.append(
            f"  {one.text} | {one.evaluation}: {one.identical:,} identical and {one.near:,} near of {one.lines:,} lines; "
            f"{one.evaluation_hit:,} of {one.evaluation_lines:,} evaluation lines hit ({share:.1f} %)"
        )
        for example in one.examples:
            said.append(f"    {example['similarity']:.2f}  {example['line']:,}: {example['text']}")
            said.append(f"          {example['evaluation_line']:,}: {example['evaluation_text']}")
    return "\n".join(said)


def as_text(evaluation: Evaluation) -> str:
    """The audit, then the table in columns, then what its marks mean."""
    table = [_head(evaluation), *_rows(evaluation)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [leakage_text(evaluation.leakage), ""]
    for row in table:
        cells = [cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *_notes(evaluation)]) + "\n"


def as_csv(evaluation: Evaluation) -> str:
    """Every number in a line of its own, with all that is known of it; details as ``name=value``."""
    names = [one.name for one in fields(Score)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for score in evaluation.scores:
        details = " ".join(f"{name}={value:g}" for name, value in score.details.items())
        values = [getattr(score, name) for name in names[:-1]]
        writer.writerow(["" if value is None else value for value in values] + [details])
    return out.getvalue()


def as_latex(evaluation: Evaluation) -> str:
    """A ``tabular`` for the package booktabs, a rule before each mean."""
    head, lines = (
        _head(evaluation),
        [r"\begin{tabular}{lllr" + "r" * len(encoders_of(evaluation.scores)) + "}", r"\toprule"],
    )
    lines += [" & ".join(map(_latex, head)) + r" \\", r"\midrule"]
    for line, row in zip(table_lines(evaluation), _rows(evaluation)):
        lines += [r"\midrule"] * line.mean + [" & ".join(map(_latex, row)) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in _notes(evaluation))]) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def as_html(evaluation: Evaluation) -> str:
    """A page of its own that loads nothing, light or dark as the reader's screen."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _head(evaluation))
    body = "".join(
        f"<tr{' class=mean' if line.mean else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>\n"
        for line, row in zip(table_lines(evaluation), _rows(evaluation))
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in _notes(evaluation))
    signatures = "\n".join(
        html.escape(f"{one.encoder}: {one.signature} = {one.percent:.2f}") for one in evaluation.scores
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Evaluation</title><style>\n'
        ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}\n"
        "div{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:left;white-space:nowrap}\n"
        "td:nth-child(n+4),th:nth-child(n+4){text-align:right;font-variant-numeric:tabular-nums}\n"
        "thead,tr.mean{border-top:1px solid;border-bottom:1px solid}pre{white-space:pre-wrap}\n"
        "</style></head><body><h1>Evaluation</h1>\n"
        f"<h2>Leakage</h2><pre>{html.escape(leakage_text(evaluation.leakage))}</pre>\n"
        f"<h2>Results</h2><div><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>{notes}\n"
        f"<details><summary>Signatures</summary><pre>{signatures}</pre></details></body></html>\n"
    )
