"""``fairseq-mine``: mines the pairs of two texts that seem to be translations, or scores those of a bitext."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Optional, Sequence

from fairseq_distill import defaults
from fairseq_distill.cli.common import logger, make_parser, run_command, seed_number
from fairseq_distill.cli.search_options import add_embedding_options, add_margin_options, byte_size
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.shards import parse_shard
from fairseq_distill.mining.choice import kinds_to_try
from fairseq_distill.mining.job import check_scoring, open_job
from fairseq_distill.mining.knn import PRECISIONS
from fairseq_distill.mining.machine import measure_machine
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.mining.matching import RETRIEVALS
from fairseq_distill.mining.pairs import mine
from fairseq_distill.mining.plan import describe, plan_mining
from fairseq_distill.mining.scoring import score
from fairseq_distill.mining.search import SEARCHES, check_search
from fairseq_distill.mining.shards import search_shard
from fairseq_distill.progress import comparing

MODES = ("mine", "score")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-mine",
        "Find translations between two texts by the embeddings of their lines: k-NN by cosine in both "
        "directions, margin scores, one of four ways to choose pairs. Writes score<TAB>source<TAB>target, best first. "
        "With --mode score line i of the two texts is a pair already: all are scored, in the order of the lines.",
        "fairseq-mine --src-text swa.txt --tgt-text eng.txt --src-emb swa.npy --tgt-emb eng.npy --output mined.tsv.gz\n"
        "  fairseq-mine --mode score --src-text all.swa --tgt-text all.eng --src-emb all.swa.npy --tgt-emb all.eng.npy "
        "--provenance --output scored.tsv",
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="mine",
        help="mine: find pairs; score: score each line of a bitext, repeated lines too, and write all in file order, or "
        "those above --threshold; a pair with a blank side scores -1",
    )
    _add_file_options(parser)
    _add_choice_options(parser)
    _add_output_options(parser)
    add_embedding_options(parser)
    _add_search_options(parser)
    _add_shard_options(parser)
    _add_plan_options(parser)
    parser.add_argument("--json", action="store_true", help="print what was read and kept as JSON on standard output")
    return parser


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    """What is read and written; not ``required``, since ``--plan`` does without some."""
    parser.add_argument("--src-text", metavar="FILE", help="source text, one sentence a line; also .gz")
    parser.add_argument("--tgt-text", metavar="FILE", help="target text")
    parser.add_argument("--src-emb", metavar="FILE", help="its embeddings: .npy, or raw with --dim")
    parser.add_argument("--tgt-emb", metavar="FILE", help="embeddings of the target text")
    parser.add_argument("--output", metavar="FILE", help="mined pairs; packed if the name ends in .gz")


def _add_choice_options(parser: argparse.ArgumentParser) -> None:
    """How pairs are scored and chosen."""
    add_margin_options(parser, MARGINS, defaults.MARGIN)
    parser.add_argument(
        "--retrieval",
        choices=RETRIEVALS,
        default=defaults.RETRIEVAL,
        help="of --mode mine. fwd: best target of each source; bwd: best source of each target; intersect: where both agree; "
        "max: all of these, best first, each sentence used once",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help=f"keep pairs with a greater score; if not given {defaults.MARGIN_THRESHOLD} for the ratio (meant for k=4) "
        "and none for the other margins, whose scale depends on the encoder, nor for --mode score",
    )
    parser.add_argument(
        "--no-unify",
        dest="unify",
        action="store_false",
        help="search all lines; otherwise blank lines are left out and of repeated lines the first stands for all",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    """What is written of each pair."""
    parser.add_argument("--with-ids", action="store_true", help="add the two line numbers, counted from 1")
    parser.add_argument(
        "--provenance",
        action="store_true",
        help="add the line numbers, the cosine, and a hash of each line (BLAKE2b, 64 bits); say in OUTPUT.json of which "
        "files with which SHA-256, by which encoders and with which options the pairs were made",
    )
    parser.add_argument(
        "--scores",
        metavar="FILE",
        help="also write the score of each sentence's best candidate, or of each pair of --mode score, to this .npy file",
    )


def _add_plan_options(parser: argparse.ArgumentParser) -> None:
    """To learn what a run would take."""
    parser.add_argument(
        "--plan",
        action="store_true",
        help="mine nothing: measure this machine for a second and print what the run would take, in time and memory",
    )
    parser.add_argument(
        "--plan-size",
        nargs=3,
        type=int,
        metavar=("N", "M", "E"),
        help="--plan for so many sources, targets, and so wide vectors, instead of the files' (their type by --dtype)",
    )


def _add_search_options(parser: argparse.ArgumentParser) -> None:
    """How neighbours are found, and with how much memory."""
    parser.add_argument(
        "--max-memory",
        type=byte_size,
        default=defaults.MAX_MEMORY,
        metavar="SIZE",
        help="work buffers of the search, in bytes or as 300M, 2G; results and candidates come on top",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the product that finds candidates; pairs and scores are the same. auto: int8 or bfloat16 where it is faster",
    )
    parser.add_argument(
        "--search",
        choices=SEARCHES,
        default=defaults.SEARCH,
        help="exact compares all pairs; approximate those of near clusters, and measures what that loses; auto: exact up "
        f"to {defaults.EXACT_WORK:.3g} multiplications (lines x lines x width), approximate above",
    )
    parser.add_argument(
        "--recall",
        type=float,
        default=defaults.RECALL,
        metavar="R",
        help="wanted of an approximate search, above 0 and at most 1: share of sentences whose nearest neighbour is found",
    )
    parser.add_argument(
        "--seed",
        type=seed_number,
        default=defaults.SEARCH_SEED,
        help="of the sentences that an approximate search samples",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, or cuda or cuda:INDEX for an exact search whose product runs on a GPU; pairs and scores are the same",
    )


def _add_shard_options(parser: argparse.ArgumentParser) -> None:
    """One search by several processes or machines."""
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="write no pairs, but the neighbours of part I of N of the sources, and of all targets in it, into OUT.shardIofN.npy",
    )
    parser.add_argument(
        "--join-shards",
        type=int,
        metavar="N",
        help="search nothing: the pairs from N shards of OUT, which stay; the margin, the threshold and a smaller -k are free",
    )


_NEEDED = ("src_text", "tgt_text", "src_emb", "tgt_emb", "output")
_OF_SEARCH = ("unify", "force", "dim", "dtype", "max_memory", "precision", "search", "recall", "seed", "device")
_PASSED = ("margin", "k", "threshold", "with_ids", "provenance", "scores", *_OF_SEARCH)


def _main(args: argparse.Namespace) -> None:
    if args.plan or args.plan_size:
        if args.shard or args.join_shards is not None:
            raise ConfigError("--plan predicts a whole run; leave out --shard and --join-shards.")
        _print_plan(args)
        return
    _require(args, _NEEDED)
    files = [getattr(args, name) for name in _NEEDED]
    options = {name: getattr(args, name) for name in _PASSED}
    if args.shard:
        _search_shard(args, files)
        return
    options["shards"] = args.join_shards
    if args.mode == "score" and args.retrieval != defaults.RETRIEVAL:
        raise ConfigError(f"--retrieval {args.retrieval} chooses pairs, but --mode score scores those that are given.")
    if args.mode == "mine" and args.threshold is None and args.margin != "ratio":
        logger.info(f"no threshold for the {args.margin} margin: every retrieved pair is kept (--threshold)")
    with comparing(args.mode) as progress:
        if args.mode == "score":
            result = score(*files, **options, progress=progress)
        else:
            result = mine(*files, **options, retrieval=args.retrieval, progress=progress)
    logger.info(str(result))
    if args.json:
        print(json.dumps(asdict(result)))


def _search_shard(args: argparse.Namespace, files: Sequence[str]) -> None:
    """The neighbours of one part; prints the file."""
    shard = parse_shard(args.shard)
    if args.join_shards is not None or args.scores or args.provenance:
        raise ConfigError(
            "--shard finds neighbours alone; --join-shards, --scores and --provenance belong to a run of their own."
        )
    check_scoring(args.margin, args.k)
    options = {name: getattr(args, name) for name in _OF_SEARCH}
    with comparing("mine") as progress:
        job = open_job((files[0], files[1]), (files[2], files[3]), files[4], progress=progress, **options)
        print(search_shard(job, shard, args.k))


def _require(args: argparse.Namespace, names: Sequence[str]) -> None:
    missing = ["--" + name.replace("_", "-") for name in names if getattr(args, name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} must be given; fairseq-mine --help shows an example.")


def _print_plan(args: argparse.Namespace) -> None:
    """The predicted time and memory, on standard output."""
    check_search(args.search, args.recall)
    if args.device != "cpu":
        raise ConfigError(f"--plan predicts for processors alone, not for --device {args.device}.")
    if args.k < 1:
        raise ConfigError(f"k is {args.k}, but must be at least 1.")
    if args.plan_size:
        (n, m, dim), dtype, files = args.plan_size, args.dtype or "float32", []
        if min(n, m, dim) < 1:
            raise ConfigError(f"--plan-size is {n} {m} {dim}, but each must be at least 1.")
    else:
        _require(args, ("src_emb", "tgt_emb"))
        src, tgt = (open_embeddings(path, args.dim, args.dtype) for path in (args.src_emb, args.tgt_emb))
        n, m, dim, dtype = len(src), len(tgt), src.shape[1], src.dtype.name
        files = [Path(args.src_emb), Path(args.tgt_emb)]
    machine = measure_machine(dim, dtype, kinds_to_try(args.precision, n, m, dim)[0], files)
    plan = plan_mining(n, m, dim, dtype, args.k, args.max_memory, args.search, machine)
    if args.json:
        print(json.dumps({**asdict(plan), "machine": asdict(machine)}))
    else:
        print(describe(plan, machine, args.max_memory))


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    """The console script; returns the exit code."""
    return run_command(_parser(), _main, argv)


if __name__ == "__main__":
    raise SystemExit(cli_main())
