"""Precision and recall of mining by margin, k and threshold, on pairs that data_prep/hide_pairs.py hid: what recipes/calibrate.sh ends with.

python recipes/calibrate_mining.py --pair swa-eng --known work/calibration/text --src-emb S.npy --tgt-emb T.npy --output work/calibration
"""

import argparse
import logging
import sys
from pathlib import Path

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.calibration import calibrate, curve_rows, known_lines, sweep
from fairseq_distill.formats.calibration import CURVE, NAME, Calibration, Cut, write_calibration, write_curve
from fairseq_distill.formats.embeddings import open_embeddings, read_info, require_same_space
from fairseq_distill.formats.lines import PackedLines, iter_lines, read_lines
from fairseq_distill.languages import parse_pair
from fairseq_distill.mining.matching import RETRIEVALS
from fairseq_distill.progress import comparing

logger = logging.getLogger(__name__)


def encoder_of(path: str) -> str:
    """The name and hash of what made an embedding file, from its sidecar."""
    info = read_info(path)
    return "unknown" if info is None else info.encoder


def print_table(calibration: Calibration) -> None:
    """The recommended cuts on stdout."""
    print(
        f"\n{calibration.pair}: {calibration.hidden:,} hidden pairs and {calibration.alone:,} lines without partner among "
        f"{calibration.searched[0]:,} and {calibration.searched[1]:,} lines; precision is a lower bound"
    )
    wanted = f"precision {calibration.wanted_precision:g}"
    print(
        f"{'margin':9} {'k':>3}  {'cut':14} {'threshold':>9}  {'pairs':>9}  {'precision':>9}  {'recall':>6}  {'F1':>6}"
    )
    for setting in calibration.settings:
        cuts = (("best F1", setting.best_f1), (wanted, setting.at_precision), ("default", setting.at_default))
        for name, cut in cuts:
            if cut is not None:
                print(f"{setting.margin:9} {setting.k:3}  {name:14} {_row(cut)}")
    best = calibration.recommended
    for name, cut in (("best F1", best.best_f1), (wanted, best.at_precision)):
        if cut is None:
            print(f"{name} is not reached with {best.margin} margin and k = {best.k}")
            continue
        low, high = cut.intervals["threshold"]
        print(
            f"{name}: fairseq-mine --margin {best.margin} -k {best.k} --threshold {cut.threshold:.4f}   "
            f"(95% interval of the threshold {low:.4f} to {high:.4f})"
        )


def _row(cut: Cut) -> str:
    return f"{cut.threshold:9.4f}  {cut.pairs:9,}  {cut.precision:9.3f}  {cut.recall:6.3f}  {cut.f1:6.3f}"


def main(args: argparse.Namespace) -> None:
    """Sweep, choose, write and print."""
    langs = [language.code for language in parse_pair(args.pair)]
    folder = Path(args.known)
    texts = [PackedLines(iter_lines(folder / f"mono.{lang}")) for lang in langs]
    hidden = [read_lines(folder / f"hidden.{lang}") for lang in langs]
    alone = [read_lines(path) if (path := folder / f"alone.{lang}").is_file() else [] for lang in langs]
    known = known_lines(texts[0], texts[1], (hidden[0], hidden[1]), (alone[0], alone[1]))
    require_same_space(args.src_emb, args.tgt_emb, args.force)
    src, tgt = open_embeddings(args.src_emb), open_embeddings(args.tgt_emb)
    output = Path(args.output)
    if not output.is_dir():
        raise DataError(f"{output} is not a folder; make it first.")
    try:
        ks = [int(k) for k in args.k.split(",")]
    except ValueError as error:
        raise ConfigError(f"-k {args.k!r} is not a list of whole numbers such as 4,8,16.") from error
    with comparing("calibrate") as progress:
        names = args.src_emb, args.tgt_emb
        curves = sweep(src, tgt, known, ks=ks, retrieval=args.retrieval, names=names, progress=progress)
    settings = calibrate(curves, known.units, args.precision, seed=args.seed)
    calibration = Calibration(
        pair="-".join(langs),
        hidden=known.hidden,
        alone=known.units - known.hidden,
        searched=[len(texts[0]), len(texts[1])],
        retrieval=args.retrieval,
        wanted_precision=args.precision,
        settings=settings,
        about={
            "src_encoder": encoder_of(args.src_emb),
            "tgt_encoder": encoder_of(args.tgt_emb),
            "bootstrap_seed": args.seed,
            "bootstrap_samples": defaults.BOOTSTRAP_SAMPLES,
            "version": __version__,
        },
    )
    write_curve(output / CURVE, curve_rows(curves))
    write_calibration(output / NAME, calibration)
    print_table(calibration)


def cli_main() -> int:
    parser = make_parser(
        "calibrate_mining.py",
        "Precision and recall of mining by margin, k and threshold, on hidden pairs.",
        "python recipes/calibrate_mining.py --pair swa-eng --known work/calibration/text --src-emb swa.npy "
        "--tgt-emb eng.npy --output work/calibration",
    )
    parser.add_argument("--pair", required=True, metavar="A-B", help="languages; A is the source of mining")
    parser.add_argument("--known", required=True, metavar="DIR", help="what data_prep/hide_pairs.py wrote")
    parser.add_argument("--src-emb", required=True, metavar="FILE", help="embeddings of DIR/mono.A")
    parser.add_argument("--tgt-emb", required=True, metavar="FILE", help="embeddings of DIR/mono.B")
    parser.add_argument("--output", required=True, metavar="DIR", help=f"folder for {NAME} and {CURVE}")
    parser.add_argument(
        "-k", default=",".join(map(str, defaults.CALIBRATION_NEIGHBOURHOODS)), metavar="K,K", help="neighbours to try"
    )
    parser.add_argument("--retrieval", choices=RETRIEVALS, default=defaults.RETRIEVAL, help="as of fairseq-mine")
    parser.add_argument(
        "--precision",
        type=float,
        default=defaults.CALIBRATION_PRECISION,
        metavar="P",
        help="wanted, above 0, at most 1",
    )
    parser.add_argument("--seed", type=seed_number, default=1, help="of the bootstrap")
    parser.add_argument("--force", action="store_true", help="calibrate even if the teacher spaces differ")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
