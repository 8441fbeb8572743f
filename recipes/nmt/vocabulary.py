"""One SentencePiece model and fairseq dictionary for all systems of recipes/nmt, and texts as its pieces.

python recipes/nmt/vocabulary.py --size 4000 --output work/nmt text/bitext.swa text/bitext.eng …
python recipes/nmt/vocabulary.py --encode --output work/nmt text/train.swa text/train.eng …
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import sentencepiece
from spm_training import DICTIONARY, MODEL, train, without_reserved

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import atomic_path
from fairseq_distill.formats.dictionary import write_dictionary
from fairseq_distill.formats.lines import iter_lines, write_lines

logger = logging.getLogger(__name__)

N_SPECIAL = 3  # <unk> <s> </s>, the first ids of a SentencePiece model; fairseq has its own


def learn(texts: "list[str]", size: int, output: Path) -> int:
    """Write ``spm.model`` and ``dict.txt`` (id = SPM id + 1) learnt from cased text; how many pieces there are.

    Raises:
        DataError: a text is missing or empty.
        ConfigError: ``size`` is too small for the letters of the texts.
    """
    with tempfile.TemporaryDirectory(prefix="fairseq_distill_nmt.") as folder:
        joined = Path(folder) / "text"
        n = write_lines(joined, without_reserved([line for text in texts for line in iter_lines(text)]))
        if not n:
            raise DataError(f"{', '.join(texts)} hold no line to learn a vocabulary from.")
        model, found = train(joined, size, n)
    spm = sentencepiece.SentencePieceProcessor(model_proto=model)
    with atomic_path(output / MODEL) as temporary:
        temporary.write_bytes(model)
    write_dictionary(output / DICTIONARY, [spm.id_to_piece(i) for i in range(N_SPECIAL, spm.get_piece_size())])
    return found


def encode(text: Path, spm: sentencepiece.SentencePieceProcessor) -> Path:
    """Write ``train.pieces.swa`` for ``train.swa``: the same lines as pieces with spaces between; returns its path."""
    output = text.with_name(f"{text.stem}.pieces{text.suffix}")
    write_lines(output, (" ".join(spm.encode(line, out_type=str)) for line in iter_lines(text)))
    return output


def main(args: argparse.Namespace) -> None:
    """Learn, or encode."""
    output = Path(args.output)
    if args.encode:
        if not (output / MODEL).is_file():
            raise DataError(f"{output / MODEL} does not exist; learn it first, without --encode.")
        spm = sentencepiece.SentencePieceProcessor(model_file=str(output / MODEL))
        for text in args.text:
            encode(Path(text), spm)
        return
    if args.size is None:
        raise ConfigError("--size N is needed.")
    found = learn(args.text, args.size, output)
    logger.info(f"vocabulary | {found:,} pieces | {output / DICTIONARY}")


def cli_main() -> int:
    parser = make_parser(
        "vocabulary.py",
        __doc__.splitlines()[0],
        "python recipes/nmt/vocabulary.py --size 4000 --output work/nmt text/train.swa text/train.eng",
    )
    parser.add_argument("--size", type=int, metavar="N", help="pieces; as many as the text allows, if that is fewer")
    parser.add_argument("--encode", action="store_true", help="write the texts as pieces instead")
    parser.add_argument("--output", required=True, metavar="DIR", help=f"folder of {MODEL} and {DICTIONARY}")
    parser.add_argument("text", nargs="+", help="text files")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
