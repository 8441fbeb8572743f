"""Which product a search uses."""

import importlib.util
import sys
from typing import Dict, List, Type

from fairseq_distill.cpu import fast_bfloat16, fast_int8
from fairseq_distill.mining.int8_product import Int8Product
from fairseq_distill.mining.products import BFloat16Product, Float32Product, Product

KINDS: Dict[str, Type[Product]] = {kind.name: kind for kind in (Float32Product, BFloat16Product, Int8Product)}
PRECISIONS = ("auto", *KINDS)
# PyTorch is imported for a product that saves more time than the import costs.
_WORTH_IMPORT, _WORTH_TRYING = 6e11, 2e10  # multiplications and additions; PyTorch absent from memory, or there already


def fastest_kind() -> str:
    """The name of the product that large searches use on this processor."""
    if importlib.util.find_spec("torch") is None:
        return "float32"
    return "int8" if fast_int8() else "bfloat16" if fast_bfloat16() else "float32"


def kinds_to_try(precision: str, n: int, m: int, dim: int) -> List[str]:
    """Products for [n, dim] by [m, dim], the one to try first in front; float32 is the last wherever another may fail."""
    if precision != "auto":
        return [precision] if precision == "float32" else [precision, "float32"]
    least = _WORTH_TRYING if "torch" in sys.modules else _WORTH_IMPORT
    fastest = fastest_kind() if 2.0 * n * m * dim >= least else "float32"
    if fastest == "int8" and fast_bfloat16():  # its bound is narrower where cosines are close to each other
        return ["int8", "bfloat16", "float32"]
    return kinds_to_try(fastest, n, m, dim)
