"""BLEU and chrF of translation systems on one test set, each against the first by paired bootstrap: WORK/results.json and a table.

    python recipes/nmt/score.py --work work/nmt --pair swa-eng --references test.eng \
           --system bitext=translations/bitext.eng --system mined=translations/mined.eng
"""

import argparse
import json
import logging
import os
import platform
import sys
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.training_log import VALID, read_training_log
from fairseq_distill.formats.json_file import write_object
from fairseq_distill.formats.lines import count_lines, read_lines, require_same_length

logger = logging.getLogger(__name__)


@dataclass
class Score:
    """One metric of one system.

    Attributes:
        score: on the whole test set.
        mean, half_width: of the bootstrap; the 95% interval is mean - half_width to mean + half_width.
        p_value: of the difference to the first system (two-sided); None for the first.
    """

    score: float
    mean: float
    half_width: float
    p_value: Optional[float] = None


@dataclass
class System:
    """One translation system: what it was trained on and for how long, and its scores by metric."""

    name: str
    pairs: int
    added: Optional[Dict[str, Any]]
    updates: Optional[int]
    best_update: Optional[int]
    valid_bleu: Optional[float]
    scores: Dict[str, Score] = field(default_factory=dict)


def paired_scores(
    systems: Sequence[Tuple[str, List[str]]], references: List[str], samples: int, seed: int
) -> Tuple[Dict[str, Dict[str, Score]], Dict[str, str]]:
    """sacrebleu's paired bootstrap of BLEU and chrF; the first system is what the others are compared with.

    Args:
        systems: (name, translations) of at least two systems.
        references: one for each line.
        samples: drawn with replacement.
        seed: of the drawing.

    Returns:
        system -> metric -> score; metric -> sacrebleu's signature.

    Raises:
        DataError: a system has not as many lines as there are references.
        ConfigError: fewer than two systems.
    """
    if len(systems) < 2:
        raise ConfigError(f"{len(systems)} system given: a comparison needs two or more.")
    for name, lines in systems:
        require_same_length("the references", len(references), f"the translations of {name}", len(lines))
    os.environ["SACREBLEU_SEED"] = str(seed)  # read by sacrebleu when it draws
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    metrics = {"BLEU": BLEU(references=[references]), "chrF": CHRF(references=[references])}
    test = PairedTest(list(systems), metrics, references=None, test_type="bs", n_samples=samples)
    signatures, table = test()
    found: Dict[str, Dict[str, Score]] = {name: {} for name, _ in systems}
    said: Dict[str, str] = {}
    for metric in metrics:
        column = next(name for name in table if name != "System" and name.startswith(metric))
        said[metric] = signatures[column].format(short=False)
        judged: List[Any] = list(table[column])
        for (name, lines), one in zip(systems, judged):
            # Of two systems with the same translations sacrebleu says p = 1 / (samples + 1): no sample differs by more.
            p_value = 1.0 if name != systems[0][0] and lines == systems[0][1] else one.p_value
            score = Score(float(one.score), float(one.mean), float(one.ci))
            found[name][metric] = score if p_value is None else replace(score, p_value=float(p_value))
    return found, said


def facts_of(name: str, work: Path, tgt: str) -> System:
    """What a system was trained on, from the files that run.sh leaves."""
    base = count_lines(work / "text" / f"bitext.{tgt}")
    counts = work / "text" / f"{name}.counts.json"
    try:
        added = json.loads(counts.read_text(encoding="utf-8")) if counts.is_file() else None
    except ValueError as error:
        raise DataError(f"{counts} is damaged: {error}; run recipes/nmt/run.sh again.") from error
    pairs = base if name == "bitext" else base + count_lines(work / "text" / f"{name}.{tgt}")
    log = work / "log" / f"train.{name}.json.log"
    bleu = read_training_log(log).curve(VALID, "bleu") if log.is_file() else {}
    best = max(bleu, key=lambda update: (bleu[update], update)) if bleu else None
    return System(name, pairs, added, max(bleu, default=None), best, bleu[best] if best is not None else None)


def print_table(systems: Sequence[System], pair: str, n: int, signatures: Dict[str, str]) -> None:
    """The table on stdout."""
    print(f"\n{pair}, {n:,} test sentences; higher is better; p: difference to {systems[0].name}, paired bootstrap")
    width = max(len("system"), *(len(system.name) for system in systems))
    print(
        f"{'system':{width}}  {'pairs':>9}  {'update':>7}"
        + "".join(f"  {metric:>5} {'95%':>12} {'p':>6}" for metric in signatures)
    )
    for system in systems:
        cells = []
        for metric in signatures:
            score = system.scores[metric]
            interval = f"{score.mean - score.half_width:.1f} to {score.mean + score.half_width:.1f}"
            cells.append(
                f"  {score.score:5.2f} {interval:>12} {'' if score.p_value is None else f'{score.p_value:.3f}':>6}"
            )
        print(f"{system.name:{width}}  {system.pairs:9,}  {system.best_update or 0:7,}" + "".join(cells))
    print(*signatures.values(), sep="\n")


def main(args: argparse.Namespace) -> None:
    """Score, write, print."""
    work, tgt = Path(args.work), args.pair.partition("-")[2]
    named = []
    for word in args.system:
        name, sign, path = word.partition("=")
        if not sign or not name:
            raise ConfigError(f"--system {word!r} is not of the form NAME=FILE.")
        named.append((name, read_lines(path)))
    references = read_lines(args.references)
    scores, signatures = paired_scores(named, references, defaults.BOOTSTRAP_SAMPLES, args.seed)
    systems = [facts_of(name, work, tgt) for name, _ in named]
    for system in systems:
        system.scores = scores[system.name]
    results = {
        "format_version": 1,
        "pair": args.pair,
        "test": args.references,
        "n": len(references),
        "systems": [asdict(system) for system in systems],
        "signatures": signatures,
        "bootstrap": {"samples": defaults.BOOTSTRAP_SAMPLES, "seed": args.seed},
        "command": args.command,
        "versions": {
            "fairseq_distill": __version__,
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in ("torch", "sacrebleu", "sentencepiece")},
        },
    }
    write_object(work / "results.json", results)
    print_table(systems, args.pair, len(references), signatures)


def cli_main() -> int:
    parser = make_parser(
        "score.py",
        "BLEU and chrF of translation systems on one test set, with sacrebleu's paired bootstrap.",
        "python recipes/nmt/score.py --work work/nmt --pair swa-eng --references test.eng "
        "--system bitext=bitext.eng --system mined=mined.eng",
    )
    parser.add_argument("--work", required=True, metavar="DIR", help="work directory of recipes/nmt/run.sh")
    parser.add_argument("--pair", required=True, metavar="A-B", help="source and target language")
    parser.add_argument("--references", required=True, metavar="FILE", help="target side of the test set")
    parser.add_argument(
        "--system", required=True, action="append", metavar="NAME=FILE", help="translations; the first is the baseline"
    )
    parser.add_argument("--seed", type=seed_number, default=1, help="of the bootstrap")
    parser.add_argument("--command", default="", help="the command that made the run")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
