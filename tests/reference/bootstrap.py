"""Mean xsim and paired bootstrap, one sentence at a time."""

import random
from typing import Dict, List, Optional, Tuple

Cells = Dict[str, Dict[int, Dict[str, List[bool]]]]


def mean_xsim(cells: Cells, draw: "Optional[random.Random]" = None, other: "Optional[Cells]" = None) -> float:
    """Percent wrong, averaged over sets, seeds and groups; minus ``other``'s; resampled where ``draw`` is given."""
    groups = []
    for group, of_seed in cells.items():
        seeds = sorted(seed for seed in of_seed if other is None or seed in other.get(group, {}))
        if not seeds:
            continue
        drawn_seeds = [draw.choice(seeds) if draw else seed for seed in seeds]
        names = sorted(of_seed[seeds[0]])
        rows = {name: len(of_seed[seeds[0]][name]) for name in names}
        sentences = {name: [draw.randrange(n) if draw else i for i in range(n)] for name, n in rows.items()}
        of_seeds = []
        for seed in drawn_seeds:
            percents = []
            for name in names:
                wrong = sum(of_seed[seed][name][i] for i in sentences[name])
                if other is not None:
                    wrong -= sum(other[group][seed][name][i] for i in sentences[name])
                percents.append(100 * wrong / rows[name])
            of_seeds.append(sum(percents) / len(percents))
        groups.append(sum(of_seeds) / len(of_seeds))
    return sum(groups) / len(groups)


def interval(cells: Cells, other: "Optional[Cells]", samples: int, seed: int) -> Tuple[float, float]:
    """The 2.5th and 97.5th percentile of resampled means."""
    draw = random.Random(seed)
    means = sorted(mean_xsim(cells, draw, other) for _ in range(samples))
    return means[int(0.025 * samples)], means[int(0.975 * samples)]
