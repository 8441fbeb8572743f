"""A student as a folder that ``SentenceTransformer(folder)`` loads: stock classes and numbers, no code.

The transformer is one of transformers' own (hugging_face_encoder.py), the text path a ``tokenizer.json``
(hugging_face_tokenizer.py). Pooling and projection are modules of sentence-transformers. So is the lexical path: the
transformer's vector is put aside under ``cls_token_embeddings``, the pieces are looked up once more in the bag's table, a
second pooling sets both beside each other, and a matrix adds them.
"""

import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from fairseq_distill import __version__
from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import ConfigError
from fairseq_distill.export.folder import StudentOrPath, bytes_of, check_output, files_of, new_folder, opened
from fairseq_distill.export.hugging_face_encoder import encoder_files, with_copies
from fairseq_distill.export.hugging_face_tokenizer import tokenizer_files
from fairseq_distill.export.model_card import Run, model_card, read_run, run_around
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.modules.lexical import RATE
from fairseq_distill.progress import Steps

logger = logging.getLogger(__name__)

_BASE, _OWN = "sentence_transformers.base.modules", "sentence_transformers.sentence_transformer.modules"


def sentence_transformers(
    student: StudentOrPath,
    output: PathLike,
    force: bool = False,
    work: Optional[PathLike] = None,
    data_note: Optional[str] = None,
    licence: Optional[str] = None,
) -> List[str]:
    """Write a student as a folder for ``SentenceTransformer(folder)``.

    Args:
        student: a checkpoint's path, or the student itself.
        output: the folder.
        force: replace an earlier export.
        work: the run's work directory, whose xsim, corpora and licences go into the model card; by default the one
            whose ``checkpoints/checkpoint_best.pt`` the student is.
        data_note: what it was trained on, with licences, in words, for the model card.
        licence: the student's own, as Hugging Face names it.

    Returns:
        The names of the files.

    Raises:
        ConfigError: the output is there, or has no folder to lie in; the student has a part that no stock class has.
        CheckpointError, DataError: the student or its run cannot be read, the output not written.
    """
    check_output(output, force)
    steps = Steps("export", 4)
    encoder = opened(student, steps)
    if work is not None:
        run: Optional[Run] = read_run(work, encoder)
    else:
        run = None if isinstance(student, Student) else run_around(student, encoder)
    if encoder.model.lexical is not None and encoder.model.prefix:
        raise ConfigError(
            "This student cannot be a stock sentence-transformers model: it has a lexical path and pools at BOS, which its bag "
            "of pieces does not count. Export to safetensors or onnx instead."
        )
    with steps("convert"):
        tokenizer, options, copies = tokenizer_files(encoder)
        config, weights, settings = encoder_files(encoder, copies)
    with new_folder(output, force, steps, total=bytes_of(encoder)) as folder:
        _write(folder / "tokenizer.json", tokenizer)
        _write(folder / "tokenizer_config.json", options)
        _write(folder / "config.json", {**config, "dtype": "float32"})
        _save(folder, weights)
        _write(folder / "sentence_bert_config.json", {"max_seq_length": options["model_max_length"], **settings})
        modules = [(f"{_BASE}.transformer.Transformer", ""), *_write_head(folder, encoder, copies)]
        listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (kind, path) in enumerate(modules)]
        _write(folder / "modules.json", listed)
        about = {"__version__": {"fairseq_distill": __version__}, "prompts": {}, "similarity_fn_name": "cosine"}
        _write(folder / "config_sentence_transformers.json", about)
        write_text(folder / "README.md", model_card(encoder, run, data_note, licence))
        names = files_of(folder)
    logger.info(f"{encoder.name} | sentence-transformers | {output}")
    return names


def _write_head(folder: Path, student: Student, copies: List[int]) -> List[Tuple[str, str]]:
    """Write the modules after the transformer; returns (class, folder) of each, in order."""
    model, shape = student.model, student.model.shape
    modules = [_pooling(folder / "1_Pooling", shape.dim, shape.pooling)]
    if model.projection is None:
        return modules
    weight, bias = model.projection.weight.detach(), model.projection.bias.detach()
    if model.lexical is None:
        return [*modules, _dense(folder / "2_Dense", weight, bias)]
    width = shape.output_dim
    modules += [
        _bag(folder / "2_WordEmbeddings", with_copies(model.lexical.table.weight.detach(), copies)),
        # Damped as in training.
        _dense(folder / "3_Dense", weight / shape.dim, bias / shape.dim, output="cls_token_embeddings"),
        _pooling(folder / "4_Pooling", width, "cls", "mean_sqrt_len_tokens"),
        _dense(folder / "5_Dense", torch.cat([torch.eye(width), RATE * torch.eye(width)], dim=1), None),
    ]
    return modules


def _pooling(folder: Path, width: int, *modes: str) -> Tuple[str, str]:
    folder.mkdir()
    _write(folder / "config.json", {"embedding_dimension": width, "pooling_mode": list(modes), "include_prompt": True})
    return f"{_OWN}.pooling.Pooling", folder.name


def _dense(folder: Path, weight: Tensor, bias: Optional[Tensor], output: Optional[str] = None) -> Tuple[str, str]:
    folder.mkdir()
    config: Dict[str, Any] = {
        "in_features": weight.size(1),
        "out_features": weight.size(0),
        "bias": bias is not None,
        "activation_function": "torch.nn.modules.linear.Identity",
        "module_input_name": "sentence_embedding",
        "module_output_name": output or "sentence_embedding",
    }
    _write(folder / "config.json", config)
    _save(folder, {"linear.weight": weight, **({} if bias is None else {"linear.bias": bias})})
    return f"{_BASE}.dense.Dense", folder.name


def _bag(folder: Path, table: Tensor) -> Tuple[str, str]:
    """A table of vectors for the ids that the transformer's tokenizer gave; its own tokenizer is never asked."""
    folder.mkdir()
    config = {"tokenizer_class": f"{_OWN}.tokenizer.whitespace.WhitespaceTokenizer", "update_embeddings": True}
    _write(folder / "wordembedding_config.json", config)
    _write(folder / "whitespacetokenizer_config.json", {"vocab": [], "stop_words": [], "do_lower_case": False})
    _save(folder, {"emb_layer.weight": table})
    return f"{_OWN}.word_embeddings.WordEmbeddings", folder.name


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _save(folder: Path, weights: Dict[str, Tensor]) -> None:
    whole = {
        name: tensor.detach().float().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
