"""The frame of every report page: one file with its style, its script and its data, and leave to run that script alone."""

import base64
import hashlib
import os
from pathlib import Path
from string import Template
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from fairseq_distill.errors import ConfigError
from fairseq_distill.evaluation.report_html import data_block, escape, section
from fairseq_distill.formats.atomic import PathLike, write_text

_HERE = Path(__file__)
_BEGINNING = b"<!doctype"


def page(
    kind: str,
    title: str,
    subtitle: str,
    summary: str,
    sections: "Sequence[Tuple[str, str, str]]",
    data: Mapping[str, Optional[Dict[str, Any]]],
) -> str:
    """A whole page.

    Args:
        kind: what it reports on, above the title.
        summary: HTML ahead of the sections.
        sections: id, heading and body (HTML) of each.
        data: id -> JSON for the script and for machines; None is left out.
    """
    script = "\n" + _HERE.with_name("report.js").read_text(encoding="utf-8")
    # The browser runs the script of this hash and no other: text that slipped through as HTML would still not run.
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return Template(_HERE.with_name("report.html").read_text(encoding="utf-8")).substitute(
        kind=escape(kind),
        title=escape(title),
        subtitle=escape(subtitle),
        style=_HERE.with_name("report.css").read_text(encoding="utf-8"),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        navigation="".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in sections),
        summary=summary,
        sections="\n".join(section(name, heading, body) for name, heading, body in sections),
        data="\n".join(data_block(name, content) for name, content in data.items() if content is not None),
        script=script,
    )


def write_page(path: PathLike, html: str) -> Path:
    """Write a page; half a surrogate pair, which can come out of a JSON escape and has no UTF-8 form, becomes ``?``.

    Raises:
        ConfigError: a file that is no page bears the name.
    """
    if os.path.isfile(path) and os.path.getsize(path):
        with open(path, "rb") as there:
            if not there.read(9).lower().startswith(_BEGINNING):
                raise ConfigError(f"{path} is there already and is no HTML page; give the page a name of its own.")
    write_text(path, html.encode("utf-8", errors="replace").decode("utf-8"))
    return Path(path)
