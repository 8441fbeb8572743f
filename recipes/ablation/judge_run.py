"""Embed a trained student's development sets and say which sentences xsim gets wrong: a JSON object on stdout.

python recipes/ablation/judge_run.py --data DATA --checkpoint RUN/checkpoints/checkpoint_last.pt
"""

import argparse
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Dict

import numpy as np
import torch
from run_records import Wrong, pack_wrong, sets_of

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.embedding.student import Student, load_student
from fairseq_distill.encoder import encode_in_order
from fairseq_distill.evaluation.xsim import wrong_sentences
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import Corpus, read_manifest
from fairseq_distill.modules.precision import PRECISIONS


def wrong_of(student: Student, data: Path, corpus: Corpus) -> Dict[str, np.ndarray]:
    """Margin -> bool [N], against the teacher's embeddings of the other side; a repeated line is no error."""
    src = encode_in_order(student, read_lines(data / corpus.src_text))
    tgt = np.asarray(open_embeddings(data / corpus.teacher[-1]), dtype=np.float32)
    return wrong_sentences(src, tgt, k=defaults.NEIGHBOURHOOD, labels=read_lines(data / str(corpus.tgt_text)))


def versions(student: Student) -> Dict[str, str]:
    """What the numbers may depend on."""
    found = {"fairseq_distill": __version__, "torch": torch.__version__, "numpy": np.__version__}
    for package in ("fairseq-fixed", "sentencepiece", "sentence-transformers"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    if commit.returncode == 0:
        found["commit"] = commit.stdout.strip()
    on_gpu = student.device.type != "cpu"
    return {
        **found,
        "device": torch.cuda.get_device_name(student.device) if on_gpu else "cpu",
        "precision": student.precision,
    }


def main(args: argparse.Namespace) -> None:
    data, student = Path(args.data), load_student(args.checkpoint, precision=args.precision)
    wrong: Wrong = {corpus.id: wrong_of(student, data, corpus) for corpus in read_manifest(data).select("valid")}
    parameters = sum(parameter.numel() for parameter in student.model.parameters())
    outcome = {
        "sets": sets_of(wrong),
        "wrong": pack_wrong(wrong),
        "parameters": parameters,
        "versions": versions(student),
    }
    print(json.dumps(outcome))


def cli_main() -> int:
    parser = make_parser(
        "judge_run.py", __doc__.splitlines()[0], "python recipes/ablation/judge_run.py --data DATA --checkpoint FILE"
    )
    parser.add_argument("--data", required=True, help="data directory with development sets")
    parser.add_argument("--checkpoint", required=True, help="the student")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="of the student's matrix products")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
