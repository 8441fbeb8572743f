"""The search for near-duplicates of evaluation lines, on text of templates and on text of a file: lines a second.

    python benchmarks/near_duplicates.py                                100,000 lines of 50 templates, and of one
    python benchmarks/near_duplicates.py --text FILE [--text FILE …]    and as many lines of the files, shuffled

2,000 other lines of the same kind are the evaluation text. A few of the lines are compared with all of it, set by set, and what
was found for them must be that.
"""

import argparse
import sys
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import common
import numpy as np
from common import Run, System

CHECKED = 20  # lines compared with all evaluation lines
Made = Tuple[List[str], List[str]]  # lines to look through, evaluation lines


def of_templates(lines: int, evaluation: int, templates: int, seed: int) -> Made:
    """Lines of drawn words, of which one or two change within a template, some of them numbers."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), random.integers(3, 9))) for _ in range(3000)]
    kinds = [list(random.choice(words[:400], random.integers(7, 15))) for _ in range(templates)]

    def line() -> str:
        made = list(kinds[random.integers(templates)])
        for _ in range(random.integers(1, 3)):
            word = str(random.integers(10_000)) if random.random() < 0.3 else words[random.integers(len(words))]
            made.insert(int(random.integers(2)) * len(made) // 2 + 1, word)
        return " ".join(made)

    return [line() for _ in range(lines)], [line() for _ in range(evaluation)]


def of_files(files: List[str], lines: int, evaluation: int, seed: int) -> Made:
    """Lines of files in drawn order, empty ones left out."""
    text = [line for file in files for line in Path(file).read_text(encoding="utf-8").split("\n") if line.strip()]
    drawn = [text[i] for i in np.random.default_rng(seed).permutation(len(text))]
    return drawn[evaluation : evaluation + lines], drawn[:evaluation]


def check(text: List[str], evaluation: List[str], similarity: np.ndarray) -> None:
    """Compare what was found for the first lines with all pairs.

    Raises:
        SystemExit: it is not the most alike.
    """
    from fairseq_distill import defaults
    from fairseq_distill.data.near_duplicates import comparable

    n = defaults.NEAR_DUPLICATE_CHARACTERS

    def grams(line: str) -> "set[str]":
        line = f" {comparable(line)} "
        return {line[i : i + n] for i in range(max(1, len(line) - n + 1))}

    indexed = [grams(line) for line in evaluation]
    for i, line in enumerate(text[:CHECKED]):
        best = max(len(grams(line) & other) / len(grams(line) | other) for other in indexed)
        if not np.isclose(similarity[i], best if best >= defaults.NEAR_DUPLICATE else 0.0):
            raise SystemExit(f"{line!r}: {similarity[i]:.4f} was found, the most alike has {best:.4f}")


def make_audit(made: Callable[..., Made], arguments: Tuple, cpu_time: bool) -> Callable[[], Run]:
    """A turn looks through the text; the first checks what was found for a few lines."""
    from fairseq_distill.data.near_duplicates import NearDuplicateIndex

    text, evaluation = made(*arguments)
    seconds, index = common.timed(lambda: NearDuplicateIndex(evaluation), cpu_time)
    check(text, evaluation, index.find(text[:CHECKED])[0])

    def turn() -> Run:
        taken, found = common.timed(lambda: index.audit(text), cpu_time)
        return {"seconds": taken, "index": seconds, "lines": found.lines, "near": found.identical + found.near}

    return turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000, help="to look through")
    parser.add_argument("--evaluation", type=int, default=2000, help="evaluation lines")
    parser.add_argument("--text", action="append", default=[], metavar="FILE", help="real text, a sentence a line")
    common.add_options(parser, repeats=1)
    args = parser.parse_args()
    kinds: Dict[str, Tuple[Callable[..., Made], Tuple]] = {
        f"{n} template{'s' * (n > 1)}": (of_templates, (args.lines, args.evaluation, n, args.seed)) for n in (50, 1)
    }
    if args.text:
        kinds["text of files"] = (of_files, (args.text, args.lines, args.evaluation, args.seed))
    systems = {name: System(make_audit, (*kind, args.cpu_time)) for name, kind in kinds.items()}
    print(common.machine(args))
    print("| text | lines | identical or near | index s | s | lines/s | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for name, system in systems.items():
        runs = common.in_turns({name: system}, args.repeats, args.threads)[name]
        seconds, lines = common.median(runs, "seconds"), runs[0]["lines"]
        cells = [f"{lines:,.0f}", f"{runs[0]['near']:,.0f}", f"{runs[0]['index']:.2f}", f"{seconds:.2f}"]
        print(f"| {name} | {' | '.join(cells)} | {lines / seconds:,.0f} | {max(run['rss'] for run in runs):,.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
