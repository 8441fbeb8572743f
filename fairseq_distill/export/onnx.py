"""A student as ``model.onnx``, from padded ids to vectors, with its text path and a small reader beside it."""

import importlib.util
import json
import logging
import warnings
from pathlib import Path
from typing import List

import torch

from fairseq_distill import __version__
from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import ConfigError
from fairseq_distill.export.folder import StudentOrPath, bytes_of, check_output, files_of, new_folder, opened
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.dictionary import BOS, EOS, PAD
from fairseq_distill.progress import Steps
from fairseq_distill.text import punctuation_rules

logger = logging.getLogger(__name__)

FORMAT = "fairseq_distill.onnx"
FORMAT_VERSION = 1
_OPSET = 17  # the first with LayerNormalization as one operator
_READER = Path(__file__).with_name("onnx_encode.py")


def onnx(student: StudentOrPath, output: PathLike, force: bool = False) -> List[str]:
    """Write a student for onnxruntime: ``model.onnx``, ``config.json``, ``spm.model`` and ``encode.py``.

    The model takes ``input_ids``, int64 [batch, pieces], padded on the right, and gives ``embedding``, float32 [batch, E].

    Args:
        student: a checkpoint's path, or the student itself.
        output: the folder.
        force: replace an earlier export.

    Returns:
        The names of the files.

    Raises:
        ConfigError: the package onnx is missing; the output is there, or has no folder to lie in.
        CheckpointError, DataError: the student cannot be read, the output not written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError("PyTorch needs the package onnx to write this format: pip install onnx onnxruntime")
    check_output(output, force)
    steps = Steps("export", 3)
    encoder = opened(student, steps)
    with new_folder(output, force, steps, "trace and write", bytes_of(encoder)) as folder:
        write_model(encoder, folder / "model.onnx")
        write_text(folder / "config.json", json.dumps(text_path(encoder), ensure_ascii=False) + "\n")
        (folder / "spm.model").write_bytes(encoder.state.spm)
        write_text(folder / "encode.py", _READER.read_text(encoding="utf-8"))
        names = files_of(folder)
    logger.info(f"{encoder.name} | onnx | {output}")
    return names


def write_model(student: Student, path: Path) -> None:
    """Trace the encoder on two sentences, one of them padded: so the trace has the mask, and goes for every batch."""
    sample = torch.tensor([[5, 6, 7, EOS], [6, EOS, PAD, PAD]]).clamp_max(student.model.shape.vocabulary - 1)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # numbers that PyTorch takes for constants are ones: widths, limits
        torch.onnx.export(
            student.model,
            (sample,),
            str(path),
            dynamo=False,  # torch.export's own exporter wants one more package, onnxscript
            opset_version=_OPSET,
            input_names=["input_ids"],
            output_names=["embedding"],
            dynamic_axes={"input_ids": {0: "batch", 1: "pieces"}, "embedding": {0: "batch"}},
        )


def text_path(student: Student) -> "dict[str, object]":
    """What ``encode.py`` needs to make the student's ids of a line, and who the student is."""
    state = student.state
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fingerprint": student.name,
        "teacher": dict(vars(state.teacher)),
        "languages": list(state.languages),
        "fairseq_distill": __version__,
        "normaliser": state.normaliser,
        "dim": student.dim,
        "max_length_pieces": state.max_length_pieces,
        "prepend_bos": int(state.prepend_bos),
        "bos": BOS,
        "pad": PAD,
        "eos": EOS,
        "punctuation": punctuation_rules(),
        "ids": student.tokenizer.ids.tolist(),
    }
