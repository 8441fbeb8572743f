"""Make bitext of mined pairs, or of a bitext that is there: drop what the rules of clean.py drop, repeats, and evaluation lines.

Of mined pairs also those below a threshold, those of lines that were hidden to calibrate, those that are known, and those with
a near-duplicate of an evaluation line (data/near_duplicates.py), as far as they are looked at: the best so many. Each
pair that stays keeps its provenance (formats/provenance.py); each that goes is listed with its reason.
"""

import json
import logging
import math
import sys
from argparse import Namespace
from array import array
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from chunks import CHUNK_LINES
from clean import REASONS as CLEAN_REASONS
from clean import dropped_lines, iter_tidy, judge, line_keys, read_tidy, scripts_of_lines, side_keys, tidy
from deduplicate import contains, evaluation_keys, pair_keys, repeated

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.data.near_duplicates import NearDuplicateIndex
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import atomic_path, require_folder, require_own_names, write_text
from fairseq_distill.formats.lines import PackedLines, count_lines, require_same_length, write_lines
from fairseq_distill.formats.mined_pairs import read_mined_pairs
from fairseq_distill.language_codes import warn_of_unknown
from fairseq_distill.languages import parse_pair
from fairseq_distill.progress import Progress, counted

logger = logging.getLogger(__name__)

_LINES = 2_000  # judged, or looked through for near-duplicates, at a time: these take some 2 and 6 kB each

# In the order in which they are looked for; the first that fits is the reason.
REASONS = (
    "kept",
    "below_threshold",
    "hidden_line",
    *CLEAN_REASONS[1:],
    "in_evaluation_set",
    "known",
    "duplicate",
    "near_evaluation_set",
)


@dataclass(frozen=True)
class Pairs:
    """Pairs to judge: scores (None for a bitext), tidied sides, and line numbers from 1 where they are known."""

    sides: Sequence[PackedLines]
    scores: Optional[np.ndarray] = None
    lines: Optional[np.ndarray] = None


def read_pairs(mined: Optional[str], prefix: Optional[str], langs: Sequence[str]) -> Pairs:
    """Read a mined file or a bitext.

    Raises:
        DataError: missing or damaged, or sides of unequal length.
    """
    if mined is not None:
        progress = Progress("filter_pairs | read", count_lines(mined), unit="pairs")
        sides, scores, lines = [PackedLines(), PackedLines()], array("d"), array("q")
        for pair in counted(read_mined_pairs(mined), progress):
            for side, line in zip(sides, (pair.source, pair.target)):
                side.append(tidy(line))
            scores.append(pair.score)
            lines.extend(number for number in (pair.source_line, pair.target_line) if number is not None)
        numbers = np.array(lines, np.int64).reshape(-1, 2)
        return Pairs(sides, np.array(scores, np.float64), numbers if len(numbers) == len(scores) else None)
    paths = [f"{prefix}.{lang}" for lang in langs]
    sides = [read_tidy(path) for path in paths]
    require_same_length(paths[0], len(sides[0]), paths[1], len(sides[1]))
    return Pairs(sides)


def keys_of_bitexts(prefixes: Sequence[str], langs: Sequence[str]) -> np.ndarray:
    """uint64 [M], sorted: keys of the pairs of some bitexts, see :func:`deduplicate.pair_keys`; the text itself is not kept."""
    found = []
    for prefix in prefixes:
        paths = [f"{prefix}.{lang}" for lang in langs]
        keys = [line_keys(iter_tidy(path)) for path in paths]
        require_same_length(paths[0], len(keys[0]), paths[1], len(keys[1]))
        found.append(pair_keys(np.stack(keys, axis=1)))
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)


def reasons_of(
    pairs: Pairs,
    scripts: List[frozenset],
    threshold: Optional[float],
    hidden: Sequence[np.ndarray],
    evaluation: np.ndarray,
    known: np.ndarray,
) -> np.ndarray:
    """Why each pair is dropped.

    Args:
        pairs: best first when they are mined: of repeats the first one stays.
        scripts: expected scripts of each side, see :func:`clean.scripts_of_lines`.
        threshold: pairs with a greater score stay; None: all.
        hidden: sorted keys of source lines and of target lines that were hidden to calibrate.
        evaluation: sorted keys of evaluation lines of any language.
        known: sorted keys of known pairs.

    Returns:
        uint8 [N], positions in ``REASONS``, 0 for what stays.
    """
    keys = side_keys(pairs.sides)
    both = pair_keys(np.stack(keys, axis=1))
    judged = _judged(pairs.sides, keys, scripts)
    tests: Dict[str, np.ndarray] = {name: judged == CLEAN_REASONS.index(name) for name in CLEAN_REASONS[1:]}
    if pairs.scores is not None and threshold is not None:
        tests["below_threshold"] = ~(pairs.scores > threshold)
    tests["hidden_line"] = np.any([contains(*one) for one in zip(hidden, keys)], axis=0)
    tests["in_evaluation_set"] = contains(evaluation, keys[0]) | contains(evaluation, keys[1])
    tests["known"] = contains(known, both)
    reasons = np.zeros(len(both), np.uint8)
    for name in reversed(REASONS[1:-2]):
        if name in tests:
            reasons[tests[name]] = REASONS.index(name)
    left = np.flatnonzero(reasons == 0)
    reasons[left[repeated(both[left])]] = REASONS.index("duplicate")
    return reasons


def _judged(sides: Sequence[PackedLines], keys: List[np.ndarray], scripts: List[frozenset]) -> np.ndarray:
    """What :func:`clean.judge` says of all pairs, some at a time."""
    n = len(sides[0])
    found, progress = np.zeros(n, np.uint8), Progress("filter_pairs | judge", n, unit="pairs")
    for start in range(0, n, _LINES):
        part = slice(start, start + _LINES)
        found[part] = judge([side[part] for side in sides], [one[part] for one in keys], scripts, light=False)
        progress.add(len(found[part]))
    return found


def near_evaluation(pairs: Pairs, rows: np.ndarray, paths: Sequence[str]) -> np.ndarray:
    """int64: those of ``rows`` with a side that is a near-duplicate of a line of the evaluation files."""
    index = NearDuplicateIndex([line for path in paths for line in read_tidy(path)])
    near, progress = [], Progress("filter_pairs | near-duplicates", len(rows), unit="pairs")
    for start in range(0, len(rows), _LINES):
        part = rows[start : start + _LINES]
        found = [index.find([side[row] for row in part])[1] >= 0 for side in pairs.sides]
        near.append(part[found[0] | found[1]])
        progress.add(len(part))
    return np.concatenate(near) if near else np.empty(0, np.int64)


def write_pairs(pairs: Pairs, reasons: np.ndarray, output: str, langs: Sequence[str]) -> Dict[str, Any]:
    """Write ``OUTPUT.LANG``, ``OUTPUT.dropped.tsv.gz``, for mined pairs ``OUTPUT.lines.tsv``; counts by reason."""
    kept = np.flatnonzero(reasons == 0)
    for lang, side in zip(langs, pairs.sides):
        write_lines(f"{output}.{lang}", (side[row] for row in map(int, kept)))
    if pairs.scores is not None and pairs.lines is not None:
        rows = ((pairs.scores[row], *pairs.lines[row]) for row in kept)
        write_lines(f"{output}.lines.tsv", (f"{score:.6f}\t{one}\t{two}" for score, one, two in rows))
    with atomic_path(f"{output}.dropped.tsv.gz") as temporary:
        with open(temporary, "wb") as stream:
            for start in range(0, len(reasons), CHUNK_LINES):
                part = slice(start, min(start + CHUNK_LINES, len(reasons)))
                sides = [side[part] for side in pairs.sides]
                stream.write(dropped_lines(np.arange(part.start, part.stop) + 1, reasons[part], REASONS, sides))
    counts = np.bincount(reasons, minlength=len(REASONS)).tolist()
    dropped = {name: n for name, n in zip(REASONS[1:], counts[1:]) if n}
    return {"in": len(reasons), "kept": counts[0], "dropped": dropped}


def main(args: Namespace) -> None:
    """Read, judge, write."""
    if (args.mined is None) == (args.input is None):
        raise ConfigError("Give either --mined FILE or --input PREFIX.")
    if args.threshold is not None and args.mined is None:
        raise ConfigError("--threshold needs --mined: a bitext has no scores.")
    if args.near_lines < 0:
        raise ConfigError(f"--near-lines {args.near_lines} must be 0 or more.")
    if args.threshold is not None and math.isnan(args.threshold):
        raise ConfigError("--threshold is not a number (nan), and no score is greater; give one, or leave it out.")
    langs = [language.code for language in parse_pair(args.pair)]
    warn_of_unknown(langs)
    require_folder(f"{args.output}.{langs[0]}")
    read = [f"{prefix}.{lang}" for prefix in (args.input, *args.known) if prefix for lang in langs]
    written = [f"{args.output}.{end}" for end in (*langs, "dropped.tsv.gz", "counts.json")]
    require_own_names([*read, *([args.mined] if args.mined else []), *args.hidden, *args.exclude], written)
    pairs = read_pairs(args.mined, args.input, langs)
    hidden = [evaluation_keys([path for path in args.hidden if path.endswith(f".{lang}")], 1) for lang in langs]
    if args.hidden and not all(path.endswith(tuple(f".{lang}" for lang in langs)) for path in args.hidden):
        raise ConfigError(f"--hidden takes files that end in .{langs[0]} or .{langs[1]}, so that their side is known.")
    scripts = [scripts_of_lines(lang, side) for lang, side in zip(langs, pairs.sides)]
    evaluation = evaluation_keys(args.exclude, 1)
    known = keys_of_bitexts(args.known, langs)
    reasons = reasons_of(pairs, scripts, args.threshold, hidden, evaluation, known)
    left = np.flatnonzero(reasons == 0)
    looked_at = left[: args.near_lines if args.exclude and args.mined is not None else 0]
    reasons[near_evaluation(pairs, looked_at, args.exclude)] = REASONS.index("near_evaluation_set")
    counts = write_pairs(pairs, reasons, args.output, langs)
    counts["near_looked_at"] = len(looked_at)
    counts["threshold"] = args.threshold
    write_text(f"{args.output}.counts.json", json.dumps(counts, indent=1) + "\n")
    said = ", ".join(f"{name} {n:,}" for name, n in counts["dropped"].items()) or "nothing"
    looked = (
        f" | near-duplicates looked for in {len(looked_at):,} of {len(left):,} pairs, the best" if args.exclude else ""
    )
    logger.info(f"filter_pairs | {counts['in']:,} in, {counts['kept']:,} kept | dropped: {said}{looked}")
    if not counts["kept"]:
        raise DataError(
            f"Of {counts['in']:,} pairs none is left ({said}); {args.output}.dropped.tsv.gz lists them. "
            "Is the threshold too high, or a language code wrong?"
        )


def _parser() -> Any:
    parser = make_parser(
        "filter_pairs.py",
        "Filter mined pairs, or a bitext, by the rules of clean.py; counts by reason in OUTPUT.counts.json.",
        "python data_prep/filter_pairs.py --pair swa-eng --mined mined.tsv --threshold 1.12 --known corpora/news/train "
        "--exclude corpora/news/dev.eng --exclude corpora/news/dev.swa --output work/mined",
    )
    parser.add_argument("--pair", required=True, metavar="A-B", help="languages; A is the source of mining")
    parser.add_argument("--mined", metavar="FILE", help="what fairseq-mine wrote, with or without line numbers")
    parser.add_argument("--input", metavar="PREFIX", help="a bitext instead: PREFIX.A and PREFIX.B")
    parser.add_argument("--threshold", type=float, metavar="T", help="mined pairs with a greater score are kept")
    parser.add_argument("--known", action="append", default=[], metavar="PREFIX", help="bitext whose pairs are dropped")
    parser.add_argument(
        "--hidden", action="append", default=[], metavar="FILE", help="lines hidden to calibrate: FILE.A or FILE.B"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="FILE",
        help="evaluation text; a pair with a line of it is dropped",
    )
    parser.add_argument(
        "--near-lines",
        type=int,
        default=defaults.LEAKAGE_LINES,
        metavar="N",
        help="of mined pairs that are left, the best N are looked through for near-duplicates of --exclude; 0: none",
    )
    parser.add_argument("--output", required=True, metavar="PREFIX", help="writes PREFIX.A, PREFIX.B and what is above")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(_parser(), main))
