"""LASER2 as a teacher, from its published files: ``laser2.pt`` and ``laser2.spm`` beside it.

The ``.pt`` holds ``params``, ``model`` and ``dictionary``. The dictionary, not ``laser2.cvocab``, maps pieces to ids
(SentencePiece's id + 4, so rows 4 to 6 are dead twins of the specials); its four specials are set by hand, because the
file's own entries for them point at the dead rows. Pieces that it does not hold become ``<unk>``.
Source: facebookresearch/LASER, ``laser_encoders/models.py``; Heffernan et al. (2022).
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch

from fairseq_distill import defaults
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.errors import CheckpointError, ConfigError
from fairseq_distill.formats.atomic import PathLike, sha256_file
from fairseq_distill.formats.dictionary import PAD, SPECIALS, Dictionary
from fairseq_distill.modules.device import choose_device
from fairseq_distill.modules.lstm import LstmEncoder, LstmShape
from fairseq_distill.text import NORMALISER, StudentTokenizer

logger = logging.getLogger(__name__)

LAYOUT = ("params", "model", "dictionary")  # the keys by which the file is told from a fairseq checkpoint


class Laser2Teacher:
    """The BiLSTM of LASER2, frozen.

    Args:
        path: ``laser2.pt``, or a folder that holds it.
        spm: the SentencePiece model; the ``.spm`` of the same name when not given.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        precision: ``float32`` or ``auto``, which is the same: a recurrence adds up bfloat16's errors.
        max_tokens: padded pieces of a batch.

    Attributes:
        name, space: ``laser2:`` and a hash of both files.

    Raises:
        ConfigError: a file is missing, or bfloat16 is asked for.
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
    ):
        if precision == "bfloat16":
            raise ConfigError("LASER2 runs in float32 only; leave --precision out.")
        self.device, self.max_tokens = choose_device(device), max_tokens
        file = _file_of(Path(path))
        spm_file = Path(spm) if spm else file.with_suffix(".spm")
        if not spm_file.is_file():
            raise ConfigError(f"{spm_file} does not exist; LASER2 needs its SentencePiece model beside {file.name}.")
        content = read_checkpoint(file)
        self.encoder = _build(content, file).to(self.device).eval()
        self.tokenizer = StudentTokenizer(spm_file.read_bytes(), _dictionary(content["dictionary"], file))
        highest = int(self.tokenizer.ids.max(initial=0))
        if highest >= self.encoder.shape.vocabulary:
            rows = self.encoder.shape.vocabulary
            raise CheckpointError(f"{file}: its dictionary names id {highest:,}, but there are {rows:,} rows.")
        self.dim = self.encoder.shape.output_dim
        hashes = [sha256_file(file), sha256_file(spm_file)]
        digest = hashlib.sha256(json.dumps(hashes).encode("utf-8")).hexdigest()
        self.name = self.space = f"laser2:{digest[:16]}"
        logger.info(f"teacher {self.name} | width {self.dim} | pooling max | {self.device}")

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        return self.encode_prepared(self.prepare(sentences))

    def prepare(self, sentences: Sequence[str]) -> List[np.ndarray]:
        """int64 ids of each sentence, EOS at the end and no BOS."""
        return self.tokenizer.encode(sentences)

    def encode_prepared(self, prepared: List[np.ndarray]) -> np.ndarray:
        lengths = np.fromiter(map(len, prepared), np.int64, len(prepared))
        embedded = torch.empty((len(prepared), self.dim), dtype=torch.float32, device=self.device)
        with torch.inference_mode():
            for batch in batches_by_length(lengths, self.max_tokens):
                inside = np.arange(lengths[batch].max()) < lengths[batch][:, None]  # [B, T]
                tokens = np.full(inside.shape, PAD, dtype=np.int64)
                tokens[inside] = np.concatenate([prepared[index] for index in batch])
                rows = self.encoder(torch.from_numpy(tokens).to(self.device), torch.from_numpy(lengths[batch]))
                embedded[torch.from_numpy(batch).to(self.device)] = rows
        return embedded.cpu().numpy()


def is_laser2(content: Any) -> bool:
    """Whether what a ``.pt`` file holds has LASER2's layout."""
    return isinstance(content, dict) and set(LAYOUT) <= set(content)


def read_checkpoint(file: PathLike) -> Dict[str, Any]:
    """What LASER2's ``.pt`` holds, read without executing anything in it.

    Raises:
        CheckpointError: it is not a PyTorch file, holds more than tensors and plain values, or has another layout.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{file} cannot be read as LASER2's file: {reason}") from error
    if not is_laser2(content):
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{file} has not LASER2's layout ({', '.join(LAYOUT)}) but {keys}; a student or another fairseq checkpoint "
            f"is named fairseq:{file}."
        )
    return content


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
        encoder = LstmEncoder(shape)
        encoder.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise CheckpointError(f"{file}: its tensors do not fit its parameters: {' '.join(lines[:2])}") from error
    if shape.padding != PAD:
        raise CheckpointError(f"{file}: padding has id {shape.padding} instead of {PAD}.")
    return encoder


def _dictionary(ids: Dict[str, int], file: Path) -> Dictionary:
    """The file's piece-to-id table, with fairseq's specials at 0 to 3 whatever it says of them."""
    symbols = [f"<unused{row}>" for row in range(max(map(int, ids.values()), default=-1) + 1)]
    if len(symbols) < len(SPECIALS):
        raise CheckpointError(f"{file}: its dictionary holds {len(ids):,} pieces, which is no vocabulary.")
    for piece, row in ids.items():
        if piece not in SPECIALS:
            symbols[int(row)] = piece
    symbols[: len(SPECIALS)] = SPECIALS
    return Dictionary(symbols)
