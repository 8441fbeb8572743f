"""Pieces of HTML: escaped text, numbers in words, tables. Everything that comes from data passes ``escape``."""

import html
import json
import math
import re
from typing import Any, Iterable, List, Optional, Sequence

MISSING = "–"


def escape(text: object) -> str:
    """Text made safe for HTML, between tags and inside quoted attributes; control characters become spaces."""
    plain = "".join(character if character >= " " else " " for character in str(text))
    return html.escape(plain, quote=True)


def escape_lines(text: str) -> str:
    """Text of several lines made safe for HTML; its line breaks stay."""
    return "\n".join(escape(line) for line in text.split("\n"))


def embedded_json(data: Any) -> str:
    """JSON that can stand inside ``<script type="application/json">``: no ``</script>``, no ``<!--``, one line."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def data_block(name: str, data: Any) -> str:
    """JSON for the page's script, under the id ``name``; the browser does not run it."""
    return f'<script type="application/json" id="{escape(name)}">{embedded_json(data)}</script>'


def number(value: Optional[float]) -> str:
    """A number in few characters: 12,300, 0.0312, 3.1e-05; a dash for None."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-3:
        return f"{value:.2g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def aligned(values: Sequence[float]) -> List[str]:
    """Numbers for one column or axis: as many decimals for each as the most exact one needs, six at most; 0 is 0."""
    if any(value != 0 and not 1e-4 <= abs(value) < 1e7 for value in values):
        return [number(value) for value in values]
    decimals = max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)
    return ["0" if value == 0 else f"{value:,.{decimals}f}" for value in values]


def percent(value: Optional[float]) -> str:
    """A percentage with one decimal, without its sign; a dash for None."""
    return MISSING if value is None else f"{value:.1f}"


def big_number(value: Optional[float]) -> str:
    """A count in the words people use: 842, 12,300, 12.3 M."""
    if value is None:
        return MISSING
    for size, name in ((1e9, "bn"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:,.0f}"


def duration(seconds: Optional[float]) -> str:
    """A time in words: 42 s, 14 min 5 s, 3 h 20 min."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def file_size(n_bytes: int) -> str:
    """A file size with a decimal unit: 12 kB, 3.4 MB."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            break
        size /= 1000
    else:
        unit = "TB"
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"


def shorten(text: str, most: int) -> str:
    """Text of at most ``most`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def paragraph(text: str, css: str = "note") -> str:
    """A paragraph of plain text."""
    return f'<p class="{css}">{escape(text)}</p>'


def missing(text: str) -> str:
    """The sentence that stands where a part of the report has nothing to show."""
    return paragraph(text, "missing")


def sentence(text: str, lang: Optional[str] = None, css: str = "text") -> str:
    """A sentence of data: direction by its first strong letter, cut when very long, its language marked."""
    tag = f' lang="{escape(lang.replace("_", "-"))}"' if lang else ""
    return f'<span class="{css}" dir="auto"{tag}>{escape(shorten(text, 320))}</span>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Sequence[int] = (),
    caption: str = "",
    css: str = "",
) -> str:
    """A table in a box that scrolls sideways when the screen is narrow.

    Args:
        head: column titles, plain text.
        rows: cells as HTML (escape what comes from data); the first cell of a row is its header.
        numeric: columns to align right with figures of equal width.
        caption: what the table shows, for those who do not see the page.
        css: a class of the table; a ``stack`` shows its cells below each other on a narrow screen. The roles keep
            it a table for screen readers then.
    """

    def css_of(column: int) -> str:
        return ' class="num"' if column in numeric else ""

    stack = css == "stack"
    row_role, cell_role = (' role="row"', ' role="cell"') if stack else ("", "")
    labels = [f' data-label="{escape(title)}"' if stack else "" for title in head]
    titles = "".join(f'<th scope="col"{css_of(i)}>{escape(title)}</th>' for i, title in enumerate(head))
    body: List[str] = []
    for row in rows:
        cells = "".join(
            f'<th scope="row"{css_of(i)}>{cell}</th>' if i == 0 else f"<td{cell_role}{labels[i]}{css_of(i)}>{cell}</td>"
            for i, cell in enumerate(row)
        )
        body.append(f"<tr{row_role}>{cells}</tr>")
    label = f"<caption>{escape(caption)}</caption>" if caption else ""
    region = f' role="region" aria-label="{escape(caption)}" tabindex="0"' if caption else ""
    return (
        f'<div class="scroll"{region}><table{" role=table" if stack else ""}{f" class={css!r}" if css else ""}>{label}'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def breakable(text: object) -> str:
    """An identifier, escaped, that may go on in the next line after ``_``, ``:``, ``/`` and ``-``."""
    return re.sub(r"([_:/-])(?=.)", r"\1<wbr>", escape(text))


def details(summary: str, body: str) -> str:
    """A part that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def section(name: str, title: str, body: str) -> str:
    """A section of the page with its heading."""
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{body}</section>'


def facts(items: "Iterable[tuple[str, str]]") -> str:
    """Names and values as a definition list; values are HTML."""
    return '<dl class="facts">' + "".join(f"<div><dt>{escape(k)}</dt><dd>{v}</dd></div>" for k, v in items) + "</dl>"
