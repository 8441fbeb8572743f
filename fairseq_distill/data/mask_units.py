"""What is masked: monolingual sentences, blocks of them, and sentence pairs for TLM, under one numbering.

A block holds consecutive sentences of one corpus, each with its EOS, up to a number of pieces: RoBERTa's FULL-SENTENCES
(Liu et al. 2019, section 4.2) without crossing corpora. A pair for translation language modelling (Conneau and Lample 2019) is the
student's side, EOS, the teacher's side, EOS, in the student's vocabulary; positions go on over both sides.
"""

from typing import List, Optional, Tuple

import numpy as np

from fairseq_distill.data.corpora import Collection, Part
from fairseq_distill.formats.binarised import Sequences
from fairseq_distill.languages import parse_language

_PORTION = 1 << 20  # units whose lengths are summed at a time
MASK_UNITS = ("sentences", "blocks")


def block_firsts(lengths: np.ndarray, longest: int) -> np.ndarray:
    """Where each block begins: as many consecutive sentences as fit, at least one.

    Args:
        lengths: int [N], pieces of each sentence with EOS.
        longest: bound on the pieces of a block; a longer sentence is a block of its own.

    Returns:
        int64 [blocks + 1], the first sentence of each block, and N.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    fitting = np.searchsorted(ends, ends - lengths + longest, side="right")
    following = np.maximum(fitting, np.arange(len(lengths)) + 1)
    firsts = [0]
    while firsts[-1] < len(lengths):  # over blocks, not over sentences
        firsts.append(int(following[firsts[-1]]))
    return np.asarray(firsts, dtype=np.int64)


def joined_in_blocks(part: Part, longest: int) -> Tuple[Part, np.ndarray]:
    """A corpus whose sentences are the blocks of another; int64 [blocks], the sentences in each."""
    whole = part.sequences
    firsts = block_firsts(whole.lengths, longest)
    # Sentences follow one another in the file, so a block is one run of it.
    lengths = np.add.reduceat(whole.lengths.astype(np.int64), firsts[:-1]) if len(whole) else np.empty(0, np.int64)
    blocks = Sequences(whole.tokens, whole.starts[firsts[:-1]], lengths)
    return Part(part.corpus, blocks, part.teacher), np.diff(firsts)


class MonolingualText:
    """Sentences, or blocks of them.

    Args:
        parts: the monolingual corpora.
        max_length_pieces: longer sentences are cut.
        word_start: bool [V], which pieces begin a word.
        block_pieces: longest block, at most ``max_length_pieces``; None for sentences.
        by_pieces: whether parts of sentences are cut at pieces.
    """

    def __init__(
        self,
        parts: List[Part],
        max_length_pieces: int,
        word_start: np.ndarray,
        block_pieces: Optional[int] = None,
        by_pieces: bool = False,
    ):
        ends: List[np.ndarray] = []
        if block_pieces is not None:
            joined = [joined_in_blocks(part, block_pieces) for part in parts]
            parts, ends = [part for part, _ in joined], [sentences for _, sentences in joined]
        self.text = Collection(parts, max_length_pieces, word_start, by_pieces)
        self.ends = np.concatenate([np.empty(0, np.int64), *ends]) if block_pieces is not None else None
        self.by_piece = np.array([parse_language(lang).unspaced for lang in self.text.languages()], dtype=bool)

    @property
    def sizes(self) -> List[int]:
        """Units of each corpus."""
        return self.text.sizes

    def languages(self) -> List[str]:
        """The language of each corpus."""
        return self.text.languages()

    def mean_lengths(self, part: Optional[np.ndarray] = None, parts: int = 1) -> List[float]:
        """Pieces of a unit of each corpus, on average; of the ``part[u]``-th of ``parts`` parts of unit u where they are given."""
        if part is None or (part == parts).all():
            return [float(part.sequences.lengths.mean()) for part in self.text.parts]
        shown = self.text.shown_lengths(np.arange(len(part)), part, parts)
        return [float(shown[first:last].mean()) for first, last in zip(self.text.firsts, self.text.firsts[1:])]

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], pieces with every EOS."""
        return self.text.shown_lengths(indices, np.ones(len(indices), dtype=np.int16), 1)

    def maskable(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], pieces without EOS."""
        return self.lengths(indices) - (1 if self.ends is None else self.ends[indices])

    def pieces(self) -> int:
        """Pieces with EOS of all units."""
        return sum(
            int(np.minimum(part.sequences.lengths[first : first + _PORTION], self.text.limit).sum())
            for part in self.text.parts
            for first in range(0, len(part.sequences), _PORTION)
        )

    def tokens(self, indices: np.ndarray, width: int, lengths: Optional[np.ndarray] = None) -> np.ndarray:
        """int64 [B, width], right-padded; a sentence of which only ``lengths[b]`` pieces are shown gets EOS at its end."""
        return self.text.tokens(indices, self.lengths(indices) if lengths is None else lengths, width)

    def corpus_of(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], the corpus of each unit."""
        return self.text.corpus_of(indices)

    def unspaced(self, indices: np.ndarray, width: int) -> np.ndarray:
        """bool [B, width], where each piece counts as a word."""
        return np.broadcast_to(self.by_piece[self.text.corpus_of(indices)][:, None], (len(indices), width))


class PairedText:
    """Sentence pairs, both sides in the student's vocabulary.

    Args:
        parts: corpora with a binarised teacher's side.
        max_length_pieces: longer pairs are cut: each side keeps at least half of it, or what the other leaves free.
        word_start: bool [V], which pieces begin a word.
    """

    def __init__(self, parts: List[Part], max_length_pieces: int, word_start: np.ndarray):
        assert max_length_pieces >= 2 and all(part.target is not None for part in parts)
        other = [Part(part.corpus, part.target, []) for part in parts if part.target is not None]
        self.src = Collection(parts, max_length_pieces, word_start)
        self.tgt = Collection(other, max_length_pieces, word_start)
        self.limit = max_length_pieces
        codes = [(part.corpus.lang, part.corpus.tgt_lang or "") for part in parts]
        self.by_piece = np.array([[bool(code) and parse_language(code).unspaced for code in pair] for pair in codes])

    @property
    def sizes(self) -> List[int]:
        """Pairs of each corpus."""
        return self.src.sizes

    def languages(self) -> List[str]:
        """The student's language of each corpus."""
        return self.src.languages()

    def mean_lengths(self) -> List[float]:
        """Pieces of a pair of each corpus, on average."""
        means = []
        for begin, end in zip(self.src.firsts, self.src.firsts[1:]):
            portions = [np.arange(first, min(first + _PORTION, end)) for first in range(begin, end, _PORTION)]
            means.append(sum(int(self.lengths(portion).sum()) for portion in portions) / int(end - begin))
        return means

    def side_lengths(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """int64 [B] twice, pieces of the student's side and of the teacher's, each with EOS."""
        whole = np.ones(len(indices), dtype=np.int16)
        src, tgt = self.src.shown_lengths(indices, whole, 1), self.tgt.shown_lengths(indices, whole, 1)
        src = np.minimum(src, np.maximum(self.limit - tgt, self.limit // 2))
        return src, np.minimum(tgt, self.limit - src)

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], pieces of both sides, each with EOS."""
        src, tgt = self.side_lengths(indices)
        return src + tgt

    def maskable(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], pieces without EOS."""
        return self.lengths(indices) - 2

    def tokens(self, indices: np.ndarray, width: int, lengths: Optional[np.ndarray] = None) -> np.ndarray:
        """int64 [B, width], the student's side, EOS, the teacher's side, EOS, padding."""
        first, second = self.side_lengths(indices)
        assert lengths is None or (lengths == first + second).all(), "pairs are shown whole"
        rows = self.src.tokens(indices, first, width)
        behind = self.tgt.tokens(indices, second, width)
        row, column = np.nonzero(np.arange(width)[None, :] < second[:, None])
        rows[row, first[row] + column] = behind[row, column]
        return rows

    def corpus_of(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], the corpus of each pair."""
        return self.src.corpus_of(indices)

    def unspaced(self, indices: np.ndarray, width: int) -> np.ndarray:
        """bool [B, width], where each piece counts as a word."""
        flags = self.by_piece[self.src.corpus_of(indices)]  # [B, 2]
        on_first = np.arange(width)[None, :] < self.side_lengths(indices)[0][:, None]
        return np.where(on_first, flags[:, :1], flags[:, 1:])


class MaskText:
    """All text for MLM: the units of ``mono`` have the numbers from 0 on, the pairs those behind them."""

    def __init__(self, mono: MonolingualText, pairs: Optional[PairedText] = None):
        self.mono, self.pairs = mono, pairs
        self.n_mono = int(sum(mono.sizes))

    def __len__(self) -> int:
        return self.n_mono + (int(sum(self.pairs.sizes)) if self.pairs else 0)

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], pieces with every EOS."""
        return self._by_section(indices, (), "lengths", np.int64)

    def maskable(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], pieces that may be chosen."""
        return self._by_section(indices, (), "maskable", np.int64)

    def shown_lengths(self, indices: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
        """int64 [B], pieces with every EOS of the ``part[b]``-th of ``parts`` parts; only monolingual sentences have parts."""
        found, cut = self.lengths(indices), part < parts
        if cut.any():
            found[cut] = self.mono.text.shown_lengths(indices[cut], part[cut], parts)
        return found

    def ends(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], how many EOS each unit holds, of whichever part."""
        return self.lengths(indices) - self.maskable(indices)

    def tokens(self, indices: np.ndarray, width: int, lengths: Optional[np.ndarray] = None) -> np.ndarray:
        """int64 [B, width], right-padded; ``lengths`` where not the whole is shown."""
        shown = self.lengths(indices) if lengths is None else lengths
        return self._by_section(indices, (width,), "tokens", np.int64, shown)

    def unspaced(self, indices: np.ndarray, width: int) -> np.ndarray:
        """bool [B, width], where each piece counts as a word."""
        return self._by_section(indices, (width,), "unspaced", bool)

    def corpus_ids(self) -> List[str]:
        """The id of each corpus, in the numbering of :meth:`corpus_of`."""
        paired = self.pairs.src.parts if self.pairs is not None else []
        return [part.corpus.id for part in (*self.mono.text.parts, *paired)]

    def corpus_of(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], the corpus of each unit, the pairs' behind the monolingual ones."""
        return self._by_section(indices, (), "corpus_of", np.int64) + len(self.mono.sizes) * (indices >= self.n_mono)

    def _by_section(
        self, indices: np.ndarray, shape: Tuple[int, ...], method: str, dtype: type, *by_row: np.ndarray
    ) -> np.ndarray:
        """What ``method`` of monolingual text and of pairs says of their units, [B, *shape]; it takes the shape after the indices."""
        rows: np.ndarray = np.empty((len(indices), *shape), dtype=dtype)
        paired = indices >= self.n_mono
        if not paired.all():
            rows[~paired] = getattr(self.mono, method)(indices[~paired], *shape, *(each[~paired] for each in by_row))
        if self.pairs is not None and paired.any():
            at = indices[paired] - self.n_mono
            rows[paired] = getattr(self.pairs, method)(at, *shape, *(each[paired] for each in by_row))
        return rows
