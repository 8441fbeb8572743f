"""``fairseq-embed --neighbours``: what an encoder finds in an embedded text for sentences that are typed, or in a file."""

import argparse
import itertools
import sys
from typing import Iterator, List

from fairseq_distill import defaults
from fairseq_distill.cli.common import one_line
from fairseq_distill.cli.encoder_options import open_named
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file
from fairseq_distill.mining.lookup import Lookup
from fairseq_distill.progress import Progress, wipe

_BLOCK = 1024  # sentences of a file that search together


def add_look_up_options(parser: argparse.ArgumentParser) -> None:
    """``--neighbours``, ``-k``, ``--force``."""
    group = parser.add_argument_group(
        "neighbours",
        "For each sentence of --input, or that is typed, lines of cosine<TAB>line number<TAB>text, then an empty one.",
    )
    group.add_argument(
        "--neighbours",
        nargs=2,
        metavar=("TEXT", "EMBEDDINGS"),
        help="where to look: a text and its vectors, .npy or raw of type --dtype",
    )
    group.add_argument(
        "-k", type=int, default=defaults.LOOKED_UP, metavar="K", help="how many neighbours; equal lines count once"
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="go on although the vectors are of another teacher space or of another text",
    )


def look_up(args: argparse.Namespace) -> None:
    """Print the neighbours of each sentence on standard output; on a terminal ask for them one by one."""
    if args.k < 1:
        raise ConfigError(f"k is {args.k}, but must be at least 1.")
    text, vectors = args.neighbours
    source = args.input or "-"
    for file in (text, vectors, *([source] if source != "-" else [])):
        require_file(file)
    encoder = open_named(args.path, args)
    typed = source == "-" and sys.stdin.isatty()
    with Lookup(encoder, text, vectors, force=args.force, dtype=args.dtype) as lookup:
        progress = Progress("neighbours", None if source == "-" else count_lines(source))
        for sentences in _asked(args.log_format == "text") if typed else _blocks(iter_lines(source)):
            for found in lookup.find(sentences, args.k):
                wipe()
                for neighbour in found:
                    print(f"{neighbour.cosine:.6f}", neighbour.line, _shown(neighbour.text), sep="\t")
                print(flush=typed)
            if not typed:
                progress.add(len(sentences))
    progress.line.wipe()


def _asked(prompt: bool) -> Iterator[List[str]]:
    """What the user types, sentence by sentence, until the end of file; empty lines ask again."""
    lines = iter_lines("-")
    while True:
        print("sentence (end: Ctrl-D)> " if prompt else "", end="", file=sys.stderr, flush=True)
        line = next(lines, None)
        if line is None:
            return
        if line.strip():
            yield [line]


def _blocks(lines: Iterator[str]) -> Iterator[List[str]]:
    while block := list(itertools.islice(lines, _BLOCK)):
        yield block


def _shown(text: str) -> str:
    """A line of the text in one column, on a terminal without what could move its cursor."""
    return one_line(text) if sys.stdout.isatty() else text.replace("\t", " ")
