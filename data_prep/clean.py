"""Stage 1, first half: tidy each line and drop pairs that teach nothing; dropped lines are kept with their reason.

Text stays cased and as it was written, but for control characters, white space and NFC: the student's own
normalisation is done where its SentencePiece model is applied. Evaluation pairs lose nothing but pairs with an empty
side. For each kept pair two 64-bit keys are written, by which deduplicate.py finds repeats.
"""

import functools
import gzip
import hashlib
import itertools
import logging
import sys
import unicodedata
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from chunks import available_workers, in_chunks, ordered_map
from plan_file import Plan, Source, read_plan
from stamps import HERE, PACKAGE, Stamps, Step

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import atomic_path
from fairseq_distill.formats.lines import PackedLines, count_lines, iter_lines, require_same_length
from fairseq_distill.formats.manifest import Count
from fairseq_distill.languages import parse_language, script_of
from fairseq_distill.progress import Progress, counted
from fairseq_distill.text import strip_controls

logger = logging.getLogger(__name__)

REASONS = ("kept", "empty", "too_long", "length_ratio", "identical", "too_few_letters", "wrong_script")
CODE = [
    HERE / "clean.py", HERE / "chunks.py", PACKAGE / "languages.py", PACKAGE / "text.py", PACKAGE / "formats/lines.py"
]  # fmt: skip
KEY_COLUMNS = 3  # student key, teacher key (0 for monolingual text), line number in the raw file
_HEAD_LINES = 10_000  # read to see which script a corpus is in


def tidy(line: str) -> str:
    """NFC, control characters and white space folded to single spaces; case and punctuation stay."""
    return strip_controls(unicodedata.normalize("NFC", line))


# --- keys of lines


class _KeyTable(Dict[int, Optional[str]]):
    """A table for ``str.translate`` that keeps letters, marks and digits alone, filled as characters come."""

    def __missing__(self, code: int) -> Optional[str]:
        self[code] = chr(code) if unicodedata.category(chr(code))[0] in "LMN" else None
        return self[code]


_KEY_TABLE = _KeyTable()


def iter_tidy(path: str) -> Iterator[str]:
    """The lines of a file, tidied, with progress."""
    progress = Progress(f"tidy {Path(path).name}", count_lines(path), unit="lines")
    return (tidy(line) for line in counted(iter_lines(path), progress))


def read_tidy(path: str) -> PackedLines:
    """All lines of a file, tidied."""
    return PackedLines(iter_tidy(path))


def side_keys(sides: Sequence[Sequence[str]]) -> List[np.ndarray]:
    """:func:`line_keys` of each of some sides, with progress."""
    return [line_keys(counted(side, Progress("compare lines", len(side), unit="lines"))) for side in sides]


def line_keys(lines: Iterable[str]) -> np.ndarray:
    """64-bit keys by which lines are compared: lower case, letters, marks and digits only.

    Lines that :func:`fairseq_distill.text.normalise` makes equal have equal keys; so have lines that differ in
    punctuation and spaces alone. A line without letters and digits stands for itself.

    Args:
        lines: tidied lines.

    Returns:
        uint64 [N].
    """
    digests = bytearray()
    for line in lines:
        kept = line.lower().translate(_KEY_TABLE) or line
        digests += hashlib.blake2b(kept.encode("utf-8"), digest_size=8).digest()
    return np.frombuffer(bytes(digests), dtype="<u8")


# --- filters

_OTHER, _SPACE, _FIRST_SCRIPT = 0, 1, 2  # classes of characters; scripts are numbered as they are met
_classes = np.full(sys.maxunicode + 1, -1, dtype=np.int16)
_scripts: List[str] = []


def _character_classes(codes: np.ndarray) -> np.ndarray:
    """int16 class of each code point, from a table that grows with the text."""
    for code in np.unique(codes[_classes[codes] < 0]):
        character = chr(int(code))
        script = script_of(character)
        if script is None:
            _classes[code] = _SPACE if character.isspace() else _OTHER
        else:
            if script not in _scripts:
                _scripts.append(script)
            _classes[code] = _FIRST_SCRIPT + _scripts.index(script)
    return _classes[codes]


def letter_shares(lines: Sequence[str], scripts: FrozenSet[str]) -> Tuple[np.ndarray, np.ndarray]:
    """Shares of letters in each line, and of the letters that are in one of ``scripts``.

    Args:
        lines: text without line feeds.
        scripts: ISO 15924 codes; every script when empty. Letters of no script (``Zyyy``) do not count in the second.

    Returns:
        float64 [N], letters among characters that are no white space (0 for an empty line);
        float64 [N], letters of the scripts among letters of any (1 where there is none).
    """
    codes = np.frombuffer("\n".join([*lines, ""]).encode("utf-32-le"), dtype=np.uint32)
    classes = _character_classes(codes)
    ends = np.flatnonzero(codes == ord("\n"))

    def per_line(flags: np.ndarray) -> np.ndarray:
        return np.diff(np.concatenate([[0], np.cumsum(flags)[ends]]))

    wanted = np.zeros(_FIRST_SCRIPT + len(_scripts), dtype=bool)
    any_script = wanted.copy()
    for number, script in enumerate(_scripts):
        any_script[_FIRST_SCRIPT + number] = script != "Zyyy"
        wanted[_FIRST_SCRIPT + number] = script != "Zyyy" and (not scripts or script in scripts)
    letters, visible = per_line(classes >= _FIRST_SCRIPT), per_line(classes != _SPACE)
    scripted = per_line(any_script[classes])
    expected = np.where(scripted, per_line(wanted[classes]) / np.maximum(scripted, 1), 1.0)
    return letters / np.maximum(visible, 1), expected


def expected_scripts(lang: str, path: str) -> FrozenSet[str]:
    """The scripts a text should be in: its language's, else the one that most letters at its beginning are in."""
    return scripts_of_lines(lang, iter_lines(path))


def scripts_of_lines(lang: str, lines: Iterable[str]) -> FrozenSet[str]:
    """:func:`expected_scripts` of lines that are read already."""
    known = parse_language(lang).scripts
    if known:
        return known
    head = "".join(itertools.islice(lines, _HEAD_LINES))
    classes = _character_classes(np.frombuffer(head.encode("utf-32-le"), dtype=np.uint32))
    counts = np.bincount(classes, minlength=_FIRST_SCRIPT + len(_scripts))[_FIRST_SCRIPT:]
    found = {script: int(n) for script, n in zip(_scripts, counts) if script != "Zyyy" and n}
    return frozenset({max(sorted(found), key=lambda script: found[script])}) if found else frozenset()


def judge(sides: List[List[str]], keys: List[np.ndarray], scripts: List[FrozenSet[str]], light: bool) -> np.ndarray:
    """Why each line or pair is dropped.

    Args:
        sides: tidied lines of one side, or of both.
        keys: :func:`line_keys` of each side.
        scripts: expected scripts of each side.
        light: evaluation text: only empty sides count.

    Returns:
        uint8 [N], positions in ``REASONS``; 0 for what is kept.
    """
    lengths = np.array([[len(line) for line in side] for side in sides])  # [sides, N]
    shortest, longest = lengths.min(axis=0), lengths.max(axis=0)
    tests = [("empty", shortest == 0)]
    if not light:
        ratio = longest / np.maximum(shortest, 1)
        judged = longest >= defaults.RATIO_FREE_CHARACTERS
        tests += [
            ("too_long", longest > defaults.MAX_CHARACTERS),
            ("length_ratio", judged & (ratio > defaults.MAX_LENGTH_RATIO)),
            ("identical", keys[0] == keys[1] if len(sides) == 2 else np.zeros(len(shortest), bool)),
        ]
        shares = [letter_shares(side, wanted) for side, wanted in zip(sides, scripts)]
        tests.append(("too_few_letters", np.any([share[0] < defaults.MIN_LETTER_SHARE for share in shares], axis=0)))
        tests.append(("wrong_script", np.any([share[1] < defaults.MIN_SCRIPT_SHARE for share in shares], axis=0)))
    reasons = np.zeros(len(shortest), dtype=np.uint8)
    for name, failed in reversed(tests):  # the first test that fails gives the reason
        reasons[failed] = REASONS.index(name)
    return reasons


# --- chunks and files


class Chunk(NamedTuple):
    """What a worker makes of a chunk: bytes to append to the files, and counts."""

    texts: List[bytes]
    dropped: bytes
    keys: np.ndarray
    counts: np.ndarray


def clean_chunk(raw: Tuple[int, List[List[str]]], scripts: List[FrozenSet[str]], light: bool) -> Chunk:
    """Tidy and judge one chunk of lines; ``raw`` is the number of its first line and its lines by side."""
    first, lines = raw
    sides = [[tidy(line) for line in side] for side in lines]
    keys = [line_keys(side) for side in sides]
    reasons = judge(sides, keys, scripts, light)
    kept = reasons == 0
    texts = [join_lines(itertools.compress(side, kept)) for side in sides]
    numbers = np.arange(first, first + len(reasons), dtype=np.uint64)
    other = keys[1] if len(keys) == 2 else np.zeros(len(reasons), dtype=np.uint64)
    rows = np.stack([keys[0], other, numbers], axis=1)[kept]
    dropped = dropped_lines(numbers, reasons, REASONS, sides)
    return Chunk(texts, dropped, rows, np.bincount(reasons, minlength=len(REASONS)))


def join_lines(lines: Any) -> bytes:
    """Lines as UTF-8, each with its line feed."""
    return "".join(line + "\n" for line in lines).encode("utf-8")


def dropped_lines(numbers: np.ndarray, reasons: np.ndarray, names: Sequence[str], sides: List[List[str]]) -> bytes:
    """The dropped lines as one gzip member: line number, reason, sides; empty when nothing is dropped."""
    gone = np.flatnonzero(reasons)
    if not len(gone):
        return b""
    rows = ("\t".join([str(numbers[i]), names[reasons[i]], *(side[i] for side in sides)]) for i in gone)
    return gzip.compress(join_lines(rows), mtime=0)


def _raw_chunks(paths: Sequence[str]) -> Iterator[Tuple[int, List[List[str]]]]:
    first = 1
    for chunk in in_chunks(zip(*(iter_lines(path) for path in paths))):
        yield first, [list(side) for side in zip(*chunk)]
        first += len(chunk)


def clean_corpus(source: Source, outputs: List[Path], workers: int) -> Dict[str, Any]:
    """Clean one corpus into its files; lines in, out and dropped by reason.

    Args:
        source: the raw corpus.
        outputs: a text file for each side, the dropped lines, for training text the keys (uint64 [N, 3], no header).
        workers: number of processes.

    Returns:
        a :class:`~fairseq_distill.formats.manifest.Count` as a dictionary.

    Raises:
        DataError: sides of unequal length, an empty file, or invalid UTF-8.
    """
    paths = [path for _, path in source.sides()]
    totals = [count_lines(path) for path in paths]
    require_same_length(paths[0], totals[0], paths[-1], totals[-1])
    if totals[0] == 0:
        raise DataError(f"{paths[0]} holds no line.")
    light = source.split == "valid"
    scripts = [expected_scripts(lang, path) for lang, path in source.sides()]
    work = functools.partial(clean_chunk, scripts=scripts, light=light)
    progress = Progress(f"clean | {source.name}", totals[0], unit="lines")
    counts = np.zeros(len(REASONS), dtype=np.int64)
    repeats: List[np.ndarray] = []
    with ExitStack() as stack:
        temporary = [stack.enter_context(atomic_path(path)) for path in outputs]
        streams = [stack.enter_context(open(path, "wb")) for path in temporary]
        *texts, dropped = streams[: len(paths) + 1]
        for chunk in ordered_map(work, _raw_chunks(paths), workers):
            for stream, text in zip(texts, chunk.texts):
                stream.write(text)
            dropped.write(chunk.dropped)
            if light:
                repeats.append(chunk.keys[:, 0])
            else:
                streams[-1].write(chunk.keys.astype("<u8").tobytes())
            counts += chunk.counts
            progress.add(int(chunk.counts.sum()))
        if not light:
            streams[-1].flush()
    count = Count("clean", source.name, totals[0], int(counts[0]), _by_reason(counts))
    _say(count, scripts, progress, repeats)
    return asdict(count)


def _by_reason(counts: np.ndarray) -> Dict[str, int]:
    return {reason: int(n) for reason, n in zip(REASONS[1:], counts[1:]) if n}


def _say(count: Count, scripts: List[FrozenSet[str]], progress: Progress, repeats: List[np.ndarray]) -> None:
    dropped = ", ".join(f"{reason} {n:,}" for reason, n in count.dropped.items()) or "nothing"
    expected = " and ".join("+".join(sorted(wanted)) or "any script" for wanted in scripts)
    logger.info(
        f"clean | {count.corpus} | {expected} | {count.n_in:,} in, {count.n_out:,} out | dropped: {dropped} | "
        f"{progress.seconds:.1f} s, {progress.rate:,.0f} lines/s"
    )
    if repeats:
        keys = np.concatenate(repeats)
        if again := len(keys) - len(np.unique(keys)):
            logger.info(
                f"clean | {count.corpus} | {again:,} sentences stand there more than once; evaluation text is kept"
            )


def clean_step(source: Source, data: Path) -> Step:
    """The step that cleans one corpus; its outputs as :func:`clean_corpus` wants them."""
    folder = data / ("clean" if source.split == "valid" else "filtered")
    outputs = [folder / f"{source.name}.{lang}" for lang, _ in source.sides()]
    outputs.append(data / "dropped" / f"{source.name}.clean.tsv.gz")
    if source.split == "train":
        outputs.append(data / "filtered" / f"{source.name}.keys")
    names = "MAX_CHARACTERS MAX_LENGTH_RATIO RATIO_FREE_CHARACTERS MIN_SCRIPT_SHARE MIN_LETTER_SHARE".split()
    options = {"languages": [lang for lang, _ in source.sides()], "split": source.split}
    options["limits"] = [getattr(defaults, name) for name in names]
    return Step(f"clean.{source.name}", [Path(path) for _, path in source.sides()], outputs, options, CODE)


def clean_all(plan: Plan, data: Path, workers: int) -> None:
    """Clean every corpus of the plan that has changed.

    Raises:
        DataError: see :func:`clean_corpus`; also when an evaluation set has no pair at all.
    """
    stamps = Stamps(data)
    for source in plan.sources:
        step = clean_step(source, data)
        count = stamps.run(step, functools.partial(clean_corpus, source, step.outputs, workers))
        if source.split == "valid" and not count["n_out"]:
            raise DataError(
                f"{source.src} and {source.tgt} hold no pair with text on both sides, so nothing to validate on."
            )
    stamps.save()


def main(args: Namespace) -> None:
    """Clean what DATA/plan.json names."""
    clean_all(read_plan(args.data), Path(args.data), available_workers(args.workers))


def data_parser(prog: str, description: str) -> Any:
    """The options that every stage has."""
    parser = make_parser(prog, description, f"python data_prep/{prog} --data work/swa")
    parser.add_argument("--data", required=True, metavar="DIR", help="data directory with the plan.json of prepare.sh")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes; 0: all cores")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(data_parser("clean.py", "Tidy and filter the corpora of a data directory."), main))
