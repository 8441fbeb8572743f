"""What a validation measures on one valid set, and how the sets of all processes become fairseq's metrics. Registers nothing."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from fairseq.logging import metrics

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.collapse import relative_variance, spread
from fairseq_distill.evaluation.xsim import xsim_margins
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.modules.losses import cosine_distillation_loss

MARGINS = ("absolute", "distance", "ratio")
_SPREAD = {"mean_cosine": 4, "variance": 6, "relative_variance": 4}  # digits in the log
_MEASURED = (*(f"xsim_{margin}" for margin in MARGINS), *_SPREAD)


def line_labels(text: Optional[Path], n: int) -> np.ndarray:
    """int64 [n], equal numbers for equal teacher-side lines, so that a repeated line is not an error of xsim."""
    if text is None:
        return np.arange(n)
    first: Dict[str, int] = {}
    return np.array([first.setdefault(line, len(first)) for line in read_lines(text)], dtype=np.int64)


def validate(model: Any, sample: Dict[str, Any], k: int) -> Dict[str, float]:
    """Mean distance to the teacher, xsim in percent with three margins, and how far apart the embeddings lie."""
    teacher = sample["teacher"].float()
    student = torch.empty_like(teacher)
    for batch in sample["batches"]:
        student[batch["rows"]] = model(batch["src_tokens"], len(batch["rows"]))["embedding"].to(student)
    result = {"distil": float(cosine_distillation_loss(student, teacher).mean())}
    if not torch.isfinite(student).all():
        raise DataError("The student's embeddings hold NaN or infinity: lower --lr or raise --warmup-updates.")
    found = xsim_margins(
        student.cpu().numpy(), teacher.cpu().numpy(), k=k, labels=sample["labels"].cpu().numpy(), precision="float32"
    )
    result.update({f"xsim_{margin}": each.percent for margin, each in found.items()})
    ours, theirs = spread(student.cpu().numpy()), spread(teacher.cpu().numpy())
    result["mean_cosine"], result["variance"] = ours.mean_cosine, ours.variance
    result["relative_variance"] = relative_variance(ours, theirs)
    return result


def validation_log(result: Dict[str, float], sample: Dict[str, Any], languages: Sequence[str]) -> Dict[str, Any]:
    """The log of one valid set, in keys that add up over processes.

    Args:
        result: what :func:`validate` gives for the set.
        sample: the set.
        languages: of all valid sets; every log holds the keys of every set, with zeros for those of other processes.
    """
    n = sample["nsentences"]
    log: Dict[str, Any] = {
        "loss": result["distil"] * n,
        "sample_size": n,
        "nsentences": n,
        "ntokens": sample["ntokens"],
    }
    for number, language in enumerate(languages):
        here = 1.0 if number == sample["valid_set"] else 0.0
        log[f"sets_{number}_{language}"] = here
        log.update({f"{key}_{number}_{language}": here * result[key] for key in _MEASURED})
    return log


def reduce_validation(logs: List[Dict[str, Any]], margin: str) -> None:
    """xsim and the spread of embeddings as means over valid sets, in all and for each language, into fairseq's metrics.

    Args:
        logs: of :func:`validation_log`; a log of training, which has no valid sets, adds nothing.
        margin: the one whose error rate is named ``xsim``.
    """
    for key in logs[0] if logs else ():
        sets = sum(float(log[key]) for log in logs) if key.startswith("sets_") else 0.0
        if not sets:
            continue
        suffix = key[len("sets_") :]
        language = suffix.split("_", 1)[1]
        for name in MARGINS:
            percent = sum(float(log[f"xsim_{name}_{suffix}"]) for log in logs) / sets
            metrics.log_scalar(f"xsim_{name}", percent, sets, round=2)
            if name == margin:
                metrics.log_scalar("xsim", percent, sets, round=2)
                metrics.log_scalar(f"xsim_{language}", percent, sets, round=2)
        for name, digits in _SPREAD.items():
            mean = sum(float(log[f"{name}_{suffix}"]) for log in logs) / sets
            metrics.log_scalar(name, mean, sets, round=digits)
            metrics.log_scalar(f"{name}_{language}", mean, sets, round=digits)
