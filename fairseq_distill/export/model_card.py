"""The README.md of a sentence-transformers folder."""

import logging
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from fairseq_distill import __version__
from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import NAME, Manifest, read_manifest
from fairseq_distill.formats.results import Results, XsimEntry, read_results

logger = logging.getLogger(__name__)

_WHO = {"student": "this student", "teacher": "the teacher itself", "random": "before training"}
_KIND = {"distil": "bitext", "self": "the teacher's language", "mask": "monolingual"}


class Run(NamedTuple):
    """What a work directory knows of a student: its numbers, its data, and (corpus id -> licence) where it was noted."""

    results: Optional[Results]
    manifest: Optional[Manifest]
    licences: Dict[str, str]


def read_run(work: PathLike, student: Student) -> Run:
    """``results.json``, ``data/manifest.json`` and ``corpora.tsv`` of a work directory; each may be missing, but not all.

    Raises:
        DataError: there is none of them, one is damaged, or they belong to a student of another teacher.
    """
    folder = Path(work)
    results = read_results(folder)
    manifest = read_manifest(folder / "data") if (folder / "data" / NAME).is_file() else None
    if results is None and manifest is None:
        raise DataError(
            f"{work} has no results.json and no data/{NAME}: name the work directory of a run, or leave it out."
        )
    if manifest is not None and manifest.teacher.space != student.space:
        raise DataError(
            f"{work} belongs to a student of teacher space {manifest.teacher.space}, but this one's is {student.space}: "
            "name the work directory of its own run."
        )
    licences = {}
    if (folder / "corpora.tsv").is_file():  # recipes/plan_family.py
        head, *rows = [line.split("\t") for line in read_lines(folder / "corpora.tsv")]
        entries = [dict(zip(head, row)) for row in rows]
        licences = {f"{entry.get('corpus')}.{entry.get('pair')}": entry.get("licence", "") for entry in entries}
    return Run(results, manifest, licences)


def run_around(path: PathLike, student: Student) -> Optional[Run]:
    """The run whose best checkpoint ``path`` is, by where it lies (``WORK/checkpoints/checkpoint_best.pt``); None elsewhere."""
    file = Path(path).resolve()
    work = file.parent.parent
    if (file.parent.name, file.name) != ("checkpoints", "checkpoint_best.pt") or not (work / "data" / NAME).is_file():
        return None
    try:
        return read_run(work, student)
    except DataError as error:
        logger.warning(f"the model card has no numbers and no data: {error}")
        return None


def model_card(
    student: Student, run: Optional[Run] = None, data_note: Optional[str] = None, licence: Optional[str] = None
) -> str:
    """Markdown: front matter, what the student is and how it is called, its xsim where measured, data and licences."""
    state, shape = student.state, student.model.shape
    languages = [*state.languages, *([state.teacher.lang] if state.teacher.lang not in state.languages else [])]
    front = ["---", "language:", *(f"- {code.partition('_')[0]}" for code in languages)]
    front += ["library_name: sentence-transformers", "pipeline_tag: sentence-similarity"]
    front += [
        *([f"license: {licence}"] if licence else []),
        "tags:",
        "- sentence-transformers",
        "- bitext-mining",
        "---",
    ]
    text = f"""
# Sentence encoder for {", ".join(state.languages) or "(languages not noted)"}

Maps a sentence to {student.dim:,} numbers, near those that the teacher `{state.teacher.spec or "not noted"}` gives to its translation
({state.teacher.lang}). Trained with fairseq_distill {__version__} by distillation.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("PATH/OF/THIS/FOLDER")
vectors = model.encode(["one sentence", "another"])
```

Nothing in this folder is code. Vectors are not of unit length; compare them by cosine.

| | |
| --- | --- |
| layers, width, heads | {shape.layers}, {shape.dim:,}, {shape.heads} |
| pooling | {shape.pooling}{", with a lexical path" if shape.lexical else ""} |
| pieces | {shape.vocabulary:,} |
| longest sentence | {state.max_length_pieces:,} pieces; what is longer is cut |
| teacher space | `{student.space}` |
| fingerprint | `{student.name}` |

## xsim

{_xsim(run.results if run is not None else None)}

## Data and licences

{_data(run, data_note)}
"""
    return "\n".join(front) + "\n" + text


def _xsim(results: Optional[Results]) -> str:
    rows: List[XsimEntry] = results.xsim if results is not None else []
    if not rows:
        return "Not given."
    lines = [
        "Share of sentences, in %, whose nearest target sentence is not their translation; lower is better.",
        "",
        "| set | n | encoder | margin | xsim | 95% interval |",
        "| --- | ---: | --- | --- | ---: | --- |",
    ]
    for row in rows:
        interval = "" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}"
        lines.append(
            f"| {row.valid_set}, {row.src_lang} to {row.tgt_lang} | {row.n:,} | {_WHO.get(row.encoder, row.encoder)} "
            f"| {row.margin} | {row.percent:.2f} | {interval} |"
        )
    return "\n".join(lines)


def _data(run: Optional[Run], note: Optional[str]) -> str:
    parts = [note] if note else []
    if run is not None and run.manifest is not None:
        lines = ["| corpus | language | kind | sentences | licence |", "| --- | --- | --- | ---: | --- |"]
        for corpus in run.manifest.select("train"):
            licence = run.licences.get(corpus.id) or "not noted"
            lines.append(
                f"| {corpus.id} | {corpus.lang} | {_KIND.get(corpus.kind, corpus.kind)} | {corpus.n:,} | {licence} |"
            )
        parts.append("\n".join(lines))
    elif not note:
        parts.append("Not noted by who exported it.")
    return "\n\n".join([*parts, "A student carries the terms of its training text and of its teacher."])
