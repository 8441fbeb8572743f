"""A vocabulary report as a table of plain text."""

import logging
from typing import List

from fairseq_distill.formats.vocabulary import PieceCounts, VocabularyReport

logger = logging.getLogger(__name__)

HEAD = (
    "lang",
    "vocabulary",
    "pieces",
    "a word",
    "a sentence",
    "unknown",
    "of pieces",
    "1 char",
    "whole",
    "coverage",
    "rare",
)


def _percent(share: "float | None", digits: int = 1) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f}%"


def table_row(row: PieceCounts) -> List[str]:
    """The cells of a row, in the order of ``HEAD``."""
    kind = f"{row.vocabulary} {row.name}" if row.vocabulary in ("teacher", "given") else row.vocabulary
    return [
        row.lang, kind, f"{row.size:,}", f"{row.per_unit:.2f}", f"{row.per_sentence:.1f}",
        _percent(row.unknown_share, 2), _percent(row.unknown_piece_share, 2), _percent(row.single_share),
        _percent(row.whole_share), _percent(row.coverage), _percent(row.rare_share),
    ]  # fmt: skip


def table_lines(report: VocabularyReport) -> List[str]:
    """The rows language by language, then the advice; without rows only the advice."""
    langs = list(dict.fromkeys(row.lang for row in report.rows))
    cells = [list(HEAD)] + [table_row(row) for lang in langs for row in report.rows if row.lang == lang]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    lines = []
    for row in cells if report.rows else []:
        left = [row[i].ljust(widths[i]) for i in range(2)]
        right = [row[i].rjust(widths[i]) for i in range(2, len(HEAD))]
        lines.append("  ".join(left + right).rstrip())
    for advice in report.advice:
        lines.append(f"advice | {advice.kind} {','.join(advice.languages)} | {advice.size:,} | {advice.reason}")
    return lines


def log_table(report: VocabularyReport) -> None:
    """Say the table in the log."""
    for line in table_lines(report):
        logger.info(f"vocabulary | {line}")
