"""A folder of sentence-transformers: ``modules.json`` names the class of each module, the modules' ``*.json`` further ones.

The library imports what they name. Before its version 6.0 that may be a class of a Python file in the folder itself, so
the names are looked at before it is asked to load anything.
"""

from pathlib import Path
from typing import Any, Iterator, List, Tuple

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import load_json

MODULES = "modules.json"
_STOCK = ("sentence_transformers.", "torch.nn.")
# Beside the modules themselves: settings of theirs that name a class. A name without a dot is one of transformers' own.
_NAMING = ("activation_function", "tokenizer_class", "types")


def require_stock_classes(folder: PathLike) -> None:
    """Raise unless a model's folder names classes of sentence-transformers and PyTorch alone; without modules it names none.

    Raises:
        DataError: ``modules.json`` or a module's settings name another class, or are damaged.
    """
    listed = Path(folder) / MODULES
    if not listed.exists():
        return
    modules = _modules(listed)
    for kind, _ in modules:
        _require_stock(kind, listed)
    for place in {Path(folder), *(Path(folder) / path for _, path in modules)}:
        for file in sorted(place.rglob("*config*.json")):
            for name in _named_classes(_read(file)):
                _require_stock(name, file)


def _modules(path: Path) -> List[Tuple[str, str]]:
    """(class, folder) of each module."""
    content = _read(path)
    found = []
    for one in content if isinstance(content, list) else []:
        kind, place = (one.get("type"), one.get("path")) if isinstance(one, dict) else (None, None)
        if isinstance(kind, str) and isinstance(place, str) and "\0" not in place:
            found.append((kind, place))
    if not found or len(found) != len(content):
        raise DataError(f"{path} is no list of modules, each with a type and a path; take the model's folder again.")
    return found


def _read(path: Path) -> Any:
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; take the model's folder again.") from error


def _named_classes(settings: Any) -> Iterator[str]:
    """The dotted names that settings give to classes."""
    for key in _NAMING:
        value = settings.get(key) if isinstance(settings, dict) else None
        names = list(value.values()) if isinstance(value, dict) else [value]
        yield from (name for name in names if isinstance(name, str) and "." in name)


def _require_stock(name: str, path: Path) -> None:
    if not name.startswith(_STOCK):
        raise DataError(
            f"{path} names the class {name}, which is none of sentence-transformers' or PyTorch's own: it would run code of "
            "the model's. If you trust that code, write a teacher of your own around it: python:FILE.py:NAME."
        )
