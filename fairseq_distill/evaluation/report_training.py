"""The part of the report about training: curves of everything that the log holds, grouped by name."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq_distill.evaluation.report_charts import N_COLOURS, Line, line_chart
from fairseq_distill.evaluation.report_html import details, escape, missing, number, paragraph, table
from fairseq_distill.evaluation.report_stack import Panel, stacked_chart
from fairseq_distill.evaluation.training_log import EPOCH, INNER, VALID, Curve, TrainingLog, sentences_per_second, thin
from fairseq_distill.formats.results import MARGINS

TITLES = {
    "xsim": "xsim error in %",
    "loss": "Loss, all terms",
    "distil_loss": "Distillation loss",
    "mlm_loss": "MLM loss",
    "tlm_loss": "TLM loss",
    "contrastive_loss": "Contrastive loss",
    "lr": "Learning rate",
    "sentences/s": "Sentences per second",
    "gnorm": "Gradient norm",
    "increment": "Curriculum: mean part shown",
    "stage": "Curriculum: stage",
    "mean_cosine": "Mean cosine between sentences",
    "relative_variance": "Variance of embeddings, the teacher's = 1",
}
_ORDER = (
    "xsim",
    "loss",
    "distil_loss",
    "mlm_loss",
    "tlm_loss",
    "contrastive_loss",
    "lr",
    "sentences/s",
    "gnorm",
    "increment",
    "stage",
    "mean_cosine",
    "relative_variance",
)
_OVERVIEW = ("xsim", "loss", "distil_loss", "mlm_loss", "tlm_loss", "contrastive_loss", "increment", "lr")
_STEPS = ("increment", "stage")  # of the curriculum: drawn in steps, and not at all where they never change
_MOST_STAGES = 12
_PANEL_HEIGHT = 0.38  # of a panel of the overview, in charts
# Speed and bookkeeping that either has a better form (sentences/s) or says nothing about learning.
_SKIPPED = {
    "ppl",
    "wps",
    "ups",
    "wpb",
    "bsz",
    "wall",
    "train_wall",
    "gb_free",
    "clip",
    "loss_scale",
    "nsentences",
    "ntokens",
}
_MAIN = len(_ORDER)  # charts beyond these and the losses fold away
_MOST_POINTS = 300
_MOST_ROWS = 24
_MOST_OTHER = 16


@dataclass
class Chart:
    """One chart to draw: the root name, what its title adds, and its lines as label, curve and dashed."""

    root: str
    suffix: str
    lines: List[Tuple[str, Curve, bool]]


def group_names(names: Sequence[str], languages: Sequence[str]) -> Dict[str, List[str]]:
    """Names under their root: ``xsim`` holds itself, ``xsim_swa`` and ``xsim_ratio``; ``mlm_loss`` is a root itself.

    A name belongs to a root when it is the root, an underscore, and a language, a margin, or both in any order;
    the root need not be in the log itself.
    """
    endings = sorted({*languages, *MARGINS}, key=len, reverse=True)
    groups: Dict[str, List[str]] = {}
    for name in names:
        root = name
        for _ in range(2):
            for ending in endings:
                if root.endswith("_" + ending) and len(root) > len(ending) + 1:
                    root = root[: -len(ending) - 1]
                    break
        groups.setdefault(root, []).append(name)
    return groups


def plan_charts(log: TrainingLog, languages: Sequence[str]) -> List[Chart]:
    """The charts that a log gives, in the order in which a reader wants them."""
    train = INNER if log.curves.get(INNER) else EPOCH
    names = [
        name
        for name in log.names(train, VALID)
        if name not in _SKIPPED and not name.startswith("best_") and not _absent(log, train, name)
    ]
    by_objective = [name for name in names if name.startswith("gnorm_")]
    groups = group_names([name for name in names if name not in by_objective], languages)
    speed = sentences_per_second(log)
    if speed:
        groups["sentences/s"] = []
    charts: List[Chart] = []
    for root in sorted(groups, key=lambda root: (_ORDER.index(root) if root in _ORDER else _MAIN, not _is_loss(root))):
        by_margin = [name for name in groups[root] if name != root and name[len(root) + 1 :] in MARGINS]
        by_language = [name for name in groups[root] if name != root and name not in by_margin]
        whole = _both(log, train, root) if root != "sentences/s" else [("training", speed, False)]
        parts = _children(log, train, root, by_language)
        if len(parts) > 1 and not log.curve(train, root):  # judged in validation alone: the mean among its languages
            whole = [("mean", curve, False) for _, curve, _ in whole] + parts
        elif len(parts) > 1 or not whole:
            charts.append(Chart(root, "", whole))
            whole = parts
        suffix = "by language" if whole and whole[-1:] == parts[-1:] else ""
        charts.append(Chart(root, suffix, whole))
        charts.append(Chart(root, "by margin", _children(log, train, root, by_margin)))
    if len(by_objective) > 1:
        charts.append(Chart("gnorm", "by objective", _children(log, train, "gnorm", by_objective)))
    # Subsets of the valid data after the first one have tags of their own.
    for tag in [tag for tag in log.curves if tag not in (INNER, EPOCH, VALID)]:
        for root in ("xsim", "loss"):
            if log.curve(tag, root):
                charts.append(Chart(root, f"on {tag}", [(tag, log.curve(tag, root), False)]))
    return [chart for chart in charts if any(curve for _, curve, _ in chart.lines)]


def _absent(log: TrainingLog, train: str, name: str) -> bool:
    """True for an objective that the run does not have: its loss, or its gradient's norm, is logged as 0 throughout."""
    values = [*log.curve(train, name).values(), *log.curve(VALID, name).values()]
    return (name.startswith("gnorm_") or name.endswith("_loss")) and not any(values)


def _both(log: TrainingLog, train: str, name: str) -> "List[Tuple[str, Curve, bool]]":
    """The training and validation curves of one name, those that are there."""
    training, validation = log.curve(train, name), log.curve(VALID, name)
    found = [("training", training, False), ("validation", validation, bool(training))]
    return [line for line in found if line[1]]


def _children(log: TrainingLog, train: str, root: str, names: Sequence[str]) -> "List[Tuple[str, Curve, bool]]":
    """One line a name, from validation where it has the name, else from training; labelled by what follows the root."""
    lines = []
    for name in names:
        curve = log.curve(VALID, name) or log.curve(train, name)
        if curve:
            lines.append((name[len(root) + 1 :], curve, False))
    return lines


def _is_loss(root: str) -> bool:
    return root == "loss" or root.endswith("_loss")


def use_log_x(curves: Sequence[Curve]) -> bool:
    """Whether a logarithmic x axis shows more: half of the way down (or up) lies in the first tenth of the updates."""
    votes = 0
    for curve in curves:
        updates, values = list(curve), list(curve.values())
        if len(updates) < 8 or updates[-1] < 20 * updates[0] or updates[0] <= 0:
            votes -= 1
            continue
        early = max(i for i, update in enumerate(updates) if update <= max(updates[-1] / 10, updates[0]))
        whole = abs(values[-1] - values[0])
        votes += 1 if whole > 0 and abs(values[early] - values[0]) > 0.6 * whole else -1
    return votes > 0


def training_section(log: Optional[TrainingLog], best_update: Optional[int], languages: Sequence[str]) -> str:
    """The body of the training section."""
    if log is None:
        return missing("No training log is there (log/train.json.log), so there are no curves to show.")
    charts = plan_charts(log, languages)
    if not charts:
        return missing(
            "The training log holds no line of numbers yet; fairseq-train writes them with --log-format json."
        )
    log_x = use_log_x(
        [curve for chart in charts if chart.root == "xsim" or _is_loss(chart.root) for _, curve, _ in chart.lines]
    )
    charts = [chart for chart in charts if chart.root not in _STEPS or _varies(chart)]
    stages = stage_changes(log)
    main = [chart for chart in charts if chart.root in _ORDER or _is_loss(chart.root)]
    other = [chart for chart in charts if chart not in main and _varies(chart)]
    panels = _panels(log, log_x)
    overview = _overview(log, panels, log_x, best_update, stages) if len(panels) > 1 else ""
    single = [chart for chart in main if overview and not chart.suffix and chart.root in _OVERVIEW]
    figures = [_figure(chart, log_x, best_update, stages) for chart in main if chart not in single]
    body = [_notes(log, log_x)]
    if overview:  # as many charts stand beside it as fit its height
        beside = max(1, round(len(panels) * _PANEL_HEIGHT))
        body.append(f'<div class="split">{overview}<div class="column">{"".join(figures[:beside])}</div></div>')
        figures = figures[beside:]
    body.append(f'<div class="charts">{"".join(figures)}</div>')
    if single:
        alone = "".join(_figure(chart, log_x, best_update, stages) for chart in single)
        body.append(details("The same curves one by one, with their numbers", f'<div class="charts">{alone}</div>'))
    if other:
        rest = "".join(_figure(chart, log_x, None, stages) for chart in other[:_MOST_OTHER])
        more = paragraph(f"{len(other) - _MOST_OTHER} further names are left out.") if len(other) > _MOST_OTHER else ""
        body.append(details(f"Other numbers in the log ({len(other)})", f'<div class="charts">{rest}</div>{more}'))
    return "".join(body)


def _panels(log: TrainingLog, log_x: bool) -> List[Panel]:
    """xsim, losses, curriculum and learning rate, those that there are and that change where only changes tell something."""
    train = INNER if log.curves.get(INNER) else EPOCH
    panels: List[Panel] = []
    for root in _OVERVIEW:
        found = _both(log, train, root)
        if _absent(log, train, root) or (root in _STEPS and not any(len(set(c.values())) > 1 for _, c, _ in found)):
            continue
        if root == "distil_loss" and log.curve(train, root) == log.curve(train, "loss"):
            continue  # the loss has this term alone
        lines = []
        for label, curve, dashed in found:
            points = thin({x: y for x, y in curve.items() if x > 0 or not log_x}, _MOST_POINTS)
            if points:
                colour = 2 if dashed else 1
                lines.append(Line(label, list(points), list(points.values()), colour, dashed, root in _STEPS))
        if lines:
            panels.append(Panel(TITLES[root], lines, root == "xsim", root in (*_STEPS, "lr")))
    return panels


def _overview(
    log: TrainingLog,
    panels: Sequence[Panel],
    log_x: bool,
    best_update: Optional[int],
    stages: "Sequence[Tuple[float, str]]",
) -> str:
    """The panels over one axis."""
    label = "Over the updates, one above the other: " + ", ".join(panel.title for panel in panels)
    mark = (float(best_update), "best") if best_update else None
    clock = dict(log.curve(INNER, "wall"))
    svg = stacked_chart(panels, label, log_x, mark, stages, clock)
    both = any(len(panel.lines) > 1 for panel in panels)
    key = "In the losses the full line is training, the dashed one validation. " if both else ""
    none = "" if any(panel.title == TITLES["increment"] for panel in panels) else "No curriculum in this run. "
    caption = f"<figcaption>{key}{none}Point at the picture for values and time.</figcaption>"
    return f"<figure><h3>All on one axis</h3>{svg}{caption}</figure>"


def stage_changes(log: TrainingLog) -> List[Tuple[float, str]]:
    """Where the stages of a curriculum after the first begin, to within a log interval, with a word for each; at most a dozen."""
    curve = log.curve(INNER, "stage") or log.curve(EPOCH, "stage")
    changes, before = [], 0
    for (
        update,
        stage,
    ) in curve.items():  # a mean over the interval: its whole part is the stage that the interval began with
        if before and int(stage) > before:
            changes.append((float(update), f"stage {int(stage)}"))
        before = int(stage)
    return changes if len(changes) <= _MOST_STAGES else []


def _varies(chart: Chart) -> bool:
    """False for a number that never changes."""
    return any(len(set(curve.values())) > 1 for _, curve, _ in chart.lines)


def _notes(log: TrainingLog, log_x: bool) -> str:
    """What a reader of the curves must know about the log."""
    train = INNER if log.curves.get(INNER) else EPOCH
    said = [f"Up to update {log.last_update:,}."]
    if log_x:
        said.append("Updates stand on a logarithmic scale.")
    if train == EPOCH and log.curves.get(EPOCH):
        said.append("The log has training numbers at the end of epochs only.")
    if VALID not in log.curves:
        said.append("The log has no validation.")
    if log.n_rewinds:
        times = "once" if log.n_rewinds == 1 else f"{log.n_rewinds} times"
        said.append(f"The run was resumed from an earlier update {times}; what it had logged after that is not drawn.")
    if log.n_broken:
        said.append(f"{log.n_broken:,} broken {'line' if log.n_broken == 1 else 'lines'} of the log could not be read.")
    notes = paragraph(" ".join(said))
    if log.not_finite:
        names = sorted({name for _, name, _ in log.not_finite})
        first = min(update for _, _, update in log.not_finite)
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        notes += paragraph(
            f"{len(log.not_finite):,} values were not finite (NaN or infinite), first at update {first:,}: {shown}.",
            "warning",
        )
    return notes


def _figure(chart: Chart, log_x: bool, best_update: Optional[int], stages: "Sequence[Tuple[float, str]]" = ()) -> str:
    """One chart with its title, legend and numbers; upright lines where a stage of the curriculum begins."""
    title = TITLES.get(chart.root, chart.root.replace("_", " "))
    title = f"{title}, {chart.suffix}" if chart.suffix else title
    kept = [line for line in chart.lines if line[1]]
    hidden = len(kept) - N_COLOURS
    kept = kept[:N_COLOURS]
    lines, averaged = [], False
    for i, (label, curve, dashed) in enumerate(kept):
        drawn = thin({x: y for x, y in curve.items() if x > 0 or not log_x}, _MOST_POINTS)
        averaged |= len(drawn) < len(curve)
        colour = 2 if label == "validation" and len(kept) > 1 else i + 1
        lines.append(Line(label, list(drawn), list(drawn.values()), colour, dashed, chart.root in _STEPS))
    lines = [line for line in lines if line.x]
    if not lines:
        return ""
    ends = "; ".join(f"{line.label} from {number(line.y[0])} to {number(line.y[-1])}" for line in lines)
    mark = (float(best_update), "best") if best_update and chart.root == "xsim" else None
    from_zero = chart.root in ("xsim", "lr", "sentences/s")
    shown = () if chart.root in _STEPS else stages
    svg = line_chart(lines, f"{title} over updates: {ends}", "update", log_x, from_zero, mark, stages=shown)
    captions = [f"The first {N_COLOURS} of {N_COLOURS + hidden} curves."] if hidden > 0 else []
    captions += ["Neighbouring values are averaged."] if averaged else []
    if chart.root == "mean_cosine":
        captions.append("Near 1, the student gives all sentences the same embedding.")
    if chart.root == "relative_variance":
        captions.append("Near 0, the student gives all sentences the same embedding.")
    caption = f"<figcaption>{escape(' '.join(captions))}</figcaption>" if captions else ""
    return (
        f"<figure><h3>{escape(title)}</h3>{svg}{_legend(lines, kept)}{caption}"
        f"{details('Numbers', _numbers(kept, title))}</figure>"
    )


def _legend(lines: Sequence[Line], kept: "Sequence[Tuple[str, Curve, bool]]") -> str:
    """Names of the curves with the last value of each."""
    last = {label: list(curve.values())[-1] for label, curve, _ in kept}
    keys = "".join(
        f'<li><svg viewBox="0 0 22 14" class="wide" aria-hidden="true">'
        f'<path class="{line.css}" d="M1 7H21"/></svg>{escape(line.label)} '
        f'<span class="num">{number(last[line.label])}</span></li>'
        for line in lines
    )
    return f'<ul class="legend">{keys}</ul>'


def _numbers(kept: "Sequence[Tuple[str, Curve, bool]]", title: str) -> str:
    """The table behind a chart: at most some tens of updates, evenly chosen, the last one always."""
    updates = sorted({update for _, curve, _ in kept for update in curve})
    if len(kept) > 1:  # a table of validations rather than of every line of training
        shared = [update for update in updates if all(update in curve for _, curve, _ in kept)]
        updates = shared if len(shared) > 1 else updates
    if len(updates) > _MOST_ROWS:
        updates = [updates[round(i * (len(updates) - 1) / (_MOST_ROWS - 1))] for i in range(_MOST_ROWS)]
    rows = [[f"{update:,}"] + [number(curve.get(update)) for _, curve, _ in kept] for update in updates]
    head = ["Update"] + [label for label, _, _ in kept]
    return table(head, rows, range(len(head)), title, "small")
