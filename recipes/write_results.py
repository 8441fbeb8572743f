"""Judge a trained student beside the teacher applied directly and a student before training: WORK/results.json and a table.

python recipes/write_results.py --work WORK [--teacher KIND:PATH] [--command "bash recipes/student.sh …"]
"""

import argparse
import datetime
import logging
import platform
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import torch
from leakage import audit_training, leakage_lines
from plan_training import read_plan

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.cli.encoder_options import add_own_teacher_option
from fairseq_distill.embedding.export import embed
from fairseq_distill.embedding.registry import open_encoder, require_own_code
from fairseq_distill.embedding.student import Student, load_checkpoint, load_student
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.training_log import read_training_log, sentences_per_second
from fairseq_distill.evaluation.xsim import bootstrap_interval, xsim_margins
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.leakage import NAME as LEAKAGE
from fairseq_distill.formats.leakage import write_leakage
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import Corpus, read_manifest
from fairseq_distill.formats.results import Results, TrainingFacts, XsimEntry, read_results, write_results
from fairseq_distill.modules.transformer import StudentEncoder

logger = logging.getLogger(__name__)

MARGINS = ("absolute", "distance", "ratio")
NAMES = {"student": "student", "teacher": "teacher applied directly", "random": "random student"}


def random_student(student: Student, seed: int = 1) -> Student:
    """The same text path and size with weights as they are before training (and no fitted bag of pieces)."""
    torch.manual_seed(seed)
    model = StudentEncoder(replace(student.model.shape, lexical=False))
    return Student(model, student.state, f"random:{seed}", student.device, student.precision, student.max_tokens)


def judge(encoder: SentenceEncoder, kind: str, work: Path, corpus: Corpus) -> List[XsimEntry]:
    """xsim with all margins of one encoder on one valid set, against the teacher's embeddings of the other side."""
    text = work / "data" / corpus.src_text
    output = work / "embeddings" / kind / f"valid.{corpus.id}.{corpus.lang}.npy"
    output.parent.mkdir(parents=True, exist_ok=True)
    embed(encoder, text, output, spec=kind)
    src = np.asarray(open_embeddings(output), dtype=np.float32)
    tgt = np.asarray(open_embeddings(work / "data" / corpus.teacher[-1]), dtype=np.float32)
    labels = read_lines(work / "data" / str(corpus.tgt_text))
    about = {"test": corpus.id, "pair": f"{corpus.lang}-{corpus.tgt_lang}", "encoder": encoder.name}
    found = xsim_margins(src, tgt, MARGINS, defaults.NEIGHBOURHOOD, labels, about)
    entries = []
    for margin, result in found.items():
        low, high = bootstrap_interval(result)
        entries.append(
            XsimEntry(
                encoder=kind,
                valid_set=corpus.id,
                src_lang=corpus.lang,
                tgt_lang=str(corpus.tgt_lang),
                margin=margin,
                k=result.k,
                n=result.n,
                errors=result.errors,
                percent=result.percent,
                low=low,
                high=high,
                signature=result.signature,
            )
        )
    return entries


def training_facts(work: Path, student: Student, checkpoint: Path) -> TrainingFacts:
    """What training cost, from its log and its checkpoints."""
    plan = read_plan(work / "plan.json")
    speeds = sentences_per_second(read_training_log(work / "log" / "train.json.log"))
    last = load_checkpoint(work / "checkpoints" / "checkpoint_last.pt")
    best = load_checkpoint(checkpoint)
    return TrainingFacts(
        arch=plan["arch"],
        parameters=sum(parameter.numel() for parameter in student.model.parameters()),
        updates=int(last["optimizer_history"][-1]["num_updates"]),
        seconds=float(last["extra_state"]["previous_training_time"]),
        sentences_per_s=float(np.median(list(speeds.values()))) if speeds else None,
        best_update=int(best["optimizer_history"][-1]["num_updates"]),
        device=f"{torch.get_num_threads()} CPU threads"
        if student.device.type == "cpu"
        else torch.cuda.get_device_name(student.device),
    )


def versions() -> Dict[str, str]:
    """Versions of what decides the numbers."""
    found = {
        "fairseq_distill": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    for package in ("fairseq-fixed", "fairseq", "sentencepiece", "sentence-transformers", "faiss-cpu"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def print_table(entries: List[XsimEntry]) -> None:
    """The xsim table on stdout, in percent."""
    sets = list(dict.fromkeys(entry.valid_set for entry in entries))
    width = max([len("valid set"), *map(len, sets)])
    print(f"\nxsim error in %, lower is better; k = {defaults.NEIGHBOURHOOD}, source to {entries[0].tgt_lang}")
    print(f"{'valid set':{width}}  {'n':>6}  {'encoder':26}" + "".join(f"{margin:>10}" for margin in MARGINS))
    by_key = {(entry.valid_set, entry.encoder, entry.margin): entry for entry in entries}
    for name in sets:
        for kind, words in NAMES.items():
            row = [by_key[name, kind, margin] for margin in MARGINS]
            print(f"{name:{width}}  {row[0].n:6,}  {words:26}" + "".join(f"{entry.percent:10.2f}" for entry in row))


def main(args: argparse.Namespace) -> None:
    work = Path(args.work)
    manifest = read_manifest(work / "data")
    checkpoint = work / "checkpoints" / "checkpoint_best.pt"
    spec = manifest.teacher.spec
    require_own_code(spec, named=args.teacher == spec)
    student = load_student(checkpoint)
    valid = manifest.select("valid")
    if not valid:
        raise DataError(f"{work / 'data'} has no valid set to judge the student on; give --valid.")
    teacher = open_encoder(spec)
    leakage = audit_training(work / "data", manifest)
    write_leakage(work / LEAKAGE, leakage)
    entries: List[XsimEntry] = []
    for kind, encoder in (("student", student), ("teacher", teacher), ("random", random_student(student))):
        for corpus in valid:
            entries += judge(encoder, kind, work, corpus)
    before: Optional[Results] = read_results(work)
    plan = read_plan(work / "plan.json")
    results = Results(
        xsim=entries,
        training=training_facts(work, student, checkpoint),
        mining=before.mining if before is not None else None,
        command=args.command,
        created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        options={key: value for key, value in plan.items() if key != "request"},
        seeds={"fairseq": plan["seed"]},
        versions=versions(),
        files={
            "best checkpoint": "checkpoints/checkpoint_best.pt",
            "data directory": "data",
            "student embeddings": "embeddings/student",
            "training log": "log/train.json.log",
        },
    )
    write_results(work, results)
    print("\n".join(["", *leakage_lines(leakage)]))
    print_table(entries)


def parser() -> argparse.ArgumentParser:
    """The options of this program."""
    made = make_parser("write_results.py", __doc__.splitlines()[0], "python recipes/write_results.py --work work/swa")
    made.add_argument("--work", required=True, help="work directory with data, checkpoints and log")
    add_own_teacher_option(made, "WORK/data/manifest.json")
    made.add_argument("--command", default="", help="the command that made the run, for the report")
    return made


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
