"""LASER2 as a teacher, from its published files: ``laser2.pt`` and ``laser2.spm`` beside it.

The ``.pt`` holds ``params``, ``model`` and ``dictionary``. The dictionary, not ``laser2.cvocab``, maps pieces to ids
(SentencePiece's id + 4, so rows 4 to 6 are dead twins of the specials); its four specials are set by hand, because the
file's own entries for them point at the dead rows. Pieces that it does not hold become ``<unk>``.

A checkpoint of the same network that fairseq's LASER training (``laser_lstm``) wrote holds neither ``params`` nor a
dictionary: the sizes are read off its tensors, and ``.cvocab`` beside its ``.spm`` is the dictionary.
Source: facebookresearch/LASER, ``laser_encoders/models.py``; Heffernan et al. (2022).
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch

from fairseq_distill import defaults
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.errors import CheckpointError, ConfigError
from fairseq_distill.formats.atomic import PathLike, sha256_file
from fairseq_distill.formats.dictionary import PAD, SPECIALS, Dictionary, fit_to_rows, read_dictionary
from fairseq_distill.formats.laser_files import laser2_beside, laser_files, spm_file
from fairseq_distill.modules.checkpoint_file import load_checkpoint, understood
from fairseq_distill.modules.device import choose_device
from fairseq_distill.modules.lstm import LstmEncoder, LstmShape
from fairseq_distill.text import NORMALISER, StudentTokenizer

logger = logging.getLogger(__name__)

LAYOUT = ("params", "model", "dictionary")  # the keys by which the file is told from a fairseq checkpoint
_TRAINED = "encoder.lstm.weight_ih_l0"  # a tensor by which a checkpoint of fairseq's training is known


class Laser2Teacher:
    """The BiLSTM of LASER2, frozen.

    Args:
        path: ``laser2.pt``, a folder that holds it, or a checkpoint of fairseq's ``laser_lstm``.
        spm: the SentencePiece model; the ``.spm`` of the same name, or ``laser2.spm`` in its folder, when not given.
        cvocab: the dictionary of a ``laser_lstm`` checkpoint; the ``.cvocab`` beside the SentencePiece model when not given.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        precision: ``float32`` or ``auto``, which is the same: a recurrence adds up bfloat16's errors.
        max_tokens: padded pieces of a batch.

    Attributes:
        name, space: ``laser2:`` and a hash of the files.

    Raises:
        ConfigError: a file is missing, another precision is asked for, or a dictionary is given to a file that holds one.
        CheckpointError: the ``.pt`` has another layout, or its tensors do not fit its parameters.
    """

    normaliser = NORMALISER
    pooling = "max"

    def __init__(
        self,
        path: PathLike,
        spm: Optional[PathLike] = None,
        device: str = "auto",
        precision: str = "auto",
        max_tokens: int = defaults.EMBED_MAX_TOKENS,
        cvocab: Optional[PathLike] = None,
    ):
        if precision not in ("auto", "float32"):
            raise ConfigError(f"LASER2 runs in float32 only, not in {precision}; leave --precision out.")
        self.device, self.max_tokens = choose_device(device), max_tokens
        file = _file_of(Path(path))
        content = read_checkpoint(file)
        if is_laser2(content):
            if cvocab:
                raise ConfigError(f"{file} holds its own dictionary; leave the .cvocab {cvocab} out.")
            files = [file, spm_file(file, spm)]
            with understood(file):
                encoder = _build(content, file)
                dictionary = _dictionary(content["dictionary"], encoder.shape.vocabulary, file)
        else:
            files = [file, *laser_files(file, spm, cvocab)]
            with understood(file):
                encoder, dictionary = _build_trained(content["model"], file, files[2])
        self.encoder = encoder.to(self.device).eval()
        self.tokenizer = StudentTokenizer(files[1].read_bytes(), dictionary, files[1])
        self.dim = self.encoder.shape.output_dim
        self.name = self.space = fingerprint(files)
        logger.info(f"teacher {self.name} | width {self.dim} | pooling max | {self.device}")

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        return self.encode_prepared(self.prepare(sentences))

    def prepare(self, sentences: Sequence[str]) -> List[np.ndarray]:
        """int64 ids of each sentence, EOS at the end and no BOS."""
        return self.tokenizer.encode(sentences)

    def encode_prepared(self, prepared: List[np.ndarray]) -> np.ndarray:
        return embed_ids(self.encoder, prepared, self.max_tokens, self.device)


def embed_ids(encoder: LstmEncoder, prepared: List[np.ndarray], max_tokens: int, device: torch.device) -> np.ndarray:
    """float32 [N, E] for the ids of N sentences, in batches of sentences of like length, ``max_tokens`` padded pieces each."""
    lengths = np.fromiter(map(len, prepared), np.int64, len(prepared))
    embedded = torch.empty((len(prepared), encoder.shape.output_dim), dtype=torch.float32, device=device)
    with torch.inference_mode():
        for batch in batches_by_length(lengths, max_tokens):
            inside = np.arange(lengths[batch].max()) < lengths[batch][:, None]  # [B, T]
            tokens = np.full(inside.shape, PAD, dtype=np.int64)
            tokens[inside] = np.concatenate([prepared[index] for index in batch])
            rows = encoder(torch.from_numpy(tokens).to(device), torch.from_numpy(lengths[batch]))
            embedded[torch.from_numpy(batch).to(device)] = rows
    return embedded.cpu().numpy()


def is_laser2(content: Any) -> bool:
    """Whether what a ``.pt`` file holds has LASER2's layout."""
    return isinstance(content, dict) and set(LAYOUT) <= set(content)


def is_trained_laser2(content: Any) -> bool:
    """Whether what a ``.pt`` file holds was written by fairseq's own training of LASER's LSTM."""
    model = content.get("model") if isinstance(content, dict) else None
    return isinstance(model, dict) and _TRAINED in model


def read_checkpoint(file: PathLike) -> Dict[str, Any]:
    """What LASER2's ``.pt`` holds, in the published layout or the trained one, read without executing anything in it.

    Raises:
        CheckpointError: it is not a PyTorch file, holds more than tensors and plain values, or has another layout.
    """
    content = load_checkpoint(file)
    if is_laser2(content) or is_trained_laser2(content):
        return content
    keys = ", ".join(map(str, content))
    raise CheckpointError(
        f"{file} has not LASER2's layout ({', '.join(LAYOUT)}) but {keys}; a student or another fairseq checkpoint "
        f"is named fairseq:{file}."
    )


def fingerprint(files: Sequence[Path]) -> str:
    """``laser2:`` and 16 hexadecimal digits of the files."""
    hashes = [sha256_file(file) for file in files]
    return f"laser2:{hashlib.sha256(json.dumps(hashes).encode('utf-8')).hexdigest()[:16]}"


def space_beside(checkpoint: PathLike) -> Optional[str]:
    """The space of LASER2's published files in a LASER3 checkpoint's folder; None when they are not there."""
    files = laser2_beside(checkpoint)
    return fingerprint(files) if all(file.is_file() for file in files) else None


def _file_of(path: Path) -> Path:
    file = path / "laser2.pt" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{file} does not exist; LASER2's files are laser2.pt and laser2.spm, in one folder.")
    return file


def _build(content: Dict[str, Any], file: Path) -> LstmEncoder:
    params, tensors = content["params"], content["model"]
    try:
        shape = LstmShape(
            vocabulary=int(params["num_embeddings"]),
            embed_dim=int(params.get("embed_dim", LstmShape.embed_dim)),
            hidden=int(params.get("hidden_size", LstmShape.hidden)),
            layers=int(params.get("num_layers", 1)),
            bidirectional=bool(params.get("bidirectional", False)),
            padding=int(params["padding_idx"]),
        )
        if shape.padding != PAD:
            raise CheckpointError(f"{file}: padding has id {shape.padding:,} instead of {PAD}.")
        _require_fitting(shape, tensors)  # before memory is taken for what the parameters ask for
        encoder = LstmEncoder(shape)
        encoder.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise CheckpointError(f"{file}: its tensors do not fit its parameters: {' '.join(lines[:2])}") from error
    return encoder


def _require_fitting(shape: LstmShape, tensors: Dict[str, Any]) -> None:
    """Raise a ValueError where the parameters are not those of the tensors."""
    inputs = [name for name in tensors if name.startswith("lstm.weight_ih_l") and not name.endswith("_reverse")]
    rows, embed_dim = tensors["embed_tokens.weight"].shape
    found = {
        "vocabulary": rows,
        "embed_dim": embed_dim,
        "hidden": tensors["lstm.weight_hh_l0"].size(1),
        "layers": len(inputs),
    }
    for name, number in found.items():
        if getattr(shape, name) != number:
            raise ValueError(f"{name} is {getattr(shape, name):,}, but the tensors have {number:,}")


def _build_trained(model: Dict[str, Any], file: Path, cvocab: Path) -> Tuple[LstmEncoder, Dictionary]:
    """The encoder of a training checkpoint; the decoder's tensors are left out."""
    kept = ("encoder.embed_tokens.", "encoder.lstm.")
    tensors = {name[len("encoder.") :]: tensor for name, tensor in model.items() if name.startswith(kept)}
    inputs = [name for name in tensors if name.startswith("lstm.weight_ih_l")]
    try:
        rows, embed_dim = tensors["embed_tokens.weight"].shape
        params = {
            "num_embeddings": rows,
            "padding_idx": PAD,
            "embed_dim": embed_dim,
            "hidden_size": tensors["lstm.weight_hh_l0"].shape[1],
            "num_layers": len([name for name in inputs if not name.endswith("_reverse")]),
            "bidirectional": "lstm.weight_ih_l0_reverse" in tensors,
        }
    except (KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} is no checkpoint of laser_lstm ({error}); it is damaged.") from error
    dictionary = fit_to_rows(read_dictionary(cvocab), rows, cvocab, file)
    return _build({"params": params, "model": tensors}, file), dictionary


def _dictionary(ids: Dict[str, int], rows: int, file: Path) -> Dictionary:
    """The file's piece-to-id table, with fairseq's specials at 0 to 3 whatever it says of them; ids are below ``rows``."""
    lowest, highest = min(map(int, ids.values()), default=0), max(map(int, ids.values()), default=0)
    if lowest < 0 or highest >= rows:
        bad = lowest if lowest < 0 else highest
        raise CheckpointError(f"{file}: its dictionary names id {bad:,}, but there are {rows:,} rows.")
    symbols = [f"<unused{row}>" for row in range(max(map(int, ids.values()), default=-1) + 1)]
    if len(symbols) < len(SPECIALS):
        raise CheckpointError(f"{file}: its dictionary holds {len(ids):,} pieces, which is no vocabulary.")
    for piece, row in ids.items():
        if piece not in SPECIALS:
            symbols[int(row)] = piece
    symbols[: len(SPECIALS)] = SPECIALS
    dictionary = Dictionary(symbols)
    # Where two pieces have one row, a list of symbols has room for one of them, but both are read.
    dictionary.index.update({piece: int(row) for piece, row in ids.items() if piece not in SPECIALS})
    return dictionary
