"""The part of the report in which a reader looks sentences up and sees what the encoder finds for them."""

import shlex
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_html import embedded_json, escape, missing, paragraph, shorten
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import Corpus, Manifest
from fairseq_distill.mining.knn import Neighbours, knn_both
from fairseq_distill.mining.margin import margin_scores, neighbourhood_means
from fairseq_distill.progress import comparing

CHECKPOINT = Path("checkpoints") / "checkpoint_best.pt"  # of the work directory
STUDENT = Path("embeddings") / "student"  # of the work directory, where recipes/write_results.py puts them
MOST_SENTENCES = 400  # of a valid set that can be picked
_MOST_IN_ALL = 3000
_MOST_BYTES = 800_000  # of all that can be picked, as JSON
_MOST_SETS = 40
_OWN = "A sentence that is not here: this command, run in the work directory, embeds what you type and prints its neighbours."
_LONGEST = 240  # characters of a sentence that are shown
_BLOCK = 256


class ValidSet(NamedTuple):
    """A valid set with vectors on both sides: float [N, E] each, and the texts."""

    corpus: Corpus
    src: np.ndarray
    tgt: np.ndarray
    src_text: List[str]
    tgt_text: List[str]


def student_vectors(work: Path, corpus: Corpus) -> Path:
    """Where a run keeps the student's vectors of a valid set."""
    return work / STUDENT / f"valid.{corpus.id}.{corpus.lang}.npy"


def open_valid_set(work: Path, corpus: Corpus) -> Optional[ValidSet]:
    """A valid set of a run, None when its vectors or texts are no longer there.

    Raises:
        DataError: a file is damaged, or the numbers of vectors and sentences differ.
    """
    data = work / "data"
    if corpus.tgt_text is None or not corpus.teacher:
        return None
    vectors = student_vectors(work, corpus), data / corpus.teacher[-1]
    texts = data / corpus.src_text, data / corpus.tgt_text
    if not all(path.is_file() for path in (*vectors, *texts)):
        return None
    found = ValidSet(
        corpus, open_embeddings(vectors[0]), open_embeddings(vectors[1]), read_lines(texts[0]), read_lines(texts[1])
    )
    sizes = [len(found.src), len(found.tgt), len(found.src_text), len(found.tgt_text)]
    if len(set(sizes)) > 1:
        raise DataError(
            f"{vectors[0]} has {sizes[0]:,} rows, {vectors[1]} {sizes[1]:,}, but {texts[0]} {sizes[2]:,} lines and {texts[1]} "
            f"{sizes[3]:,}; they are of different runs: run recipes/student.sh --work {work} again."
        )
    return found if sizes[0] else None


def text_groups(texts: Sequence[str]) -> np.ndarray:
    """int64 [N], equal for equal texts."""
    first: Dict[str, int] = {}
    return np.fromiter((first.setdefault(text, len(first)) for text in texts), np.int64, len(texts))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """float32 [N, E] of length 1; zero rows stay zero."""
    rows = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def places(queries: np.ndarray, keys: np.ndarray, chosen: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """At which place by cosine each chosen sentence's translation stands, among other texts, from 1.

    Args:
        queries, keys: float [N, E]; row i of the one translates row i of the other.
        chosen: int64 [C], rows to look at.
        groups: int64 [N], equal for equal texts of ``keys``.
    Returns:
        float64 [C, 2]: places, and cosines of the translations.
    """
    keys = unit_rows(keys)
    place, own = np.empty(len(chosen), np.int64), np.empty(len(chosen), np.float32)
    for start in range(0, len(chosen), _BLOCK):
        rows = chosen[start : start + _BLOCK]
        cosines = unit_rows(np.asarray(queries[rows])) @ keys.T
        cosine = cosines[np.arange(len(rows)), rows]
        others = groups[None, :] != groups[rows, None]
        place[start : start + _BLOCK] = 1 + ((cosines > cosine[:, None]) & others).sum(axis=1)
        own[start : start + _BLOCK] = cosine
    return np.stack([place, own], axis=1)


def one_way(
    own: Neighbours,
    other: Neighbours,
    vectors: Tuple[np.ndarray, np.ndarray],
    chosen: np.ndarray,
    groups: np.ndarray,
    margin: str,
) -> Tuple[int, List[list]]:
    """What the chosen sentences of one side find on the other, best score first.

    Args:
        own, other: neighbours of the N sentences of this side, and of those of the other side.
        vectors: of this side and of the other, float [N, E].
        chosen: int64 [C], rows to show.
        groups: int64 [N], equal for equal texts of the other side.
        margin: orders the neighbours, as xsim does.
    Returns:
        how many of the N sentences do not find their translation; and a row for each chosen one: its number, the place and
        cosine of its translation, then number, score, cosine and 1 (right) or 0 for each neighbour.
    """
    scores = margin_scores(own.cosines, neighbourhood_means(own), neighbourhood_means(other)[own.indices], margin)
    order = np.argsort(-scores, axis=1, kind="stable")
    scores, cosines, indices = (np.take_along_axis(x, order, axis=1) for x in (scores, own.cosines, own.indices))
    right = groups[indices] == groups[:, None]
    found = places(*vectors, chosen, groups)
    rows = []
    for i, (place, cosine) in zip(chosen.tolist(), found.tolist()):
        row: List[Any] = [i, int(place), round(cosine, 3)]
        for j, score, near, good in zip(indices[i], scores[i], cosines[i], right[i]):
            row += [int(j), round(float(score), 3), round(float(near), 3), int(good)]
        rows.append(row)
    return int((~right[:, 0]).sum()), rows


def browse(found: ValidSet, margin: str, most: int, k: int = defaults.NEIGHBOURHOOD) -> Dict[str, Any]:
    """Both ways of a valid set for the page: at most ``most`` sentences, evenly spaced, searching among all of them."""
    n = len(found.src)
    chosen = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
    with comparing(f"report | neighbours in {found.corpus.id}") as line:
        forward, backward = knn_both(found.src, found.tgt, k, progress=line)
    ways, used = [], (set(chosen.tolist()), set(chosen.tolist()))
    sides = (
        (forward, backward, (found.src, found.tgt), text_groups(found.tgt_text), used[1]),
        (backward, forward, (found.tgt, found.src), text_groups(found.src_text), used[0]),
    )
    for own, other, vectors, groups, reached in sides:
        wrong, rows = one_way(own, other, vectors, chosen, groups, margin)
        reached.update(row[place] for row in rows for place in range(3, len(row), 4))
        ways.append({"wrong": wrong, "rows": rows})
    texts = [
        {i: shorten(text[i], _LONGEST) for i in sorted(rows)}
        for text, rows in zip((found.src_text, found.tgt_text), used)
    ]
    corpus = found.corpus
    return {"name": corpus.id, "langs": [corpus.lang, corpus.tgt_lang], "n": n, "texts": texts, "ways": ways}


def look_up_command(corpus: Corpus) -> str:
    """What finds the neighbours of a new sentence among the targets of a valid set, in the work directory."""
    text, vectors = (shlex.quote(f"data/{file}") for file in (corpus.tgt_text, corpus.teacher[-1]))
    return f"fairseq-embed --path {CHECKPOINT} --neighbours {text} {vectors} -k {defaults.NEIGHBOURHOOD}"


def neighbour_data(
    work: Path, manifest: Optional[Manifest], margin: Optional[str], most_bytes: int = _MOST_BYTES
) -> Optional[Dict[str, Any]]:
    """What the browser on the page reads; None where no valid set has its vectors.

    Raises:
        DataError: a file that is there is damaged.
    """
    if manifest is None:
        return None
    sets = [found for corpus in manifest.select("valid", "distil") if (found := open_valid_set(work, corpus))]
    if not sets:
        return None
    sets = sets[:_MOST_SETS]
    most = min(MOST_SENTENCES, _MOST_IN_ALL // len(sets))
    margin = margin or defaults.XSIM_MARGIN
    while True:
        shown = [{**browse(found, margin, most), "look_up": look_up_command(found.corpus)} for found in sets]
        data = {"margin": margin, "k": defaults.NEIGHBOURHOOD, "sets": shown}
        size = len(embedded_json(data).encode("utf-8", errors="replace"))
        if size <= most_bytes or most == 1:
            return data
        most = max(1, min(most - 1, int(most * most_bytes / size * 0.95)))


def neighbour_section(data: Optional[Dict[str, Any]]) -> str:
    """The body of the section: controls that the page's script brings to life."""
    if data is None:
        return missing(
            "The vectors of the valid sets are not there (embeddings/student, data/teacher), so no sentence can be looked up."
        )
    capped = [one for one in data["sets"] if len(one["ways"][0]["rows"]) < one["n"]]
    said = (
        "Pick a sentence, or type some words of it, to see what the student finds on the other side. The order is that of the "
        f"{data['margin']} margin with k = {data['k']}, as in xsim: the first is the answer. A copy of the right text is right, too."
    )
    if capped:
        shown = len(capped[0]["ways"][0]["rows"])
        said += f" Of a larger set {shown:,} sentences, evenly spaced, can be picked; each searches among all."
    return (
        f"{paragraph(said)}"
        '<noscript><p class="missing">Looking sentences up needs JavaScript, which is switched off.</p></noscript>'
        '<div id="neighbours-app" class="app" hidden><div class="controls">'
        '<label>Search in <select id="n-set"></select></label>'
        '<label class="wide">Sentences with <input type="search" id="n-find" placeholder="words" autocomplete="off" '
        'spellcheck="false" dir="auto"></label>'
        '<label class="check"><input type="checkbox" id="n-wrong"> not found only</label></div>'
        '<p class="note" id="n-status" role="status"></p>'
        '<div class="panes"><ul id="n-list" class="picks" role="listbox" tabindex="0" '
        f'aria-label="{escape("Sentences to pick; arrow keys move")}"></ul>'
        '<div id="n-detail" class="found" aria-live="polite"></div></div></div>'
        f'{paragraph(_OWN)}<pre id="n-command">{escape(data["sets"][0]["look_up"])}</pre>'
    )
