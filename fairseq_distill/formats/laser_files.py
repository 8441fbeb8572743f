"""Where LASER's files lie: SentencePiece model and dictionary of a ``.pt`` file, by their names."""

from pathlib import Path
from typing import List, Optional, Tuple

from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import PathLike


def laser2_beside(checkpoint: PathLike) -> List[Path]:
    """LASER2's published files in the folder of a checkpoint, which say whose space it is in; they need not exist."""
    return [Path(checkpoint).parent / name for name in ("laser2.pt", "laser2.spm")]


def laser_vocabulary(path: PathLike, spm: Optional[PathLike] = None, cvocab: Optional[PathLike] = None) -> List[Path]:
    """The files of a LASER encoder's vocabulary: its SentencePiece model, and its ``.cvocab`` where there is one.

    Args:
        path: the ``.pt`` file, or LASER2's folder.
        spm, cvocab: as of :func:`laser_files`.

    Raises:
        ConfigError: there is no SentencePiece model.
    """
    model = spm_file(Path(path) / "laser2.pt" if Path(path).is_dir() else path, spm)
    dictionary = Path(cvocab) if cvocab else model.with_suffix(".cvocab")
    return [file for file in (model, dictionary) if file.is_file()]


def spm_file(checkpoint: PathLike, spm: Optional[PathLike] = None) -> Path:
    """The SentencePiece model of a LASER file: as given, else the ``.spm`` of its name, else ``laser2.spm`` beside it.

    Raises:
        ConfigError: none of them exists.
    """
    own, shared = Path(checkpoint).with_suffix(".spm"), Path(checkpoint).parent / "laser2.spm"
    tried = [Path(spm)] if spm else list(dict.fromkeys([own, shared]))
    for file in tried:
        if file.is_file():
            return file
    names = " nor ".join(str(file) for file in tried)
    raise ConfigError(
        f"{names} does not exist; {Path(checkpoint).name} needs its SentencePiece model: name it by --spm FILE."
    )


def laser_files(
    checkpoint: PathLike, spm: Optional[PathLike] = None, cvocab: Optional[PathLike] = None
) -> Tuple[Path, Path]:
    """SentencePiece model and dictionary of a LASER file that holds neither.

    Args:
        checkpoint: the ``.pt`` file.
        spm: see :func:`spm_file`.
        cvocab: the dictionary; if not given, the ``.cvocab`` of the SentencePiece model's name.

    Raises:
        ConfigError: one does not exist.
    """
    model = spm_file(checkpoint, spm)
    dictionary = Path(cvocab) if cvocab else model.with_suffix(".cvocab")
    if not dictionary.is_file():
        raise ConfigError(
            f"{dictionary} does not exist; {Path(checkpoint).name} needs its dictionary: name it by --cvocab FILE."
        )
    return model, dictionary
