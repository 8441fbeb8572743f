"""Stage 5: embeddings of the teacher's side, by fairseq-teach: one file a corpus, row i for pair i, made once.

All corpora are embedded in one process, so that the teacher is loaded once and a sentence that stands in several of
them is embedded once. Rows are stored in half precision, those of validation sets too: their cosines keep to those of
float32 within a millionth. fairseq-teach goes on where it was killed, and leaves files alone that are up to date.
"""

import importlib.metadata
import logging
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List

from clean import data_parser
from deduplicate import kept_sources
from plan_file import AUTO, Plan, Source, read_plan
from stamps import PACKAGE, Stamps, Step
from teacher_vocabulary import vocabulary_files

from fairseq_distill import defaults
from fairseq_distill.cli.common import run_command
from fairseq_distill.cli.encoder_options import add_own_teacher_option
from fairseq_distill.data.parts import part_files
from fairseq_distill.embedding.registry import Spec, parse_spec, require_own_code
from fairseq_distill.errors import DataError
from fairseq_distill.formats.embeddings import sidecar_path
from fairseq_distill.formats.laser_files import laser2_beside

logger = logging.getLogger(__name__)

TEACH = [sys.executable, "-m", "fairseq_distill.cli.teach"]  # fairseq-teach, also where it is not installed


def embedding_files(source: Source, plan: Plan) -> List[str]:
    """The embeddings of a corpus, relative to the data directory; the last is of whole sentences."""
    return part_files(f"teacher/{source.name}.npy", plan.increments)


def teacher_files(spec: Spec) -> List[Path]:
    """The files that a teacher is read from: its file or all files of its folder, and what belongs to it."""
    main = Path(spec.path.rpartition(":")[0] if spec.kind == "python" else spec.path)
    named = [Path(spec.options["text"])] if "text" in spec.options else []
    if spec.kind == "fairseq" and main.is_file():  # a LASER3 file beside LASER2 is of its space
        named += laser2_beside(main)
    files: List[Path] = []
    for path in dict.fromkeys([main, *vocabulary_files(spec), *named]):
        files += sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
        files += [path] if path.is_file() else []
    return files


def _package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


def embed_steps(plan: Plan, data: Path, stamps: Stamps) -> Dict[str, Step]:
    """The step of each corpus with a teacher's side, by its name."""
    spec = parse_spec(plan.teacher)
    files_of_teacher = teacher_files(spec)
    code = [path for path in (PACKAGE / "teachers" / f"{spec.kind}.py", PACKAGE / "data/parts.py") if path.is_file()]
    options = {"teacher": plan.teacher, "version": _package_version(spec.path), "dtype": defaults.TEACHER_DTYPE}
    if plan.teacher_precision != AUTO:
        options["precision"] = plan.teacher_precision
    steps = {}
    for source in kept_sources(plan, stamps):
        if source.tgt_lang is None:
            continue
        text = data / "clean" / f"{source.name}.{source.tgt_lang}"
        files = [data / name for name in embedding_files(source, plan)]
        outputs = [made for file in files for made in (file, sidecar_path(file))]
        steps[source.name] = Step(f"teach.{source.name}", [text, *files_of_teacher], outputs, options, code)
    return steps


def teach(plan: Plan, data: Path, sources: List[Source]) -> None:
    """Embed the teacher's side of some corpora.

    Raises:
        DataError: fairseq-teach failed; it has said why.
    """
    texts = [str(data / "clean" / f"{source.name}.{source.tgt_lang}") for source in sources]
    outputs = [str(data / embedding_files(source, plan)[-1]) for source in sources]
    command = [*TEACH, "--teacher", plan.teacher, "--input", *texts, "--output", *outputs]
    command += ["--dtype", defaults.TEACHER_DTYPE, "--increments", str(plan.increments)]
    command += ["--precision", plan.teacher_precision]
    if subprocess.run(command).returncode:
        raise DataError(f"fairseq-teach could not embed the {plan.teacher_lang} side; its message stands above.")


def main(args: Namespace) -> None:
    """Embed every corpus whose teacher's side or teacher has changed.

    Raises:
        ConfigError: the plan's teacher is code that the command line does not name.
    """
    data, plan = Path(args.data), read_plan(args.data)
    require_own_code(plan.teacher, named=args.teacher == plan.teacher)
    stamps = Stamps(data)
    steps = embed_steps(plan, data, stamps)
    (data / "teacher").mkdir(exist_ok=True)
    due = []
    for source in plan.sources:
        if source.name not in steps:
            continue
        if stamps.is_current(steps[source.name]):
            logger.info(f"unchanged: {steps[source.name].name}")
        else:
            due.append(source)
            stamps.forget(steps[source.name])
    if due:
        teach(plan, data, due)
        for source in due:
            stamps.record(steps[source.name])
    stamps.save()


def parser() -> Any:
    """The options of this stage."""
    made = data_parser("embed_teacher.py", "Embed the teacher's side of a data directory.")
    add_own_teacher_option(made, "plan.json")
    return made


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
