"""The part of the report about how vocabularies cut held-out text, and which one was advised."""

from typing import List, Optional, Sequence

from fairseq_distill.evaluation.report_html import details, escape, paragraph, table
from fairseq_distill.formats.vocabulary import PieceCounts, VocabularyReport

_NAMES = {
    "student": "student's",
    "teacher": "teacher's",
    "given": "given",
    "joint": "joint",
    "dedicated": "its own",
}
_HEAD = (
    "Language", "Vocabulary", "Size", "Pieces a word", "A sentence", "Unknown", "One character", "Whole words", "Letters",
    "Rare",
)  # fmt: skip
_NUMERIC = tuple(range(2, len(_HEAD)))
_MOST_ROWS = 400


def measured_vocabularies(report: Optional[VocabularyReport]) -> str:
    """Tables of the student's and the teacher's vocabulary and of the candidates, and the advice; empty without them."""
    if report is None or not report.rows:
        return ""
    used = [row for row in report.rows if row.vocabulary in ("student", "teacher")]
    others = [row for row in report.rows if row.vocabulary not in ("student", "teacher")]
    caption = "How vocabularies cut held-out text"
    body = [f"<h3>{caption}</h3>", table(_HEAD, _rows(used), _NUMERIC, caption, "stack"), paragraph(_origin(report))]
    if report.advice:
        items = "".join(
            f"<li><strong>{escape(_whom(advice.kind, advice.languages))}</strong>: {escape(advice.reason)}</li>"
            for advice in report.advice
        )
        body.append(f'<h3>Advice</h3><ul class="plain">{items}</ul>')
    if others:
        shown = table(_HEAD, _rows(others[:_MOST_ROWS]), _NUMERIC, "Vocabularies compared", "stack")
        body.append(details(f"Vocabularies compared ({len(others)})", shown))
    return "".join(body)


def _whom(kind: str, languages: Sequence[str]) -> str:
    names = ", ".join(languages)
    return f"One vocabulary for {names}" if kind == "joint" else f"A vocabulary of its own for {names}"


def _origin(report: VocabularyReport) -> str:
    """Where the student's vocabulary and the held-out text are from."""
    if report.origin == "trained":
        said = "Trained on the training text"
        if report.temperature is not None:
            said += f", the languages' shares at temperature {report.temperature:g}"
    else:
        said = f"Taken from {report.origin}"
    kept_back = [lang for lang, source in report.heldout.items() if source == "train"]
    text = "the validation sets"
    if kept_back:
        text = f"lines of the training text for {', '.join(kept_back)}" + (
            ", the validation sets for the others" if len(kept_back) < len(report.heldout) else ""
        )
    return (
        f"{said}. Measured on {text}. Unknown: characters that the vocabulary does not hold. One character: pieces that stand "
        "for one at most. Whole words: words in one piece. Letters: the different characters that it can spell. Rare: pieces "
        "that the training text holds too seldom to learn them."
    )


def _rows(rows: Sequence[PieceCounts]) -> "List[tuple[str, ...]]":
    langs = list(dict.fromkeys(row.lang for row in rows))
    return [_row(row) for lang in langs for row in rows if row.lang == lang]


def _row(row: PieceCounts) -> "tuple[str, ...]":
    unit = f"{row.per_unit:.2f}" if row.words or not row.units else f"{row.per_unit:.2f} a character"
    return (
        escape(row.lang),
        escape(_NAMES.get(row.vocabulary, row.vocabulary)),
        f"{row.size:,}",
        unit,
        f"{row.per_sentence:.1f}",
        _percent(row.unknown_share, 2),
        _percent(row.single_share),
        _percent(row.whole_share),
        _percent(row.coverage),
        _percent(row.rare_share),
    )


def _percent(share: Optional[float], digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"
