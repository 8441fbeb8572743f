"""Stage 3: the student's text as SentencePiece pieces, line for line, cut to the longest sentence the student reads."""

import functools
import logging
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
from chunks import available_workers, in_chunks, ordered_map
from clean import data_parser
from deduplicate import kept_sources
from plan_file import Source, read_plan
from stamps import HERE, PACKAGE, Stamps, Step
from train_spm import DICTIONARY, MODEL

from fairseq_distill import defaults
from fairseq_distill.cli.common import run_command
from fairseq_distill.formats.atomic import atomic_path
from fairseq_distill.formats.dictionary import SPECIALS, UNK, Dictionary, read_dictionary
from fairseq_distill.formats.lines import count_lines, iter_lines
from fairseq_distill.progress import Progress
from fairseq_distill.text import NORMALISER, StudentTokenizer

logger = logging.getLogger(__name__)


def unknown_word(dictionary: Dictionary) -> str:
    """What fairseq reads as row 3: ``<unk>``, or a word that is not in the dictionary when ``<unk>`` has a second row.

    Of a repeated symbol fairseq takes the last row, for the specials too: in a LASER dictionary ``<unk>`` would become 4.
    """
    word = SPECIALS[UNK]
    while word in dictionary.symbols[len(SPECIALS) :]:
        word += "_"
    return word


@functools.lru_cache(maxsize=1)
def _load(model: str, dictionary: str) -> Tuple[StudentTokenizer, np.ndarray]:
    known = read_dictionary(dictionary)
    words = np.array(known.symbols, dtype=object)
    words[UNK] = unknown_word(known)
    return StudentTokenizer(Path(model).read_bytes(), known), words


def encode_lines(lines: List[str], model: str, dictionary: str) -> Tuple[bytes, int, int]:
    """Pieces of each line, spaces between, as bytes of a file; the number of pieces, and of unknown ones.

    What the model does not know is written as ``<unk>`` (see :func:`unknown_word`), never as it stands: SentencePiece hands out a run of unknown
    letters as one piece, and a text may hold ``</s>`` in letters that are unknown to it.
    """
    tokenizer, symbols = _load(model, dictionary)
    rows = [row[:-1] for row in tokenizer.encode(lines, defaults.MAX_LENGTH_PIECES)]  # fairseq appends the EOS
    unknown = sum(int((row == UNK).sum()) for row in rows)
    return "".join(" ".join(symbols[row]) + "\n" for row in rows).encode("utf-8"), sum(map(len, rows)), unknown


def encode_corpus(source: Source, lang: str, data: Path, workers: int) -> Dict[str, Any]:
    """Encode one side of a corpus; its number of lines and pieces, and the share of unknown ones is logged."""
    name = f"{source.name}.{lang}"
    text = data / "clean" / name
    work = functools.partial(encode_lines, model=str(data / MODEL), dictionary=str(data / DICTIONARY))
    label = f"encode | {side_name(source, lang)}"
    progress = Progress(label, count_lines(text), unit="lines")
    n_pieces = n_unknown = 0
    with atomic_path(data / "pieces" / name) as temporary, open(temporary, "wb") as stream:
        for block, pieces, unknown in ordered_map(work, in_chunks(iter_lines(text)), workers):
            stream.write(block)
            n_pieces += pieces
            n_unknown += unknown
            progress.add(block.count(b"\n"))
    logger.info(
        f"{label} | {progress.done:,} lines, {n_pieces:,} pieces, "
        f"{n_pieces / max(progress.done, 1):.1f} a line, "
        f"{100 * n_unknown / max(n_pieces, 1):.2f}% unknown | {progress.seconds:.1f} s, {progress.rate:,.0f} lines/s"
    )
    return {"lines": progress.done, "pieces": n_pieces, "unknown": n_unknown}


def side_name(source: Source, lang: str) -> str:
    """How the steps of one side of a corpus are called: ``SPLIT.ID``, with the language for the teacher's side."""
    return source.name if lang == source.lang else f"{source.name}.{lang}"


def encode_step(source: Source, lang: str, data: Path) -> Step:
    """The step that encodes one side of a corpus."""
    inputs = [data / "clean" / f"{source.name}.{lang}", data / MODEL, data / DICTIONARY]
    return Step(
        f"encode.{side_name(source, lang)}",
        inputs,
        [data / "pieces" / f"{source.name}.{lang}"],
        {"longest": defaults.MAX_LENGTH_PIECES, "normaliser": NORMALISER},
        [HERE / "encode_spm.py", PACKAGE / "text.py"],
    )


def main(args: Namespace) -> None:
    """Encode every corpus whose text or model has changed."""
    data, plan = Path(args.data), read_plan(args.data)
    stamps = Stamps(data)
    workers = available_workers(args.workers)
    for source in kept_sources(plan, stamps):
        for lang in plan.student_langs(source):
            stamps.run(encode_step(source, lang, data), functools.partial(encode_corpus, source, lang, data, workers))
    stamps.save()


if __name__ == "__main__":
    sys.exit(run_command(data_parser("encode_spm.py", "Encode the student's text with its SentencePiece model."), main))
