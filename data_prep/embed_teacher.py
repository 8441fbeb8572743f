"""Stage 5: embeddings of the teacher's side, by fairseq-teach: one file a corpus, row i for pair i, made once.

Training rows are stored in half precision (half the disk and memory, and the cosine distance sees no difference);
validation rows are float32, as xsim on them is reported. The growing parts of sentences that the curriculum shows are
embedded for training. fairseq-teach goes on where it was killed, and leaves files alone that are up to date.
"""

import importlib.metadata
import logging
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Dict, List

from clean import data_parser
from deduplicate import kept_sources
from plan import Plan, Source, read_plan
from stamps import PACKAGE, Stamps, Step

from fairseq_distill import defaults
from fairseq_distill.cli.common import run_command
from fairseq_distill.data.curriculum import part_files
from fairseq_distill.errors import DataError
from fairseq_distill.formats.embeddings import sidecar_path

logger = logging.getLogger(__name__)

TEACH = [sys.executable, "-m", "fairseq_distill.cli.teach"]  # fairseq-teach, also where it is not installed
DTYPES = {"train": defaults.TEACHER_DTYPE, "valid": defaults.EMBED_DTYPE}


def embedding_files(source: Source, plan: Plan) -> List[str]:
    """The embeddings of a corpus, relative to the data directory; the last is of whole sentences."""
    return part_files(f"teacher/{source.name}.npy", plan.increments if source.split == "train" else 1)


def teacher_files(spec: str) -> List[Path]:
    """The files that a teacher ``KIND:PATH`` is read from, where PATH is a file or a folder."""
    path = Path(spec.partition(":")[2])
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.is_file() else []


def _package_version(spec: str) -> str:
    try:
        return importlib.metadata.version(spec.partition(":")[2])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


def embed_steps(plan: Plan, data: Path, stamps: Stamps) -> Dict[str, Step]:
    """The step of each corpus with a teacher's side, by its name."""
    kind = plan.teacher.partition(":")[0]
    code = [path for path in (PACKAGE / "teachers" / f"{kind}.py", PACKAGE / "data/curriculum.py") if path.is_file()]
    steps = {}
    for source in kept_sources(plan, stamps):
        if source.tgt_lang is None:
            continue
        files = [data / name for name in embedding_files(source, plan)]
        steps[source.name] = Step(
            f"teach.{source.name}",
            [data / "clean" / f"{source.name}.{source.tgt_lang}", *teacher_files(plan.teacher)],
            [made for file in files for made in (file, sidecar_path(file))],
            {"teacher": plan.teacher, "version": _package_version(plan.teacher), "dtype": DTYPES[source.split]},
            code,
        )
    return steps


def teach(plan: Plan, data: Path, sources: List[Source], split: str) -> None:
    """Embed the teacher's side of some corpora of one split in one process, so that no sentence is embedded twice.

    Raises:
        DataError: fairseq-teach failed; it has said why.
    """
    texts = [str(data / "clean" / f"{source.name}.{source.tgt_lang}") for source in sources]
    outputs = [str(data / embedding_files(source, plan)[-1]) for source in sources]
    command = [*TEACH, "--teacher", plan.teacher, "--input", *texts, "--output", *outputs, "--dtype", DTYPES[split]]
    if split == "train" and plan.increments > 1:
        command += ["--increments", str(plan.increments)]
    logger.info(f"teach | {split} | {len(sources)} corpora | {plan.teacher}")
    if subprocess.run(command).returncode:
        raise DataError(
            f"fairseq-teach could not embed the {plan.teacher_lang} side of {split}; see its message above."
        )


def main(args: Namespace) -> None:
    """Embed every corpus whose teacher's side or teacher has changed."""
    data, plan = Path(args.data), read_plan(args.data)
    stamps = Stamps(data)
    steps = embed_steps(plan, data, stamps)
    (data / "teacher").mkdir(exist_ok=True)
    for split in DTYPES:
        due = []
        for source in plan.split(split):
            if source.name not in steps:
                continue
            if stamps.is_current(steps[source.name]):
                logger.info(f"unchanged: {steps[source.name].name}")
            else:
                due.append(source)
                stamps.forget(steps[source.name])
        if due:
            teach(plan, data, due, split)
            for source in due:
                stamps.record(steps[source.name])
    stamps.save()


if __name__ == "__main__":
    sys.exit(run_command(data_parser("embed_teacher.py", "Embed the teacher's side of a data directory."), main))
