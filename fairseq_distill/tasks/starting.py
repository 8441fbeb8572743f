"""How a training starts: anew, from another student, or where it was. Registers nothing."""

import copy
import logging
import time
from pathlib import Path
from typing import IO, Any, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.data.alignment import Sequences, align, number_words, sentences_within
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.planning import sentences_to_fit
from fairseq_distill.embedding.warm_start import Carried, start_from
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import hold_folder
from fairseq_distill.formats.manifest import Manifest
from fairseq_distill.formats.student_state import read_student_state
from fairseq_distill.modules.checkpoint_file import load_checkpoint
from fairseq_distill.modules.lexical import fit_lexical_table, table_of_words

logger = logging.getLogger(__name__)

_LAST = "checkpoint_last.pt"


def resumed_from(save_dir: str, restore_file: str, finetune_from: Optional[str] = None) -> Optional[Path]:
    """The checkpoint that fairseq will load, None when there is none.

    Its default name is looked for in the save directory; where that is not there, ``--finetune-from-model`` is loaded.
    """
    path = Path(save_dir) / _LAST if restore_file == _LAST else Path(restore_file)
    if finetune_from and not path.is_file():
        path = Path(finetune_from)
    return path if path.is_file() else None


def hold_save_dir(save_dir: str, no_save: bool) -> Optional[IO[bytes]]:
    """Let no other training write into the save directory while this process lives; the first of several processes sees to it.

    Raises:
        DataError: another training is at work there.
    """
    others = dist.is_available() and dist.is_initialized() and dist.get_rank() > 0
    if others or no_save or not Path(save_dir).is_dir():  # fairseq has made it by now
        return None
    return hold_folder(save_dir, "fairseq-train --save-dir")


def require_same_training(path: Path, manifest: Manifest, symbols: Sequence[str]) -> None:
    """Refuse to go on from a checkpoint of another teacher space or another dictionary, which fairseq itself would not notice.

    Raises:
        DataError: they differ.
        CheckpointError: it is damaged.
    """
    stored: Any = (load_checkpoint(path, mapped=True).get("task_state") or {}).get("student")
    if stored is None:
        return
    state = read_student_state(stored, path)
    if state.teacher.space != manifest.teacher.space:
        raise DataError(
            f"{path} was trained in the teacher space {state.teacher.space}, but the data directory is of "
            f"{manifest.teacher.space}; give another --save-dir, or the data directory that it was trained on."
        )
    if list(symbols) != state.dictionary.symbols:
        raise DataError(
            f"{path} was trained with another dictionary of {len(state.dictionary):,} symbols (here {len(symbols):,}); give "
            "another --save-dir and start from it with --init-student-from, which carries over what both know."
        )


def start_of(cfg: Any, model: Any, symbols: Sequence[str], space: str) -> Optional[Carried]:
    """Fill a new model as ``--init-student-from`` says; what was carried over, or None without that option."""
    if not cfg.init_student_from:
        return None
    return start_from(cfg.init_student_from, model.encoder, model.mlm_head, symbols, space, cfg.seed, cfg.init_force)


class TeacherRows:
    """The teacher's embeddings of some sentences, float32 [N, E], read when they are asked for; an online teacher's, held.

    Args:
        pairs: the sentences to distil.
        chosen: int64 [N], which of them.
        increments: the part of a sentence that is the whole one.
        dim: E.
    """

    def __init__(self, pairs: Collection, chosen: np.ndarray, increments: int, dim: int):
        self._read = lambda which: pairs.teacher(chosen[which], increments, dim)
        if pairs.online is not None:  # embeds each sentence once
            held = self._read(slice(None))
            self._read = lambda which: held[which]

    def __getitem__(self, span: slice) -> Tensor:
        return torch.from_numpy(self._read(span))

    def take(self, rows: np.ndarray) -> "TeacherRows":
        """Those of some rows, int64."""
        part = copy.copy(self)
        part._read = lambda which: self._read(rows[which])
        return part


def fitted_table(
    pairs: Collection,
    directory: Path,
    increments: int,
    dim: int,
    vocabulary: int,
    ridge: float,
    self_share: float,
    seed: int,
) -> Tuple[Tensor, Tensor]:
    """The table of a new student's lexical path, fitted to the training pairs; see modules/lexical.py.

    Args:
        pairs: the sentences to distil.
        directory: the data directory, in which the text of the teacher's side lies.
        increments: the part of a sentence that is the whole one.
        dim: E, the teacher's width.
        vocabulary: V.
        ridge: weight of the penalty.
        self_share: of the teacher's own language among the sentences.
        seed: of the choice of sentences where there are too many.

    Returns:
        float32 [V, E], and bool [V]: the pieces that occur in what it was fitted to.
    """
    chosen = sentences_to_fit(pairs, defaults.LEXICAL_SENTENCES, self_share, np.random.default_rng(seed))
    tokens, lengths = pairs.flat(chosen)
    teacher = TeacherRows(pairs, chosen, increments, dim)
    prior = None
    if all(part.corpus.tgt_text for part in pairs.parts):
        prior = _prior_from_words(pairs, directory, chosen, Sequences(tokens, lengths), teacher, vocabulary, seed)
    else:
        logger.info("lexical path | no text of the teacher's side, so no alignment: a plain ridge regression")
    pieces = torch.from_numpy(tokens)
    table = fit_lexical_table(pieces, torch.from_numpy(lengths), teacher, vocabulary, ridge, prior=prior)
    return table, torch.bincount(pieces, minlength=vocabulary) > 0


def _prior_from_words(
    pairs: Collection,
    directory: Path,
    chosen: np.ndarray,
    pieces: Sequences,
    teacher: "TeacherRows",
    vocabulary: int,
    seed: int,
) -> Tensor:
    """float32 [V, E], each piece as the words of the teacher's side that it goes with, which are fitted to the teacher first."""
    began = time.time()
    # No more lines are read than can be aligned: a cell is a piece and a word, and few lines have less than eight of each.
    order = np.random.default_rng(seed).permutation(len(chosen))[: defaults.ALIGNMENT_CELLS // 64]
    lines = pairs.teacher_lines(directory, chosen[order])
    words, n_words = number_words(lines)
    pieces = pieces.take(order)
    n = sentences_within(pieces, words, defaults.ALIGNMENT_CELLS)
    pieces, words = pieces.head(n), words.head(n)
    whole = np.flatnonzero(words.lengths > 0)
    words_of_whole = words.take(whole)
    vectors = fit_lexical_table(
        torch.from_numpy(words_of_whole.items),
        torch.from_numpy(words_of_whole.lengths),
        teacher.take(order[whole]),
        n_words,
        defaults.LEXICAL_WORD_RIDGE,
    )
    counts = align(pieces, words, vocabulary, n_words)
    logger.info(
        f"alignment | {n:,} of {len(chosen):,} pairs {n_words:,} words {len(counts.counts):,} piece-word pairs | {time.time() - began:.1f} s"
    )
    return table_of_words(counts, vectors)
