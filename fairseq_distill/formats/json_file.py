"""JSON that others may have written or damaged: one kind of error, and values of the types that a dataclass says."""

import json
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Type, TypeVar, Union, get_args, get_origin, get_type_hints

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.numbers import finite, whole

Kind = TypeVar("Kind")

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def load_json(path: PathLike) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, not JSON, or nested too deeply.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def read_object(path: PathLike, mend: str) -> Dict[str, Any]:
    """The object in a small JSON file that a program of ours has written.

    Args:
        mend: what to do where it is damaged, for the error.

    Raises:
        DataError: it cannot be read, or holds no object.
    """
    try:
        found = load_json(path)
        _require(dict, found, "it")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or damaged: {error}; {mend}.") from error
    return found


def write_object(path: PathLike, content: Any) -> None:
    """Write a dataclass, or what JSON has, as indented JSON; read a dataclass again with :func:`from_json`.

    Raises:
        DataError: a number in it is not finite, something in it is nothing that JSON has, or the disk is full.
    """
    try:
        plain = asdict(content) if is_dataclass(content) and not isinstance(content, type) else content
        text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} was not written: {error}.") from error
    write_text(path, text + "\n")


def require_version(raw: Any, path: PathLike, version: int, mend: str) -> None:
    """Refuse an object whose ``format_version`` this version does not read.

    Args:
        mend: what to do then, for the error.

    Raises:
        DataError: it is of another version.
        ValueError: it is no object.
    """
    _require(dict, raw, "it")
    if raw.get("format_version") != version:
        raise DataError(f"{path} has format {raw.get('format_version')}, this version reads {version}; {mend}.")


def parse_json(text: str) -> Any:
    """What a JSON text holds; a ValueError where it is none, also where its brackets are nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error


def from_json(kind: Type[Kind], raw: Any) -> Kind:
    """A dataclass from its JSON object; fields that are dataclasses, and lists and dictionaries of them, too.

    Args:
        kind: a dataclass whose fields are plain types, ``Any``, Optional, List, Dict and dataclasses.
        raw: what :func:`load_json` gave.

    Raises:
        ValueError: a value is not of its field's type, a number is not finite or too large, or a field is unknown; it is named.
        TypeError: a field is missing.
    """
    return _object(kind, raw, "it")


def _object(kind: Any, raw: Any, place: str) -> Any:
    _require(dict, raw, place)
    hints = _hints(kind)
    unknown = [name for name in raw if name not in hints]
    if unknown:
        raise ValueError(f"{place} has an unknown field {unknown[0][:40]!r}")
    prefix = "" if place == "it" else f"{place}."
    return kind(**{name: _value(hints.get(name, Any), value, f"{prefix}{name}") for name, value in raw.items()})


@lru_cache(maxsize=None)
def _hints(kind: Any) -> Dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: Any, place: str) -> Any:
    """``value``, of the type that ``hint`` names."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Union:
        return None if value is None and type(None) in inner else _value(inner[0], value, place)
    if is_dataclass(hint):
        return _object(hint, value, place)
    if origin is list:
        _require(list, value, place)
        return [_value(inner[0], item, f"{place}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        _require(dict, value, place)
        return {key: _value(inner[1], item, f"{place}[{key[:40]!r}]") for key, item in value.items()}
    _require(hint, value, place)
    return value


def _require(kind: Any, value: Any, place: str) -> None:
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or isinstance(value, bool) and kind is not bool:
        found = "null" if value is None else _NAMES[type(value)]
        raise ValueError(f"{place} must be {_NAMES[kind]}, but is {found}")
    if kind in (int, float):
        try:
            finite(value) if kind is float else whole(value)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
