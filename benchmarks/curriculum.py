"""The variants of the progressive curriculum against each other, at equal updates.

    bash data_prep/prepare.sh --data DATA … --increments 4
    python benchmarks/curriculum.py --data DATA --work WORK [--updates 1000] [--seeds 1 2 3] [--variants none linear …]

Each run trains one student with the same number of updates and the same pieces an update, so the load of the machine changes
nothing. xsim is that of the last update, on the valid sets of DATA, mean over languages. A run that is finished is not made again:
interrupt it, and call it again. Prints a table; the exact options of each variant are in VARIANTS.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fairseq_distill import defaults  # noqa: E402
from fairseq_distill.evaluation.training_log import VALID, read_training_log  # noqa: E402

_MLM = ["--mask-share", str(defaults.MASK_SHARE)]


def progressive(*options: str) -> List[str]:
    """A curriculum, without MLM."""
    return ["--curriculum", "progressive", "--mask-share", "0", *options]


VARIANTS: Dict[str, List[str]] = {
    "none": ["--mask-share", "0"],
    "linear": progressive("--curriculum-pacing", "linear"),
    "root": progressive("--curriculum-pacing", "root"),
    "step": progressive("--curriculum-pacing", "step"),
    "plateau": progressive("--curriculum-pacing", "plateau"),
    "epoch": progressive("--curriculum-pacing", "epoch"),
    "mixed": progressive("--curriculum-pacing", "mixed"),
    "linear-full": progressive("--curriculum-pacing", "linear", "--curriculum-full-share", "0.3"),
    "linear-pieces": progressive("--curriculum-pacing", "linear", "--curriculum-unit", "pieces"),
    "linear-min1": progressive("--curriculum-pacing", "linear", "--curriculum-min-words", "1"),
    "mlm": _MLM,  # these three need monolingual text in DATA
    "mlm-linear": progressive("--curriculum-pacing", "linear", *_MLM),
    "mlm-linear-staged": progressive("--curriculum-pacing", "linear", "--curriculum-mlm", *_MLM),
}


def command(args: argparse.Namespace, variant: str, seed: int, log: Path) -> List[str]:
    """``fairseq-train`` for one run; a validation every twelfth of it, as the recipes do."""
    options = {
        "user-dir": ROOT / "fairseq_distill",
        "task": "sentence_distillation",
        "criterion": "sentence_distillation",
        "arch": args.arch,
        "lexical-path": args.lexical_path,
        "optimizer": "fused_adamw",
        "lr": defaults.LEARNING_RATES.get(args.arch, defaults.LEARNING_RATE),
        "lr-scheduler": "polynomial_decay",
        "warmup-updates": max(1, min(defaults.WARMUP_UPDATES, args.updates // 10)),
        "total-num-update": args.updates,
        "max-update": args.updates,
        "clip-norm": defaults.CLIP_NORM,
        "max-tokens": args.max_tokens,
        "validate-interval-updates": -(-args.updates // defaults.VALIDATIONS),
        "validate-interval": 1 << 30,
        "num-workers": 0,
        "log-format": "json",
        "log-interval": 20,
        "log-file": log,
        "seed": seed,
        "save-dir": log.parent,
    }
    words = [sys.executable, "-m", "fairseq_cli.train", str(args.data), "--no-save"]
    return words + [str(word) for name, value in options.items() for word in (f"--{name}", value)] + VARIANTS[variant]


def last_xsim(log: Path, updates: int) -> Optional[float]:
    """xsim in percent after the last update; None when the run is not finished."""
    return read_training_log(log).curve(VALID, "xsim").get(updates) if log.is_file() else None


def main(args: argparse.Namespace) -> int:
    """Make what is missing, and print the table; 1 when a run failed."""
    failed = 0
    found: Dict[str, List[str]] = {variant: [] for variant in args.variants}
    for seed in args.seeds:
        for variant in args.variants:
            log = (
                Path(args.work) / f"{args.arch}.{args.lexical_path}.{args.updates}" / f"{variant}.{seed}" / "train.log"
            )
            if last_xsim(log, args.updates) is None:
                log.parent.mkdir(parents=True, exist_ok=True)
                log.unlink(missing_ok=True)
                with open(log.with_suffix(".out"), "w", encoding="utf-8") as out:
                    subprocess.run(
                        command(args, variant, seed, log), stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, check=False
                    )
            xsim = last_xsim(log, args.updates)
            failed += xsim is None
            found[variant].append("failed" if xsim is None else f"{xsim:.2f}")
            print(f"{variant} | seed {seed} | xsim {found[variant][-1]} %", file=sys.stderr, flush=True)
    print("| variant | " + " | ".join(f"seed {seed}" for seed in args.seeds) + " | mean |")
    print("| --- |" + " ---: |" * (len(args.seeds) + 1))
    for variant, values in found.items():
        numbers = [float(value) for value in values if value != "failed"]
        mean = f"{sum(numbers) / len(numbers):.2f}" if numbers else "–"
        print(f"| {variant} | {' | '.join(values)} | {mean} |")
    return int(bool(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="data directory, prepared with --increments 4")
    parser.add_argument("--work", required=True, help="folder for the logs")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--max-tokens", type=int, default=defaults.TRAIN_MAX_TOKENS, help="pieces of an update")
    parser.add_argument("--arch", default="student_encoder_small")
    parser.add_argument(
        "--lexical-path", default="none", help="none: the paper's student; fitted: this project's default"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    sys.exit(main(parser.parse_args()))
