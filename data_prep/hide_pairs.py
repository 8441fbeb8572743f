"""Hide known sentence pairs in monolingual text: to calibrate mining, or to see what mining is worth where the truth is known.

Of a bitext, some pairs are hidden (each side goes into the text of its language), of some only one side goes there (so
that a line without a partner is known too), and the rest stays bitext. Both texts are shuffled. What shares a line
with an evaluation file is left out of everything.
"""

import itertools
import json
import logging
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
from clean import line_keys, read_tidy, side_keys
from deduplicate import contains, evaluation_keys

from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, require_own_names, write_text
from fairseq_distill.formats.lines import PackedLines, require_same_length, write_lines
from fairseq_distill.language_codes import warn_of_unknown
from fairseq_distill.languages import parse_pair
from fairseq_distill.progress import Progress, counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """Row numbers of a bitext, int64, each ascending; no row is in two of them.

    Attributes:
        hidden: both sides are hidden.
        src_alone, tgt_alone: that side alone is hidden.
        kept: stay bitext.
    """

    hidden: np.ndarray
    src_alone: np.ndarray
    tgt_alone: np.ndarray
    kept: np.ndarray


def standing_alone(keys: np.ndarray) -> np.ndarray:
    """bool [N]: True where no other line has the same key."""
    _, place, count = np.unique(keys, return_inverse=True, return_counts=True)
    return count[place.reshape(-1)] == 1


def split(keys: List[np.ndarray], allowed: np.ndarray, hide: int, alone: int, keep: Optional[int], seed: int) -> Parts:
    """Draw the parts of a bitext.

    Only pairs whose two sides stand nowhere else in the bitext are hidden, so that each hidden line has one partner and
    none of them is in the kept bitext.

    Args:
        keys: uint64 [N] of either side, see :func:`clean.line_keys`.
        allowed: bool [N], pairs that may be used at all.
        hide: pairs to hide.
        alone: lines without a partner, on each side.
        keep: pairs that stay bitext; None for all that are left.
        seed: of the drawing.

    Raises:
        DataError: there are too few pairs.
    """
    order = np.random.default_rng(seed).permutation(len(allowed))
    order = order[allowed[order]]
    fit = (standing_alone(keys[0]) & standing_alone(keys[1]))[order]
    wanted = hide + 2 * alone
    if wanted > fit.sum():
        raise DataError(
            f"{hide:,} pairs to hide and {alone:,} lines without partner on each side need {wanted:,} pairs whose sides "
            f"stand nowhere else, but there are {int(fit.sum()):,}; ask for fewer."
        )
    chosen = order[fit][:wanted]
    rest = order[~np.isin(order, chosen, assume_unique=True)]
    if keep is not None and keep > len(rest):
        raise DataError(
            f"{keep:,} pairs are to stay bitext, but only {len(rest):,} are left; keep fewer or hide fewer."
        )
    cuts = np.split(chosen, [hide, hide + alone])
    return Parts(*(np.sort(rows) for rows in (*cuts, rest[:keep])))


@dataclass(frozen=True)
class HiddenText:
    """The text of one language, shuffled: the chosen lines of the bitext among monolingual ones. Its lines are put together when they
    are written.

    Attributes:
        own: tidied lines of the bitext's side; ``bitext`` is its path.
        rows: int64, which of them are hidden.
        mono: (path, tidied lines) of each monolingual file.
        places: int64, which of the monolingual lines, counted through all files, are taken.
        order: int64, a permutation of the hidden lines followed by the monolingual ones.
        counts: by what became of the monolingual lines.
    """

    own: PackedLines
    bitext: str
    rows: np.ndarray
    mono: List[Tuple[str, PackedLines]]
    places: np.ndarray
    order: np.ndarray
    counts: Dict[str, int]

    def lines(self) -> Iterator[str]:
        """The text."""
        return (side[row] for _, side, row in self._found())

    def origins(self) -> Iterator[str]:
        """``path<TAB>line number from 1`` of each line."""
        return (f"{path}\t{row + 1}" for path, _, row in self._found())

    def _found(self) -> Iterator[Tuple[str, PackedLines, int]]:
        begins = np.cumsum([0, *(len(side) for _, side in self.mono)])
        for number in self.order.tolist():
            if number < len(self.rows):
                yield self.bitext, self.own, int(self.rows[number])
                continue
            place = int(self.places[number - len(self.rows)])
            file = int(np.searchsorted(begins, place, "right")) - 1
            path, side = self.mono[file]
            yield path, side, place - int(begins[file])


def hidden_text(
    own: PackedLines,
    rows: np.ndarray,
    absent: np.ndarray,
    mono: List[Tuple[str, PackedLines]],
    bitext: str,
    evaluation: np.ndarray,
    seed: int,
) -> HiddenText:
    """Choose the text of one language.

    Monolingual lines that are empty, stand there before, or equal a chosen line, the partner of a line that is to have
    none, or one of the evaluation set are left out.

    Args:
        own: tidied lines of the bitext's side.
        rows: which of them are hidden.
        absent: which of them must not be in the text: their partners are to be alone.
        mono: (path, tidied lines) of each monolingual file.
        bitext: path of the bitext's side, for the origins.
        evaluation: sorted keys, see :func:`deduplicate.evaluation_keys`.
        seed: of the shuffling.
    """
    n = sum(len(side) for _, side in mono)
    keys = line_keys(counted(_every(mono), Progress("compare lines", n, unit="lines")))
    first = np.zeros(n, dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    reasons = {
        "empty": np.fromiter((not line for line in _every(mono)), bool, n),
        "in_evaluation_set": contains(evaluation, keys),
        "hidden_line": contains(np.unique(line_keys(own[row] for row in (*rows, *absent))), keys),
        "duplicate": ~first,
    }
    left = np.ones(n, dtype=bool)
    counts = {"monolingual": n, "hidden": len(rows)}
    for reason, dropped in reasons.items():
        counts[reason] = int((left & dropped).sum())
        left &= ~dropped
    places = np.flatnonzero(left)
    order = np.random.default_rng(seed).permutation(len(rows) + len(places))
    return HiddenText(own, bitext, rows, mono, places, order, counts)


def _every(mono: List[Tuple[str, PackedLines]]) -> Iterator[str]:
    return itertools.chain.from_iterable(side for _, side in mono)


def main(args: Namespace) -> None:
    """Write the parts, the two texts with the origin of each line, and the counts."""
    codes = [language.code for language in parse_pair(args.pair)]
    warn_of_unknown(codes)
    for name in ("hide", "alone", "keep"):
        if (getattr(args, name) or 0) < 0 or (name == "hide" and args.hide < 1):
            raise ConfigError(f"--{name} is {getattr(args, name)}; it must be {1 if name == 'hide' else 0} or more.")
    for option, path in (("--input", args.input), *(("--mono", word) for word in args.mono)):
        _require_writable_name(option, path)
    mono = _mono(args.mono, codes)
    paths = [f"{args.input}.{code}" for code in codes]
    written = [Path(args.output) / f"{part}.{code}" for part in ("kept", "hidden", "alone", "mono") for code in codes]
    require_own_names([*paths, *(path for texts in mono.values() for path, _ in texts), *args.exclude], written)
    sides = [read_tidy(path) for path in paths]
    require_same_length(paths[0], len(sides[0]), paths[1], len(sides[1]))
    evaluation = evaluation_keys(args.exclude, 1)
    keys = side_keys(sides)
    leaks = contains(evaluation, keys[0]) | contains(evaluation, keys[1])
    full = np.fromiter((bool(one and two) for one, two in zip(*sides)), bool, len(leaks))
    parts = split(keys, full & ~leaks, args.hide, args.alone, args.keep, args.seed)
    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, output) from error
    counts: Dict[str, Any] = {
        "pair": "-".join(codes),
        "seed": args.seed,
        "pairs": len(leaks),
        "in_evaluation_set": int(leaks.sum()),
        "hidden": len(parts.hidden),
        "alone": args.alone,
        "kept": len(parts.kept),
    }
    lone = (parts.src_alone, parts.tgt_alone)
    for number, (code, side, path) in enumerate(zip(codes, sides, paths)):
        alone = lone[number]
        rows = np.concatenate([parts.hidden, alone])
        text = hidden_text(side, rows, lone[1 - number], mono[code], path, evaluation, args.seed + 1 + number)
        counts[f"mono.{code}"] = text.counts
        write_lines(output / f"kept.{code}", (side[row] for row in parts.kept))
        write_lines(output / f"hidden.{code}", (side[row] for row in parts.hidden))
        write_lines(output / f"alone.{code}", (side[row] for row in alone))
        write_lines(output / f"mono.{code}", text.lines())
        write_lines(output / f"mono.{code}.origin.tsv", text.origins())
    write_text(output / "hidden.json", json.dumps(counts, indent=1) + "\n")
    logger.info(
        f"hide_pairs | {len(leaks):,} pairs | hidden {len(parts.hidden):,}, one side only {args.alone:,} + "
        f"{args.alone:,}, kept {len(parts.kept):,} | in an evaluation set {int(leaks.sum()):,}"
    )


def _require_writable_name(option: str, path: str) -> None:
    """Raise a ConfigError where a path cannot stand in a line of the origins."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{option} {path!r}: the origins name this file, but its name is not UTF-8; rename it."
        ) from error
    if "\n" in path:
        raise ConfigError(f"{option} {path!r}: the origins name this file, but its name holds a line feed; rename it.")


def _mono(words: List[str], codes: List[str]) -> Dict[str, List[Tuple[str, PackedLines]]]:
    found: Dict[str, List[Tuple[str, PackedLines]]] = {code: [] for code in codes}
    for word in words:
        code, sign, path = word.partition("=")
        if not sign or code not in found or not path:
            raise ConfigError(f"--mono {word!r} is not of the form LANG=FILE with LANG {' or '.join(codes)}.")
        found[code].append((path, read_tidy(path)))
    return found


def _parser() -> Any:
    parser = make_parser(
        "hide_pairs.py",
        "Hide pairs of a bitext in monolingual text of both languages, seeded; writes kept.*, hidden.*, alone.*, mono.*.",
        "python data_prep/hide_pairs.py --pair swa-eng --input corpora/news/train --hide 500 --alone 500 "
        "--mono swa=crawl.swa --mono eng=crawl.eng --exclude corpora/news/dev.eng --output work/hidden",
    )
    parser.add_argument("--pair", required=True, metavar="A-B", help="languages; A is the source of mining")
    parser.add_argument("--input", required=True, metavar="PREFIX", help="the bitext: reads PREFIX.A and PREFIX.B")
    parser.add_argument("--hide", required=True, type=int, metavar="N", help="pairs to hide")
    parser.add_argument(
        "--alone", type=int, default=0, metavar="N", help="further lines to hide on each side, without their partner"
    )
    parser.add_argument("--keep", type=int, metavar="N", help="pairs that stay bitext; all that are left if not given")
    parser.add_argument(
        "--mono", action="append", default=[], metavar="LANG=FILE", help="text to hide them in; any number of times"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="FILE", help="evaluation text; its lines are left out"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--seed", type=seed_number, default=1, help="of the drawing and the shuffling")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(_parser(), main))
