"""The report of a run: one HTML file that needs nothing beside it, and no network."""

import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from fairseq_distill.evaluation.report_data import data_section, vocabulary_section
from fairseq_distill.evaluation.report_html import (
    big_number,
    breakable,
    details,
    duration,
    escape,
    escape_lines,
    facts,
    file_size,
    missing,
    paragraph,
    table,
)
from fairseq_distill.evaluation.report_leakage import SECTION as LEAKAGE
from fairseq_distill.evaluation.report_leakage import leakage_headline, leakage_section
from fairseq_distill.evaluation.report_mining import mining_section
from fairseq_distill.evaluation.report_neighbours import neighbour_data, neighbour_section
from fairseq_distill.evaluation.report_page import page, write_page
from fairseq_distill.evaluation.report_runs import DATA, LOG, MINED, Run, read_run
from fairseq_distill.evaluation.report_training import training_section
from fairseq_distill.evaluation.report_xsim import headline, main_margin, xsim_section
from fairseq_distill.evaluation.training_log import TrainingLog, thin
from fairseq_distill.formats import leakage as leakage_files
from fairseq_distill.formats import results as result_files
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.manifest import Manifest
from fairseq_distill.formats.results import Results

logger = logging.getLogger(__name__)

NAME = "report.html"

# What student.sh leaves; what results.json names comes before these.
_FILES = {
    "best checkpoint": "checkpoints/checkpoint_best.pt",
    "results": result_files.NAME,
    "data directory": "data",
    "training log": str(LOG),
    "mined pairs": MINED[0],
    "leakage audit": leakage_files.NAME,
    "leakage audit of mined pairs": leakage_files.MINED,
}
_MOST_OPTIONS = 400
_EMBEDDED_POINTS = 100


def report(work_dir: PathLike, output: Optional[PathLike] = None) -> Path:
    """Write the report page of a work directory; returns its path.

    What the run has not made yet is said in a sentence on the page. The page is a function of the files alone: made
    twice from the same run, it has the same bytes.

    Args:
        work_dir: as ``recipes/student.sh`` leaves it: ``results.json``, ``data/manifest.json``,
            ``log/train.json.log``, ``mined.tsv``, ``leakage.json``; each may be missing, but not all of them.
        output: the HTML file; ``report.html`` in the work directory when not given.
    Raises:
        DataError: the directory is missing or holds nothing to report, a file in it is damaged, or the page cannot
            be written.
    """
    run = read_run(work_dir)
    results, log, mined = run.results, run.log, run.mined
    html = _page(run)
    path = write_page(output if output is not None else run.work / NAME, html)
    logger.info(
        f"report | {len(results.xsim)} xsim results, "
        f"log to update {log.last_update if log else 0:,}, mined pairs {'yes' if mined else 'no'} | "
        f"{path}, {file_size(path.stat().st_size)}"
    )
    return path


def _page(run: Run) -> str:
    """The whole page."""
    work, results, manifest, log = run.work, run.results, run.manifest, run.log
    languages = _languages(results, manifest)
    best_update = results.training.best_update if results.training else None
    mining, pairs = mining_section(work, results.mining, run.mined)
    neighbours = neighbour_data(work, manifest, main_margin(results.xsim))
    sections = (
        (LEAKAGE, "Leakage of evaluation text", leakage_section(run.leakage, manifest, run.mined_leakage)),
        ("xsim", "xsim", xsim_section(results.xsim)),
        ("neighbours", "Neighbours", neighbour_section(neighbours)),
        ("training", "Training", training_section(log, best_update, languages)),
        ("mining", "Mined pairs", mining),
        ("data", "Data", data_section(manifest)),
        ("vocabulary", "Vocabulary", vocabulary_section(work / DATA, manifest)),
        ("settings", "Settings", _settings(results, manifest)),
        ("files", "Files", _files(work, results)),
    )
    title, subtitle = _title(results, manifest, languages)
    audited = leakage_headline(run.leakage, manifest, run.mined_leakage, run.mined is not None)
    summary = audited + headline(results.xsim) + "\n" + _facts(results, manifest, log)
    data = {"run-data": _embedded(results, log), "neighbour-data": neighbours, "pair-data": pairs}
    return page("Run report", title, subtitle, summary, sections, data)


def _languages(results: Results, manifest: Optional[Manifest]) -> List[str]:
    """The student's languages: the manifest's, or those that xsim started from."""
    if manifest is not None:
        return list(manifest.languages)
    return list(dict.fromkeys(row.src_lang for row in results.xsim))


def _title(results: Results, manifest: Optional[Manifest], languages: List[str]) -> Tuple[str, str]:
    """The page's title, and the line beneath it: teacher, and when."""
    target = manifest.teacher.lang if manifest is not None else next((row.tgt_lang for row in results.xsim), "")
    source = ", ".join(languages[:6]) + (f" and {len(languages) - 6} more" if len(languages) > 6 else "")
    title = f"Sentence encoder for {source}" if source else "Sentence encoder"
    said = [f"paired with {target}"] if source and target else []
    if manifest is not None:
        said.append(f"teacher {manifest.teacher.spec}")
    if results.created:
        said.append(results.created.replace("T", " ").replace("Z", " UTC"))
    return title, " · ".join(said)


def _facts(results: Results, manifest: Optional[Manifest], log: Optional[TrainingLog]) -> str:
    """The strip of facts beneath the headline."""
    items: List[Tuple[str, str]] = []
    training = results.training
    if training is not None:
        size = f" <small>{big_number(training.parameters)} parameters</small>" if training.parameters else ""
        items.append(("Student", breakable(training.arch or "–") + size))
    if manifest is not None:
        teacher = manifest.teacher
        items.append(
            ("Teacher", f"{breakable(teacher.spec)} <small>{teacher.dim} dimensions, {escape(teacher.pooling)}</small>")
        )
        pairs = sum(corpus.n for corpus in manifest.select("train", "distil"))
        mono = sum(corpus.n for corpus in manifest.select("train", "mask"))
        more = f" <small>and {mono:,} monolingual sentences</small>" if mono else ""
        items.append(("Training pairs", f"{pairs:,}{more}"))
    updates = (
        training.updates
        if training is not None and training.updates is not None
        else (log.last_update if log else None)
    )
    if updates:
        best = f" <small>best at {training.best_update:,}</small>" if training and training.best_update else ""
        items.append(("Updates", f"{updates:,}{best}"))
    if training is not None and training.seconds is not None:
        speed = f"{training.sentences_per_s:,.0f} sentences/s" if training.sentences_per_s is not None else ""
        more = ", ".join(filter(None, (speed, training.device)))
        items.append(
            ("Training time", duration(training.seconds) + (f" <small>{escape(more)}</small>" if more else ""))
        )
    return (
        facts(items)
        if items
        else missing("Nothing is known about the student: results.json and the manifest are missing.")
    )


def _settings(results: Results, manifest: Optional[Manifest]) -> str:
    """Command, seeds, versions and options."""
    body = []
    if results.command:
        body.append(f"<h3>Command</h3><pre>{escape_lines(_by_option(results.command))}</pre>")
    versions = {**(manifest.versions if manifest is not None else {}), **results.versions}
    if manifest is not None:
        versions.setdefault("text normaliser", manifest.normaliser)
        versions.setdefault("teacher space", manifest.teacher.space)
    if results.seeds:
        body.append("<h3>Seeds</h3>" + facts((name, escape(seed)) for name, seed in results.seeds.items()))
    if versions:
        body.append("<h3>Versions</h3>" + facts((name, breakable(version)) for name, version in versions.items()))
    if results.options:
        shown = list(results.options.items())[:_MOST_OPTIONS]
        rows = [(f"<code>{escape(name)}</code>", f"<code>{escape(value)}</code>") for name, value in shown]
        body.append(
            details(f"Options ({len(results.options)})", table(("Option", "Value"), rows, (), "Options", "stack"))
        )
    if not (results.command or results.options or results.seeds):
        body.append(missing("The command, options and seeds of this run were not recorded in results.json."))
    return "".join(body)


def _by_option(command: str) -> str:
    """A command with one option a line, as a shell reads it too; unchanged where it has quotes or line breaks."""
    return command if set(command) & set("'\"\\\n") else command.replace(" --", " \\\n  --")


def _files(work: Path, results: Results) -> str:
    """Where things lie, with their size, or that they are not there."""
    named = {**{name: path for name, path in _FILES.items() if (work / path).exists()}, **results.files}
    rows = []
    for name, path in named.items():
        file = work / path
        size = file_size(file.stat().st_size) if file.is_file() else ("folder" if file.is_dir() else "not there")
        rows.append((escape(name), f"<code>{breakable(path)}</code>", size))
    where = paragraph(f"Paths are relative to the work directory {work.resolve()}.")
    return where + table(("What", "Path", "Size"), rows, (2,), "Files of the run", "stack")


def _embedded(results: Results, log: Optional[TrainingLog]) -> Dict[str, Any]:
    """The numbers of the page for machines: xsim, training facts, and the curves thinned."""
    curves = {}
    if log is not None:
        for tag, names in log.curves.items():
            curves[tag] = {name: list(thin(curve, _EMBEDDED_POINTS).items()) for name, curve in names.items()}
    return {
        "xsim": [vars(row) for row in results.xsim],
        "training": vars(results.training) if results.training is not None else None,
        "versions": results.versions,
        "curves": curves,
    }
