"""The part of the report about mined bitext: the histogram of margin scores, and pairs to look at."""

import heapq
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_calibration import (
    Calibrated,
    calibration_figures,
    calibration_table,
    cut_marks,
    read_calibrated,
)
from fairseq_distill.evaluation.report_charts import histogram_chart
from fairseq_distill.evaluation.report_html import (
    aligned,
    big_number,
    details,
    embedded_json,
    escape,
    facts,
    missing,
    number,
    paragraph,
    sentence,
    shorten,
    table,
)
from fairseq_distill.evaluation.score_histogram import Histogram, ScoreCounts, count_scores
from fairseq_distill.formats.lines import count_lines
from fairseq_distill.formats.mined_pairs import MinedPair, read_mined_pairs
from fairseq_distill.formats.results import MiningSummary
from fairseq_distill.progress import Progress, counted

N_SAMPLES = 8
N_PAGED = 2000  # pairs that the page can show
_MOST_BYTES = 600_000  # of these, as JSON
_LONGEST = 320  # characters of a sentence
_MOST_BINS = 44
_CHUNK = 1 << 16
_MOST_THRESHOLDS = 8
_EDGE_STEP = 2


@dataclass
class MinedSample:
    """What one pass over a mined file keeps: its number of pairs, their scores counted, and some of the pairs.

    Attributes:
        best, drawn, nearest: the few that a page without script shows.
        paged: those and more drawn at random, with their line numbers from 1, in the file's order.
    """

    n: int = 0
    counts: ScoreCounts = field(default_factory=ScoreCounts)
    best: List[MinedPair] = field(default_factory=list)
    drawn: List[MinedPair] = field(default_factory=list)
    nearest: List[MinedPair] = field(default_factory=list)
    paged: List[Tuple[int, MinedPair]] = field(default_factory=list)


def sample_mined(path: Path, threshold: Optional[float], size: int = N_SAMPLES, paged: int = N_PAGED) -> MinedSample:
    """Read a mined file once: the best pairs, some drawn evenly at random, and those nearest the threshold.

    Without a threshold the last group holds the lowest scores. Ties go to the earlier line; the drawing is seeded,
    so that a file always gives the same sample.

    Raises:
        DataError: the file is damaged or a score is not finite.
    """
    sample = MinedSample()
    best: List[Tuple[float, int, MinedPair]] = []
    nearest: List[Tuple[float, int, MinedPair]] = []
    pool: List[Tuple[int, MinedPair]] = []
    dice = random.Random(0)
    scores: List[float] = []

    def flush() -> None:
        try:
            sample.counts.add(np.asarray(scores, dtype=np.float64))
        except ValueError as error:
            raise DataError(f"{path}, up to line {sample.n:,}: {error}.") from error
        scores.clear()

    for pair in counted(read_mined_pairs(path), Progress("report | read", count_lines(path), unit="pairs")):
        order = -sample.n
        distance = pair.score if threshold is None else abs(pair.score - threshold)
        for heap, key in ((best, pair.score), (nearest, -distance)):
            if len(heap) < size:
                heapq.heappush(heap, (key, order, pair))
            elif (key, order) > heap[0][:2]:
                heapq.heapreplace(heap, (key, order, pair))
        sample.n += 1
        place = dice.randrange(sample.n)
        if len(pool) < max(paged, size):
            pool.append((sample.n, pair))
        elif place < len(pool):
            pool[place] = (sample.n, pair)
        scores.append(pair.score)
        if len(scores) == _CHUNK:
            flush()
    flush()
    sample.best = [pair for _, _, pair in sorted(best, key=lambda item: item[:2], reverse=True)]
    sample.nearest = sorted((pair for _, _, pair in nearest), key=lambda pair: -pair.score)
    drawn = dice.sample(pool, min(size, len(pool)))
    sample.drawn = sorted((pair for _, pair in drawn), key=lambda pair: -pair.score)
    sample.paged = sorted({**dict(pool), **{1 - order: pair for _, order, pair in (*best, *nearest)}}.items())
    return sample


def mining_section(
    work_dir: Path, mining: Optional[MiningSummary], mined: Optional[Path]
) -> "Tuple[str, Optional[Dict[str, Any]]]":
    """The body of the mining section, and the pairs for the page's script; ``mined`` is the mined file, if there is one.

    Raises:
        DataError: a file that is there is damaged.
    """
    calibrated = read_calibrated(work_dir, mining)
    threshold = mining.threshold if mining else None
    figures, table_of_cuts = calibration_figures(calibrated, threshold), calibration_table(calibrated)
    if mining is None and mined is None:
        said = (
            "Nothing was mined in this run: neither mined.tsv, which fairseq-mine makes, nor a mining summary is there."
        )
        return (f'<div class="charts">{figures}</div>{table_of_cuts}' if calibrated else missing(said)), None
    sample = sample_mined(mined, threshold) if mined else None
    histogram, unit = _scores(work_dir, mining, sample)
    body = [_summary(mining, sample)]
    if histogram is None:
        body.append(missing("No score is there: no histogram, no score file, no mined pair."))
        others = ""
    else:
        figures = _figure(histogram, unit, mining, cut_marks(calibrated)) + figures
        others = f"<div>{_other_thresholds(histogram, threshold, unit, calibrated)}</div>"
    body += [f'<div class="charts">{figures}{others}</div>', table_of_cuts]
    data = None
    if sample is None:
        body.append(missing("There is no mined.tsv in the work directory, so no pairs are shown."))
    elif sample.n == 0:
        body.append(missing("mined.tsv holds no pair: no score reached the threshold."))
    else:
        data = paged_data(sample, mining)
        body.append(_pager(len(data["pairs"]), sample.n))
        body.append(f"<noscript>{_samples(sample, mining)}</noscript>")
    return "".join(body), data


def paged_data(sample: MinedSample, mining: Optional[MiningSummary], most_bytes: int = _MOST_BYTES) -> Dict[str, Any]:
    """The pairs for the page's script: line, score, both sentences, and the cosine where the file has it; evenly thinned
    until they take ``most_bytes``."""
    rows = [
        [line, round(pair.score, 6), shorten(pair.source, _LONGEST), shorten(pair.target, _LONGEST)]
        + ([] if pair.cosine is None else [round(pair.cosine, 3)])
        for line, pair in sample.paged
    ]
    size = len(embedded_json(rows).encode("utf-8", errors="replace"))
    while size > most_bytes and len(rows) > 1:
        keep = max(1, int(len(rows) * most_bytes / size * 0.98))
        rows = [rows[i * len(rows) // keep] for i in range(keep)]
        size = len(embedded_json(rows).encode("utf-8", errors="replace"))
    langs = [mining.src_lang, mining.tgt_lang] if mining is not None else [None, None]
    return {"langs": langs, "threshold": mining.threshold if mining is not None else None, "pairs": rows}


def _pager(shown: int, n: int) -> str:
    """The controls with which one pages through the pairs; the page's script brings them to life."""
    cap = (
        ""
        if shown == n
        else f" {shown:,} of the {n:,} pairs are on this page: the best, the lowest, and others drawn at random."
    )
    return (
        f'<h3>Pairs</h3><div id="pairs-app" class="app" hidden>{paragraph(cap) if cap else ""}<div class="controls">'
        '<label class="wide">Pairs with <input type="search" id="p-find" placeholder="words of either side" autocomplete="off" '
        'spellcheck="false" dir="auto"></label>'
        '<label>Score from <input type="number" id="p-low" step="0.01"></label>'
        '<label>to <input type="number" id="p-high" step="0.01"></label>'
        '<label>Order <select id="p-order"><option value="best">best first</option><option value="lowest">lowest first'
        '</option><option value="shuffled">shuffled</option></select></label></div>'
        '<ol class="pairs" id="p-list"></ol>'
        '<div class="turn"><button type="button" class="step" id="p-back">Back</button>'
        '<p class="note" id="p-status" role="status"></p>'
        '<button type="button" class="step" id="p-next">Next</button></div></div>'
    )


def _summary(mining: Optional[MiningSummary], sample: Optional[MinedSample]) -> str:
    """The facts of the mining run; says so when the file and the summary do not agree."""
    items: List[Tuple[str, str]] = []
    if mining is not None:
        items.append(("Pairs kept", big_number(mining.pairs)))
        if mining.n_src is not None and mining.n_tgt is not None:
            items.append(("Searched", f"{big_number(mining.n_src)} × {big_number(mining.n_tgt)} sentences"))
        items.append(("Margin", escape(mining.margin + (f", k = {mining.k}" if mining.k else ""))))
        items.append(("Threshold", number(mining.threshold) if mining.threshold is not None else "none"))
        if mining.retrieval:
            items.append(("Retrieval", escape(mining.retrieval)))
    elif sample is not None:
        items.append(("Pairs in mined.tsv", big_number(sample.n)))
    note = ""
    if mining is not None and sample is not None and mining.pairs != sample.n:
        note = paragraph(
            f"The summary counts {mining.pairs:,} pairs, but mined.tsv holds {sample.n:,}: they are of different runs.",
            "warning",
        )
    return facts(items) + note


def _scores(
    work_dir: Path, mining: Optional[MiningSummary], sample: Optional[MinedSample]
) -> "Tuple[Optional[Histogram], str]":
    """The histogram from the best source there is, None without scores; and what it counts, sentences or pairs."""
    if mining is not None and mining.histogram is not None and mining.histogram.counts:
        return merge_bins(mining.histogram.edges, mining.histogram.counts, 2 * _MOST_BINS), "sentences"
    file = work_dir / mining.scores_file if mining is not None and mining.scores_file else None
    if file is not None and file.is_file():
        counts, unit = count_scores(file), "sentences"
    elif sample is not None:
        counts, unit = sample.counts, "pairs"
    else:
        return None, ""
    return (counts.histogram(_MOST_BINS) if counts.n else None), unit


def _figure(
    histogram: Histogram, unit: str, mining: Optional[MiningSummary], marks: "Sequence[Tuple[float, str]]"
) -> str:
    """The picture of the scores."""
    edges, bars = histogram.edges, histogram.counts
    threshold = mining.threshold if mining is not None else None
    said = f"Histogram of {sum(bars):,} margin scores from {number(edges[0])} to {number(edges[-1])}"
    if unit == "pairs":
        caption = f"The {sum(bars):,} pairs in mined.tsv; scores below the threshold were not kept."
    else:
        caption = f"The best candidates of {sum(bars):,} sentences of both sides, whatever the threshold."
    if threshold is not None:
        said += f"; threshold {threshold:g}"
    left_out = histogram.below + histogram.above
    caption += f" {left_out:,} outliers are not drawn." if left_out else ""
    axis = f"{mining.margin} margin score" if mining is not None else "margin score"
    chart = histogram_chart(edges, bars, said, axis, threshold, unit, marks)
    words = aligned(edges)
    rows = [(f"{low} to {high}", f"{count:,}") for low, high, count in zip(words, words[1:], bars)]
    numbers = details("Numbers", table(("Score", unit.capitalize()), rows, (1,), "Scores", "small"))
    return f"<figure><h3>Scores</h3>{chart}<figcaption>{escape(caption)}</figcaption>{numbers}</figure>"


def _other_thresholds(
    histogram: Histogram, threshold: Optional[float], unit: str, calibrated: Optional[Calibrated]
) -> str:
    """How many pairs, or sentences with their best candidate, lie above some thresholds around the chosen one.

    Where the run's margin and k were calibrated, also the precision and recall there.
    """
    edges = histogram.edges[:-1]
    chosen = edges[0] if threshold is None else threshold
    middle = min(range(len(edges)), key=lambda i: abs(edges[i] - chosen))
    reach = _MOST_THRESHOLDS // 2 * _EDGE_STEP
    places = [i for i in range(middle % _EDGE_STEP, len(edges), _EDGE_STEP) if abs(i - middle) <= reach]
    known = calibrated if calibrated is not None and calibrated.fits and calibrated.curve else None
    rows = []
    for i, said in zip(places, aligned([edges[i] for i in places])):
        cells: Tuple[str, ...] = said, f"{histogram.at_least(i):,}"
        if known is not None:
            point = known.at(edges[i])
            cells += ("–", "–") if point is None else (f"{100 * point.precision:.1f}", f"{100 * point.recall:.1f}")
        here = threshold is not None and abs(edges[i] - threshold) < 1e-9
        rows.append(tuple(f"<strong>{cell}</strong>" for cell in cells) if here else cells)
    head = ("Threshold", f"{unit} above it".capitalize(), *(("Precision, %", "Recall, %") if known is not None else ()))
    title = "At other thresholds"
    return f"<h3>{title}</h3>{table(head, rows, range(1, len(head)), title, 'small')}"


def merge_bins(edges: List[float], counts: List[int], most: int) -> Histogram:
    """The same histogram with neighbouring bins joined until there are at most ``most``."""
    size = -(-len(counts) // most)
    if size <= 1:
        return Histogram(edges, counts)
    joined = [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
    return Histogram(edges[:-1:size] + [edges[-1]], joined)


def _cosine(pair: MinedPair) -> str:
    """The cosine beside a score, where the file has it: a high ratio alone is no proof."""
    return "" if pair.cosine is None else f"<small>cosine {pair.cosine:.3f}</small>"


def _samples(sample: MinedSample, mining: Optional[MiningSummary]) -> str:
    """Mined pairs to look at where no script runs, or all of them when they are few."""
    at_threshold = "Nearest the threshold" if mining and mining.threshold is not None else "Lowest scores"
    if sample.n <= N_SAMPLES:
        groups = [("All pairs", sample.best)]
    else:
        groups = [("Best scores", sample.best), ("Drawn at random", sample.drawn), (at_threshold, sample.nearest)]
    langs = (mining.src_lang, mining.tgt_lang) if mining is not None else (None, None)
    body = []
    for title, pairs in groups:
        items = "".join(
            f'<li><span class="score num">{pair.score:.3f}{_cosine(pair)}</span>'
            f"{sentence(pair.source, langs[0])}{sentence(pair.target, langs[1], 'text other')}</li>"
            for pair in pairs
        )
        body.append(f'<h3>{escape(title)}</h3><ol class="pairs">{items}</ol>')
    return "".join(body)
