"""Stage 2: the student's SentencePiece model, ``spm.vocab`` and fairseq's ``dict.txt``, from all its languages' text.

Languages are up-sampled by temperature, so that a small one gets pieces of its own. The text is normalised exactly as
it is when embedded. With --spm-size auto the size is chosen first, by comparing candidates (vocabulary_advice.py); with
--spm-model nothing is trained and that model is taken. How the vocabulary cuts each language is in ``vocabulary.json``.
"""

import functools
import logging
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import sentencepiece
from chunks import available_workers, in_chunks, ordered_map
from clean import data_parser, join_lines
from deduplicate import STEP as DEDUPLICATE
from deduplicate import kept_sources, student_sides
from plan_file import Plan, read_plan
from spm_training import DICTIONARY, MODEL, VOCABULARY, draw, train, training_lines, wanted_lines
from stamps import HERE, PACKAGE, Stamps, Step
from vocabulary_statistics import load_spm
from vocabulary_steps import advice_step, advised_size, measure_step, measure_student, write_advice

from fairseq_distill import defaults
from fairseq_distill.cli.common import run_command
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import atomic_path, disk_error, write_text
from fairseq_distill.formats.dictionary import MASK, Dictionary, laser_dictionary, read_dictionary
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.progress import Progress, elapsing
from fairseq_distill.text import NORMALISER, StudentTokenizer

logger = logging.getLogger(__name__)

STEP = "train_spm"


def training_text(plan: Plan, data: Path, stamps: Stamps) -> Tuple[Dict[str, int], Iterator[str]]:
    """Lines to draw of each language, and all lines drawn, in the plan's order."""
    n_out = {count["corpus"]: count["n_out"] for count in stamps.result(DEDUPLICATE)}
    sides = student_sides(plan, stamps)
    sizes = [sum(n_out[source.name] for source, _ in of_language) for of_language in sides.values()]
    wanted = wanted_lines(sizes, plan.spm_temperature, defaults.SPM_MAX_SENTENCES)

    def lines() -> Iterator[str]:
        for of_language, size, number in zip(sides.values(), sizes, wanted):
            texts = [data / "clean" / f"{source.name}.{lang}" for source, lang in of_language]
            yield from draw((line for text in texts for line in iter_lines(text)), size, int(number))

    return dict(zip(sides, wanted.tolist())), lines()


def write_vocabulary(model: bytes, data: Path, dictionary: Dictionary) -> None:
    """Write ``spm.model``, ``spm.vocab`` and ``dict.txt``.

    Raises:
        ConfigError: the dictionary has a ``<mask>`` of its own.
        DataError: it lacks most of the model's pieces.
    """
    spm = load_spm(model)
    if MASK in dictionary.index:
        raise ConfigError(f"The vocabulary holds {MASK}, which the student adds by itself; take one without it.")
    tokenizer = StudentTokenizer(model, dictionary)
    if missing := tokenizer.missing:
        logger.warning(
            f"the dictionary lacks {len(missing):,} of {spm.get_piece_size():,} pieces, which become <unk>: "
            f"{' '.join(missing[:10])}"
        )
    with atomic_path(data / MODEL) as temporary:
        temporary.write_bytes(model)
    scored = (f"{spm.id_to_piece(i)}\t{spm.get_score(i):g}\n" for i in range(spm.get_piece_size()))
    write_text(data / VOCABULARY, "".join(scored))
    write_text(data / DICTIONARY, dictionary.text)


def dictionary_of(model: bytes, style: str) -> Dictionary:
    """fairseq's dictionary of a model: ids are the model's + 1 (``spm+1``), or + 4 as LASER2's are (``spm+4``)."""
    spm = load_spm(model)
    return laser_dictionary([spm.id_to_piece(i) for i in range(spm.get_piece_size())], style)


def take_spm(plan: Plan, data: Path) -> Dict[str, Any]:
    """The vocabulary that --spm-model names, with the dictionary of its ``.cvocab`` if there is one."""
    assert plan.spm_model is not None
    model = Path(plan.spm_model).read_bytes()
    dictionary = read_dictionary(plan.cvocab) if plan.cvocab else dictionary_of(model, plan.spm_ids)
    write_vocabulary(model, data, dictionary)
    size = load_spm(model).get_piece_size()
    whence = f"ids of {plan.cvocab}" if plan.cvocab else f"ids {plan.spm_ids}"
    logger.info(f"train_spm | {plan.spm_model} | {size:,} pieces | {whence}, {len(dictionary):,} rows")
    return {"lines": {}, "wanted": size, "pieces": size}


def train_spm(plan: Plan, data: Path, workers: int, size: Optional[int] = None) -> Dict[str, Any]:
    """Train on the drawn text; lines drawn of each language, pieces asked for and got.

    Args:
        size: pieces; those of the plan when not given.
    """
    wanted = size or plan.spm_size
    drawn, lines = training_text(plan, data, Stamps(data))
    n_lines = sum(drawn.values())
    shares = ", ".join(f"{lang} {n:,} ({100 * n / n_lines:.1f}%)" for lang, n in drawn.items())
    logger.info(f"train_spm | {n_lines:,} lines drawn: {shares} | {wanted:,} pieces wanted")
    progress = Progress("train_spm | normalise", n_lines, unit="lines")
    text = data / "spm.txt.tmp"
    try:
        with open(text, "wb") as stream:
            for chunk in ordered_map(training_lines, in_chunks(lines), workers):
                stream.write(join_lines(chunk))
                progress.add(len(chunk))
        with elapsing(f"train_spm | {wanted:,} pieces"):
            model, got = train(text, wanted, n_lines)
    except OSError as error:
        raise disk_error(error, text) from error
    finally:
        text.unlink(missing_ok=True)
    if got < wanted:
        logger.warning(f"the text allows {got:,} pieces, not {wanted:,}: the vocabulary gets {got:,} (--spm-size)")
    write_vocabulary(model, data, dictionary_of(model, plan.spm_ids))
    logger.info(f"train_spm | {got:,} pieces | {progress.seconds:.1f} s")
    return {"lines": drawn, "wanted": wanted, "pieces": got}


def train_step(plan: Plan, data: Path, stamps: Stamps, size: int) -> Step:
    """The step; it depends on all training text that the student reads, or on the model that the user gave."""
    outputs = [data / MODEL, data / VOCABULARY, data / DICTIONARY]
    code = [HERE / "train_spm.py", PACKAGE / "text.py", PACKAGE / "formats/dictionary.py"]
    if plan.spm_model:
        given = [Path(plan.spm_model), *([Path(plan.cvocab)] if plan.cvocab else [])]
        return Step(STEP, given, outputs, {"ids": plan.spm_ids, "cvocab": bool(plan.cvocab)}, code)
    train = [source for source in kept_sources(plan, stamps) if source.split == "train"]
    sides = [(source.name, lang) for source in train for lang in plan.student_langs(source)]
    inputs = [data / "clean" / f"{name}.{lang}" for name, lang in sides]
    options = {
        "languages": [lang for _, lang in sides],
        "size": size,
        "ids": plan.spm_ids,
        "normaliser": NORMALISER,
        "sentencepiece": sentencepiece.__version__,
        "limits": [plan.spm_temperature, defaults.SPM_MAX_SENTENCES, defaults.SPM_CHARACTER_COVERAGE],
    }
    return Step(STEP, inputs, outputs, options, [*code, HERE / "spm_training.py"])


def main(args: Namespace) -> None:
    """Train the vocabulary of DATA/plan.json, unless it is there; choose its size before, measure it after."""
    data, plan = Path(args.data), read_plan(args.data)
    stamps = Stamps(data)
    size = plan.spm_size
    if plan.spm_size == 0 and not plan.spm_model:
        stamps.run(advice_step(plan, data, stamps), functools.partial(write_advice, plan, data, stamps))
        size = advised_size(data)
    action = functools.partial(train_spm, plan, data, available_workers(args.workers), size)
    stamps.run(
        train_step(plan, data, stamps, size), functools.partial(take_spm, plan, data) if plan.spm_model else action
    )
    stamps.run(measure_step(plan, data, stamps), functools.partial(measure_student, plan, data, stamps))
    stamps.save()


if __name__ == "__main__":
    sys.exit(run_command(data_parser("train_spm.py", "Train the student's SentencePiece model."), main))
