"""Draw the figures of docs/explained.md from the project's own functions; needs matplotlib.

python docs/figures/make.py          writes docs/figures/*.svg, the same bytes each time
"""

from pathlib import Path
from typing import Dict, Tuple

import matplotlib
import numpy as np

matplotlib.use("svg")
from matplotlib import pyplot as plt  # noqa: E402  (after the choice of the backend)

from fairseq_distill import defaults  # noqa: E402
from fairseq_distill.data.curriculum import Curriculum  # noqa: E402
from fairseq_distill.mining.knn import knn_both  # noqa: E402
from fairseq_distill.mining.margin import best_candidates, margin_scores, neighbourhood_means  # noqa: E402

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#b8520c", "#26775a", "#8b96a2"
WIDTH = 32  # of the invented vectors
TOPICS = 40  # clusters in which they lie, as sentences on one subject do
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "fairseq_distill", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": "#59626d",
    "xtick.color": "#59626d", "ytick.color": "#59626d", "legend.frameon": False, "figure.facecolor": "white",
}  # fmt: skip


def invented_text(n: int, share: float = 0.5, noise: float = 1.0, seed: int = 1) -> Tuple[np.ndarray, np.ndarray, int]:
    """Vectors of two texts of ``n`` lines, of which the first ``share`` translate each other: (src, tgt, pairs)."""
    rng = np.random.default_rng(seed)
    topics = 1.2 * rng.standard_normal((TOPICS, WIDTH))
    pairs = int(n * share)

    def lines(count: int) -> np.ndarray:
        return topics[rng.integers(0, TOPICS, count)] + rng.standard_normal((count, WIDTH))

    meaning = lines(pairs)
    src = np.concatenate([meaning + noise * rng.standard_normal(meaning.shape), lines(n - pairs)])
    tgt = np.concatenate([meaning, lines(n - pairs)])
    return src.astype(np.float32), tgt.astype(np.float32), pairs


def best_scores(n: int, k: int, margin: str = "ratio", share: float = 0.5) -> Dict[str, np.ndarray]:
    """The score of each source line's best candidate, of lines that find their translation and of all others."""
    src, tgt, pairs = invented_text(n, share)
    forward, backward = knn_both(src, tgt, k)
    scores, found = best_candidates(forward, neighbourhood_means(forward), neighbourhood_means(backward), margin)
    right = (found == np.arange(n)) & (np.arange(n) < pairs)
    return {"right": scores[right], "wrong": scores[~right], "pairs": np.array(pairs)}


def save(figure: "plt.Figure", name: str) -> None:
    figure.tight_layout()
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def draw_neighbourhood() -> None:
    """The same cosine in a crowded and in an empty part of the space."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.5), sharey=True)
    crowded, empty = [0.70, 0.66, 0.64, 0.62], [0.70, 0.36, 0.31, 0.27]
    for axis, cosines, title in zip(axes, (crowded, empty), ("in a crowd", "alone")):
        mean = float(np.mean(cosines))
        ratio, distance = (
            margin_scores(
                np.array([[0.70]], np.float32), np.array([mean], np.float32), np.array([[mean]], np.float32), name
            )
            for name in ("ratio", "distance")
        )
        axis.bar(range(1, 5), cosines, color=[BLUE, GREY, GREY, GREY], width=0.62)
        axis.axhline(mean, color=ORANGE, linewidth=1.5, linestyle="--")
        axis.text(4.45, mean + 0.02, f"mean {mean:.2f}", color=ORANGE, ha="right")
        axis.set_title(f"{title}: ratio {ratio[0, 0]:.2f}, distance {distance[0, 0]:.2f}", fontsize=10.5, loc="left")
        axis.set_xticks(range(1, 5), ["candidate", "2nd", "3rd", "4th"])
        axis.set_ylim(0, 0.85)
    axes[0].set_ylabel("cosine")
    save(figure, "neighbourhood")


def draw_threshold() -> None:
    """Scores of right and wrong candidates, and what a threshold keeps of each."""
    found = best_scores(4000, defaults.NEIGHBOURHOOD)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
    edges = np.arange(0.9, 1.6, 0.02)
    left.hist([found["wrong"], found["right"]], edges, stacked=True, color=[GREY, BLUE], label=["wrong", "right"])
    left.axvline(defaults.MARGIN_THRESHOLD, color=ORANGE, linewidth=1.2, linestyle="--")
    left.set(xlabel="ratio of the best candidate", ylabel="source lines")
    left.legend()
    thresholds = np.linspace(0.95, 1.5, 200)
    kept = np.array([[np.sum(found[name] > t) for name in ("right", "wrong")] for t in thresholds])
    precision = np.where(kept.sum(axis=1) < 20, np.nan, 100 * kept[:, 0] / np.maximum(kept.sum(axis=1), 1))
    recall = 100 * kept[:, 0] / found["pairs"]
    for values, colour, label in ((precision, BLUE, "precision"), (recall, ORANGE, "recall")):
        right.plot(thresholds, values, color=colour, label=label)
    right.axvline(defaults.MARGIN_THRESHOLD, color=ORANGE, linewidth=1.2, linestyle="--")
    right.set(xlabel="threshold", ylabel="%", ylim=(0, 103))
    right.legend()
    save(figure, "threshold")


def draw_shift() -> None:
    """The same sentences score lower in more text, and higher with more neighbours."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6), sharey=True)
    sizes, neighbours = (200, 1000, 5000), (4, 8, 16)
    by_size = [best_scores(n, 4) for n in sizes]
    by_k = [best_scores(2000, k) for k in neighbours]
    for axis, results, names, label in (
        (left, by_size, [f"{n:,}" for n in sizes], "lines in each text, k = 4"),
        (right, by_k, [str(k) for k in neighbours], "k, 2,000 lines in each text"),
    ):
        for place, result in enumerate(results):
            for shift, name, colour in ((-0.17, "right", BLUE), (0.17, "wrong", GREY)):
                low, middle, high = np.quantile(result[name], [0.1, 0.5, 0.9])
                axis.plot(
                    [place + shift] * 2, [low, high], color=colour, linewidth=5, solid_capstyle="round", alpha=0.45
                )
                axis.plot(place + shift, middle, "o", color=colour, markersize=6, label=name if place == 0 else None)
        axis.axhline(defaults.MARGIN_THRESHOLD, color=ORANGE, linewidth=1.2, linestyle="--")
        axis.set_xticks(range(len(names)), names)
        axis.set_xlabel(label)
    left.set_ylabel("ratio of the best candidate")
    right.legend()
    save(figure, "shift")


def draw_curriculum() -> None:
    """Which part of a sentence each pacing shows at which update."""
    total, until, parts = 4000, 1000, defaults.CURRICULUM_INCREMENTS
    updates = np.arange(0, total, 5)
    figure, axis = plt.subplots(figsize=(7.2, 2.7))
    for pacing, colour, style in (("linear", BLUE, "-"), ("root", ORANGE, "--"), ("step", GREEN, ":")):
        policy = Curriculum(parts, until, pacing)
        axis.plot(
            updates, [policy.stage(int(u)) / parts for u in updates], style, color=colour, label=pacing, linewidth=2
        )
    axis.set(xlabel="update", ylabel="part of the words shown", xlim=(0, 1600), ylim=(0, 1.08))
    axis.set_yticks(
        [i / parts for i in range(1, parts + 1)], [f"{i}/{parts}" if i < parts else "all" for i in range(1, parts + 1)]
    )
    axis.legend(loc="lower right")
    save(figure, "curriculum")


def main() -> None:
    with plt.rc_context(STYLE):
        for draw in (draw_neighbourhood, draw_threshold, draw_shift, draw_curriculum):
            draw()


if __name__ == "__main__":
    main()
