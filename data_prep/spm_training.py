"""A SentencePiece model from text: which lines it is trained on, and the training itself."""

import io
import re
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import numpy as np
import sentencepiece

from fairseq_distill import defaults
from fairseq_distill.data.sampling import temperature_weights
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.dictionary import MASK, SPECIALS
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.text import normalise

MODEL, VOCABULARY, DICTIONARY = "spm.model", "spm.vocab", "dict.txt"
# Sums over threads are added in the threads' order: another number of threads could give other pieces, so it is fixed.
_THREADS = 16
_RESERVED = re.compile("|".join(re.escape(symbol) for symbol in (*SPECIALS, MASK)))


def wanted_lines(sizes: Sequence[int], temperature: float, most: int) -> np.ndarray:
    """How many lines of each language to draw, so that their shares are those of p^(1 / temperature).

    Every line of every language is drawn at least once, and small languages more often, unless that makes more than
    ``most`` lines: then all are cut down alike. At temperature 1 each line is drawn once.

    Args:
        sizes: lines of each language.
        temperature: see :func:`~fairseq_distill.data.sampling.temperature_weights`.
        most: bound on the total.

    Returns:
        int64 [languages], at least 1 where there is a line.
    """
    counts = np.asarray(sizes, dtype=np.float64)
    shares = temperature_weights(sizes, temperature)
    there = counts > 0
    total = min(float((counts[there] / shares[there]).max()), most)
    wanted = np.rint(shares * total).astype(np.int64)
    return np.where(there, np.maximum(wanted, 1), 0)


def draw(lines: Iterator[str], size: int, wanted: int) -> Iterator[str]:
    """``wanted`` of ``size`` lines, evenly spread: each floor(wanted / size) times, some once more."""
    for position, line in enumerate(lines):
        for _ in range((position + 1) * wanted // size - position * wanted // size):
            yield line


def training_lines(lines: List[str]) -> List[str]:
    """Lines as SentencePiece is to see them: normalised, without a symbol that fairseq's dictionary reserves."""
    return without_reserved([normalise(line) for line in lines])


def without_reserved(lines: List[str]) -> List[str]:
    """Lines in which no symbol that fairseq's dictionary reserves can become a piece: a space inside keeps it from that."""
    return [_RESERVED.sub(lambda match: " ".join(match[0]), line) for line in lines]


def train(text: Path, size: int, n_lines: int) -> Tuple[bytes, int]:
    """A unigram model of at most ``size`` pieces; its bytes, and how many pieces it has.

    A text that does not hold so many pieces gives as many as SentencePiece says it does.

    Args:
        text: file of :func:`training_lines`.
        size: pieces wanted, the model's three specials among them.
        n_lines: lines of the file.

    Raises:
        ConfigError: ``size`` is too small for the letters of the text.
    """
    try:
        return _train(text, size, n_lines), size
    except RuntimeError as error:
        message = str(error)
    if too_many := re.search(r"too high \(\d+\)\. Please set it to a value <= (\d+)", message):
        largest = int(too_many[1])
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
