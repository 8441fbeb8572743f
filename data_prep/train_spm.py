"""Stage 2: the student's SentencePiece model, ``spm.vocab`` and fairseq's ``dict.txt``, from all its languages' text.

Languages are up-sampled by temperature, so that a small one gets pieces of its own. The text is normalised exactly as
it is when embedded. ``dict.txt`` holds the pieces in the model's order without its three specials: id = SPM id + 1.
"""

import functools
import io
import logging
import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import sentencepiece
from chunks import Progress, available_workers, in_chunks, ordered_map
from clean import data_parser, join_lines
from deduplicate import STEP as DEDUPLICATE
from deduplicate import kept_sources
from plan import Plan, Source, read_plan
from stamps import HERE, PACKAGE, Stamps, Step

from fairseq_distill import defaults
from fairseq_distill.cli.common import run_command
from fairseq_distill.data.sampling import temperature_weights
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import atomic_path, disk_error, write_text
from fairseq_distill.formats.dictionary import MASK, SPECIALS, write_dictionary
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.text import NORMALISER, normalise

logger = logging.getLogger(__name__)

STEP = "train_spm"
MODEL, VOCABULARY, DICTIONARY = "spm.model", "spm.vocab", "dict.txt"
N_SPECIAL = 3  # <unk> <s> </s>, the first ids of a SentencePiece model
# Sums over threads are added in the threads' order: another number of threads could give other pieces, so it is fixed.
_THREADS = 16
_RESERVED = re.compile("|".join(re.escape(symbol) for symbol in (*SPECIALS, MASK)))


def wanted_lines(sizes: Sequence[int], temperature: float, most: int) -> np.ndarray:
    """How many lines of each language to draw: shares by temperature, as many in all as there are, at most ``most``.

    Args:
        sizes: lines of each language.
        temperature: see :func:`~fairseq_distill.data.sampling.temperature_weights`.
        most: bound on the total.

    Returns:
        int64 [languages], at least 1 where there is a line.
    """
    total = min(sum(sizes), most)
    wanted = np.rint(temperature_weights(sizes, temperature) * total).astype(np.int64)
    return np.where(np.asarray(sizes) > 0, np.maximum(wanted, 1), 0)


def draw(lines: Iterator[str], size: int, wanted: int) -> Iterator[str]:
    """``wanted`` of ``size`` lines, evenly spread: each floor(wanted / size) times, some once more."""
    for position, line in enumerate(lines):
        for _ in range((position + 1) * wanted // size - position * wanted // size):
            yield line


def _normalised(lines: List[str]) -> List[str]:
    # A symbol that fairseq's dictionary reserves must not become a piece: a space inside keeps it from being one.
    return [_RESERVED.sub(lambda match: " ".join(match[0]), normalise(line)) for line in lines]


def training_text(plan: Plan, data: Path, stamps: Stamps) -> Tuple[Dict[str, int], Iterator[str]]:
    """Lines to draw of each language, and all lines drawn, in the plan's order."""
    n_out = {count["corpus"]: count["n_out"] for count in stamps.result(DEDUPLICATE)}
    sides = student_sides(plan, stamps)
    sizes = [sum(n_out[source.name] for source, _ in of_language) for of_language in sides.values()]
    wanted = wanted_lines(sizes, defaults.SAMPLING_TEMPERATURE, defaults.SPM_MAX_SENTENCES)

    def lines() -> Iterator[str]:
        for of_language, size, number in zip(sides.values(), sizes, wanted):
            texts = [data / "clean" / f"{source.name}.{lang}" for source, lang in of_language]
            yield from draw((line for text in texts for line in iter_lines(text)), size, int(number))

    return dict(zip(sides, wanted.tolist())), lines()


def student_sides(plan: Plan, stamps: Stamps) -> Dict[str, List[Tuple[Source, str]]]:
    """Each language that the student reads, with the corpora that hold its text and its code there.

    The teacher's language is one of them, and comes last, when it is to be read for TLM or ``self``.
    """
    sides: Dict[str, List[Tuple[Source, str]]] = {lang: [] for lang in plan.languages}
    for source in kept_sources(plan, stamps):
        if source.split == "train":
            for lang in plan.student_langs(source):
                sides.setdefault(lang if lang in plan.languages else plan.teacher_lang, []).append((source, lang))
    return sides


def train(text: Path, size: int, n_lines: int) -> Tuple[bytes, int]:
    """A unigram model of at most ``size`` pieces; its bytes, and how many pieces it has.

    A text that does not hold so many pieces gives as many as SentencePiece says it does.

    Raises:
        ConfigError: ``size`` is too small for the letters of the text.
    """
    try:
        return _train(text, size, n_lines), size
    except RuntimeError as error:
        message = str(error)
    if too_many := re.search(r"too high \(\d+\)\. Please set it to a value <= (\d+)", message):
        largest = int(too_many[1])
        logger.warning(
            f"the text allows {largest:,} pieces, not {size:,}: the vocabulary gets {largest:,} (--spm-size)"
        )
        return _train(text, largest, n_lines), largest
    if too_few := re.search(r"smaller than required_chars\. (\d+) vs (\d+)", message):
        raise ConfigError(
            f"--spm-size {size:,} is too small for a text with so many different letters; give at least "
            f"{int(too_few[2]):,}, better some thousands."
        )
    raise ConfigError(f"SentencePiece could not learn a vocabulary of {size:,} pieces: {message}")


def _train(text: Path, size: int, n_lines: int) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter_lines(text),  # not input=: that takes a comma in a path for the end of it
        model_writer=model,
        model_type="unigram",
        vocab_size=size,
        character_coverage=defaults.SPM_CHARACTER_COVERAGE,
        num_threads=_THREADS,
        max_sentence_length=16 * defaults.MAX_CHARACTERS,  # bytes; longer lines would be left out without a word
        train_extremely_large_corpus=n_lines > 10_000_000,
        minloglevel=2,
    )
    return model.getvalue()


def write_vocabulary(model: bytes, data: Path) -> None:
    """Write ``spm.model``, ``spm.vocab`` and ``dict.txt``."""
    spm = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [spm.id_to_piece(i) for i in range(spm.get_piece_size())]
    assert all(spm.is_unknown(i) or spm.is_control(i) for i in range(N_SPECIAL)), pieces[:N_SPECIAL]
    assert not set(pieces[N_SPECIAL:]) & {*SPECIALS, MASK}, "a piece has the name of a special symbol"
    with atomic_path(data / MODEL) as temporary:
        temporary.write_bytes(model)
    scored = (f"{piece}\t{spm.get_score(i):g}\n" for i, piece in enumerate(pieces))
    write_text(data / VOCABULARY, "".join(scored))
    write_dictionary(data / DICTIONARY, pieces[N_SPECIAL:])


def train_spm(plan: Plan, data: Path, workers: int) -> Dict[str, Any]:
    """Train on the drawn text; lines drawn of each language, pieces asked for and got."""
    drawn, lines = training_text(plan, data, Stamps(data))
    n_lines = sum(drawn.values())
    shares = ", ".join(f"{lang} {n:,}" for lang, n in drawn.items())
    logger.info(f"train_spm | {n_lines:,} lines drawn: {shares} | {plan.spm_size:,} pieces wanted")
    progress = Progress("train_spm | normalise", n_lines)
    text = data / "spm.txt.tmp"
    try:
        with open(text, "wb") as stream:
            for chunk in ordered_map(_normalised, in_chunks(lines), workers):
                stream.write(join_lines(chunk))
                progress.add(len(chunk))
        model, size = train(text, plan.spm_size, n_lines)
    except OSError as error:
        raise disk_error(error, text) from error
    finally:
        text.unlink(missing_ok=True)
    write_vocabulary(model, data)
    logger.info(f"train_spm | {size:,} pieces | {progress.seconds:.1f} s")
    return {"lines": drawn, "wanted": plan.spm_size, "pieces": size}


def train_step(plan: Plan, data: Path, stamps: Stamps) -> Step:
    """The step; it depends on all training text that the student reads."""
    train = [source for source in kept_sources(plan, stamps) if source.split == "train"]
    sides = [(source.name, lang) for source in train for lang in plan.student_langs(source)]
    inputs = [data / "clean" / f"{name}.{lang}" for name, lang in sides]
    options = {
        "languages": [lang for _, lang in sides],
        "size": plan.spm_size,
        "normaliser": NORMALISER,
        "sentencepiece": sentencepiece.__version__,
        "limits": [defaults.SAMPLING_TEMPERATURE, defaults.SPM_MAX_SENTENCES, defaults.SPM_CHARACTER_COVERAGE],
    }
    code = [HERE / "train_spm.py", PACKAGE / "text.py", PACKAGE / "formats/dictionary.py"]
    return Step(STEP, inputs, [data / MODEL, data / VOCABULARY, data / DICTIONARY], options, code)


def main(args: Namespace) -> None:
    """Train the vocabulary of DATA/plan.json, unless it is there."""
    data, plan = Path(args.data), read_plan(args.data)
    stamps = Stamps(data)
    step = train_step(plan, data, stamps)
    stamps.run(step, functools.partial(train_spm, plan, data, available_workers(args.workers)))
    stamps.save()


if __name__ == "__main__":
    sys.exit(run_command(data_parser("train_spm.py", "Train the student's SentencePiece model."), main))
