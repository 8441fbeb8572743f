"""A student in LASER3's layout: ``laser3-LANG.v1.pt``, ``.spm`` and ``.cvocab``, as ``laser_encoders`` and LASER load them.

The rules of LASER's loader (facebookresearch/LASER, ``LaserTransformerEncoder``), which this file obeys:

- names without ``encoder.``, queries, keys and values apart, fairseq's two buffers;
- ``<mask>`` is a row if and only if there is a ``layer_norm.weight``;
- ``cfg["model"]`` has attributes. They stand on an ordered dict, not on a Namespace, since PyTorch from 2.6 on loads no
  Namespace by default, and LASER's loaders call ``torch.load`` plainly. Each is an item too.
"""

import logging
from collections import OrderedDict
from typing import Any, Dict, List

import torch
from torch import Tensor

from fairseq_distill import __version__
from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import ConfigError
from fairseq_distill.export.folder import StudentOrPath, bytes_of, check_output, new_folder, opened
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.dictionary import MASK, Dictionary
from fairseq_distill.progress import Steps

logger = logging.getLogger(__name__)

_FITS = "Train with --lexical-path none --pooling max --layer-norm post and --encoder-embed-dim of the teacher's width"


def laser(student: StudentOrPath, output: PathLike, force: bool = False) -> List[str]:
    """Write a student as a LASER3 encoder.

    Args:
        student: a checkpoint's path, or the student itself.
        output: the folder; ``laser3-LANG.v1.{pt,spm,cvocab}`` lie in it (``laser3-student.v1`` where it has several languages).
        force: replace an earlier export.

    Returns:
        The names of the files.

    Raises:
        ConfigError: the student has a part that LASER3 has not, or the output is there.
        CheckpointError, DataError: the student cannot be read, the output not written.
    """
    check_output(output, force)
    steps = Steps("export", 4)
    encoder = opened(student, steps)
    problems = misfits(encoder)
    if problems:
        raise ConfigError(
            f"This student has no LASER3 layout: it has {', '.join(problems)}. {_FITS} ({encoder.dim}), or export to "
            "another format: safetensors, sentence-transformers or onnx."
        )
    name = f"laser3-{encoder.state.languages[0] if len(encoder.state.languages) == 1 else 'student'}.v1"
    with steps("convert"):
        content = laser_content(encoder)
    with new_folder(output, force, steps, total=bytes_of(encoder)) as folder:
        torch.save(content, folder / f"{name}.pt")
        (folder / f"{name}.spm").write_bytes(encoder.state.spm)
        write_text(folder / f"{name}.cvocab", Dictionary(_pieces(encoder.state.dictionary)).text)
    logger.info(f"{encoder.name} | LASER3 | {output}/{name}.pt")
    return [f"{name}{suffix}" for suffix in (".pt", ".spm", ".cvocab")]


def misfits(student: Student) -> List[str]:
    """What a student has that LASER3's layout cannot say, in words; empty when it fits."""
    shape, found = student.model.shape, []
    if shape.lexical:
        found.append("a lexical path (a bag of pieces beside the transformer)")
    elif student.model.projection is not None:
        found.append(f"a projection from its width {shape.dim:,} to the teacher's {shape.output_dim:,}")
    if shape.pooling == "mean":
        found.append("mean pooling (LASER pools by max or cls)")
    if MASK in student.state.dictionary.symbols[:-1]:
        found.append(f"a {MASK} that is not the last of its symbols")
    if shape.final_norm and student.state.dictionary.symbols[-1] != MASK:
        found.append(f"a layer norm at the end without a row for {MASK}")
    return found


def laser_content(student: Student) -> Dict[str, Any]:
    """What the ``.pt`` holds."""
    shape = student.model.shape
    options = {
        "encoder_embed_dim": shape.dim,
        "encoder_ffn_embed_dim": shape.ffn_dim,
        "encoder_layers": shape.layers,
        "encoder_attention_heads": shape.heads,
        "encoder_normalize_before": shape.pre_norm,
        "encoder_learned_pos": False,
        "no_token_positional_embeddings": False,
        "no_scale_embedding": False,
        "layernorm_embedding": False,
        "activation_fn": shape.activation,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "max_source_positions": shape.max_positions,
        "left_pad_source": False,
        "sentemb_criterion": "cls" if shape.pooling == "cls" else "maxpool",
        "prepend_bos": shape.pooling == "cls" or student.state.prepend_bos,
    }
    model = OrderedDict(options)
    model.__dict__.update(options)
    own = {
        "version": __version__,
        "student": student.name,
        "space": student.space,
        "teacher": student.state.teacher.spec,
        "languages": list(student.state.languages),
    }
    return {"cfg": {"model": model}, "model": laser_tensors(student), "fairseq_distill": own}


def laser_tensors(student: Student) -> Dict[str, Tensor]:
    """The student's tensors by LASER3's names."""
    tensors: Dict[str, Tensor] = {"version": torch.tensor([3.0]), "embed_positions._float_tensor": torch.zeros(1)}
    rows = len(_pieces(student.state.dictionary)) + int(student.model.shape.final_norm)
    for name, tensor in student.model.state_dict().items():
        tensor = tensor.detach().cpu()
        if name == "embed_tokens.weight":
            tensors[name] = tensor[:rows].clone()
        elif ".qkv_proj." in name:
            for letter, part in zip("qkv", tensor.chunk(3)):
                tensors[name.replace(".qkv_proj.", f".self_attn.{letter}_proj.")] = part.clone()
        else:
            tensors[name.replace(".out_proj.", ".self_attn.out_proj.")] = tensor
    return tensors


def _pieces(dictionary: Dictionary) -> List[str]:
    """The symbols without ``<mask>``, which LASER's loader adds itself."""
    return dictionary.symbols[:-1] if dictionary.symbols[-1] == MASK else dictionary.symbols
