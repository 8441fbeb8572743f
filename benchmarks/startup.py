"""Opening a data directory and planning its first epoch: seconds and memory for two sizes, to see what grows.

    python benchmarks/startup.py                           100,000 and 1,000,000 pairs, seconds
    python benchmarks/startup.py --pairs 50_000_000        5 and 50 million: 12 bytes of index a pair, the rest is sparse

The directory is made here: binarised sentences of drawn lengths whose pieces are a hole in a sparse file, and teacher
embeddings that are another. Each size is opened in a process of its own, by the functions that the task calls:

    open    the manifest, the binarised files and the embeddings, every count checked
    plan    the batches of the first epoch
    epoch   the totals of its updates, and fairseq's iterator over it
    batch   the first batch

Memory is that which the process holds itself (anonymous pages, the peak in brackets): what is memory-mapped costs no more
than the page cache. "bytes a pair" is its growth from the smaller size to the larger.
"""

import argparse
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import common
import numpy as np
from common import Run, System

STEPS = ("open", "plan", "epoch", "batch")
CHUNK = 1 << 20
VOCABULARY = 8000


def make_data(folder: Path, pairs: int, dim: int, seed: int) -> None:
    """A data directory of so many pairs; little of it takes room on the disk."""
    from fairseq_distill.formats.dictionary import SPECIALS, Dictionary
    from fairseq_distill.formats.embeddings import embedding_file_bytes, header_bytes
    from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher, write_manifest
    from fairseq_distill.text import NORMALISER

    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    magic = b"MMIDIDX\x00\x00"  # fairseq's mmap layout: version 1, type 8 is uint16
    start = 0
    with open(folder / "train.idx", "wb") as lengths_at, open(folder / "train.idx", "r+b") as pointers_at:
        lengths_at.write(magic + struct.pack("<QBQ", 1, 8, pairs))
        pointers_at.seek(lengths_at.tell() + 4 * pairs)
        for first in range(0, pairs, CHUNK):
            n = min(CHUNK, pairs - first)
            lengths = np.clip(random.lognormal(3.2, 0.5, n), 2, 250).astype(np.int32)
            ends = start + np.cumsum(lengths, dtype=np.int64)
            lengths_at.write(lengths.tobytes())
            pointers_at.write(((ends - lengths) * 2).tobytes())
            start = int(ends[-1])
    with open(folder / "train.bin", "wb") as stream:
        stream.truncate(2 * start)
    with open(folder / "train.npy", "wb") as stream:
        stream.write(header_bytes(pairs, dim, "float16"))
        stream.truncate(embedding_file_bytes(pairs, dim, "float16"))
    symbols = [*SPECIALS, *(f"\u2581piece{number}" for number in range(VOCABULARY - len(SPECIALS)))]
    (folder / "dict.txt").write_text(Dictionary(symbols).text, encoding="utf-8")
    corpus = Corpus("drawn", "distil", "train", "swh", pairs, "train", "train.swh", "eng", "train.eng", ["train.npy"])
    teacher = Teacher("file:drawn", "drawn", dim, "mean", "eng")
    write_manifest(folder, Manifest(["swh"], teacher, NORMALISER, "spm.model", "dict.txt", [corpus]))


def anonymous_mb() -> float:
    """What the process holds beside mapped files."""
    with open("/proc/self/status", encoding="ascii") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("RssAnon")) / 1024


class Peak:
    """The greatest of :func:`anonymous_mb` while the context is open, looked at every few milliseconds."""

    def __enter__(self) -> "Peak":
        self.mb, self._open = anonymous_mb(), True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._open:
            self.mb = max(self.mb, anonymous_mb())
            time.sleep(0.005)

    def __exit__(self, *error: object) -> None:
        self._open = False
        self._thread.join()
        self.mb = max(self.mb, anonymous_mb())


def make_opening(folder: Path, args: argparse.Namespace) -> Callable[[], Run]:
    """A turn opens the directory and plans."""
    from fairseq_distill import defaults
    from fairseq_distill.data.corpora import Collection, open_part
    from fairseq_distill.data.curriculum import Curriculum
    from fairseq_distill.data.fairseq_datasets import PlannedBatches, TrainingData
    from fairseq_distill.data.mask_units import MaskText, MonolingualText
    from fairseq_distill.data.masking import MaskPolicy
    from fairseq_distill.data.planning import EpochPlanner
    from fairseq_distill.formats.manifest import read_manifest

    before = anonymous_mb()
    word_start = np.ones(VOCABULARY + 1, dtype=bool)

    def steps() -> List[Callable[[Any], Any]]:
        def open_data(_: Any) -> TrainingData:
            manifest = read_manifest(folder)
            parts = [open_part(folder, corpus, manifest.teacher.dim, 1, "drawn") for corpus in manifest.select("train")]
            distil = Collection(parts, defaults.MAX_LENGTH_PIECES, word_start)
            mask = MaskText(MonolingualText([], defaults.MAX_LENGTH_PIECES, word_start))
            return TrainingData(distil, mask, ["swh"], args.dim, VOCABULARY, MaskPolicy())

        def plan(data: TrainingData) -> Any:
            limits = (defaults.TRAIN_MAX_TOKENS, 1 << 30)
            planner = EpochPlanner(data.distil, data.mask, Curriculum(), 1.0, 0.0, args.seed, 1, [1], *limits)
            planned = planner.plan(1)
            planner.plan = lambda epoch: planned  # type: ignore[method-assign]  # the next step is timed without it
            return data, planner

        def epoch(both: Any) -> PlannedBatches:
            return PlannedBatches(*both, 1, seed=args.seed)

        return [open_data, plan, epoch, lambda batches: batches.dataset[0]]

    def turn() -> Run:
        found: Run = {"seconds": 0.0}
        value: Any = None
        kept = []
        for name, step in zip(STEPS, steps()):
            with Peak() as peak:
                found[name], value = common.timed(lambda: step(value), args.cpu_time)
            kept.append(value)
            found["seconds"] += found[name]
            found[f"{name} mb"], found[f"{name} peak"] = anonymous_mb() - before, peak.mb - before
        return found

    return turn


def report(runs: Dict[str, List[Run]], sizes: List[int]) -> None:
    """A table of the two sizes."""
    few, many = runs.values()
    print("| step | " + " | ".join(f"{n:,} pairs: s, MB (peak)" for n in sizes) + " | bytes a pair (peak) |")
    print("|---|---|---|---|")
    for name in STEPS:
        columns = [
            f"{common.median(each, name):.2f}, {each[0][f'{name} mb']:,.0f} ({each[0][f'{name} peak']:,.0f})"
            for each in (few, many)
        ]
        growth = [
            (many[0][f"{name} {what}"] - few[0][f"{name} {what}"]) * 2**20 / (sizes[1] - sizes[0])
            for what in ("mb", "peak")
        ]
        print(f"| {name} | {columns[0]} | {columns[1]} | {growth[0]:.1f} ({growth[1]:.1f}) |")
    total = [f"{common.median(each, 'seconds'):.2f}" for each in (few, many)]
    print(f"| all | {total[0]} | {total[1]} | |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="of the larger corpus; the smaller has a tenth")
    parser.add_argument("--dim", type=int, default=1024, help="width of the teacher's embeddings")
    parser.add_argument("--folder", type=Path, help="where to put the data; a temporary folder if not given")
    common.add_options(parser, repeats=1)
    args = parser.parse_args()
    sizes = [max(1, args.pairs // 10), args.pairs]
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        systems = {}
        for pairs in sizes:
            folder = Path(temporary) / str(pairs)
            make_data(folder, pairs, args.dim, args.seed)
            systems[f"{pairs:,} pairs"] = System(make_opening, (folder, args))
        print(common.machine(args))
        report(common.in_turns(systems, args.repeats, args.threads), sizes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
