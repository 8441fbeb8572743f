"""How a training starts: anew, from another student, or where it was. Registers nothing."""

from pathlib import Path
from typing import Any, Optional, Sequence

from fairseq_distill.embedding.warm_start import Carried, start_from
from fairseq_distill.errors import DataError
from fairseq_distill.formats.manifest import Manifest
from fairseq_distill.formats.student_state import read_student_state
from fairseq_distill.modules.checkpoint_file import load_checkpoint

_LAST = "checkpoint_last.pt"


def resumed_from(save_dir: str, restore_file: str) -> Optional[Path]:
    """The checkpoint that fairseq will go on from, None when there is none; its default name is looked for in the save directory."""
    path = Path(save_dir) / _LAST if restore_file == _LAST else Path(restore_file)
    return path if path.is_file() else None


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
