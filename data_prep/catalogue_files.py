"""Readers of translated message catalogues: gettext's .mo and .po, and LibreOffice's .xcd registries."""

import gettext
import re
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike

_MAGIC = 0x950412DE
_CONTEXT, _PLURAL = "\x04", "\x00"
_CHARSET = re.compile(r"charset=([\w.:-]+)", re.IGNORECASE)
_PLURAL_FORMS = re.compile(r"^Plural-Forms:.*?plural=([^;\n]+)", re.IGNORECASE | re.MULTILINE)
_MANY = 5  # a number that every language counts as many


@dataclass
class Message:
    """One entry of a catalogue.

    Attributes:
        source: the English text, without its context.
        translations: one text, or one for each plural form; empty strings where it is not translated.
        plural: the English plural, if there is one.
        fuzzy: the translation is marked as unsure.
    """

    source: str
    translations: List[str]
    plural: Optional[str] = None
    fuzzy: bool = False


@dataclass
class Catalogue:
    """The messages of one file, without its header, and the form that each number takes."""

    messages: List[Message] = field(default_factory=list)
    plural_form: Callable[[int], int] = lambda n: int(n != 1)

    def pairs(self) -> Iterator[Tuple[str, str, bool]]:
        """(English, translation, fuzzy) of each message; of a plural both the singular and the plural."""
        for message in self.messages:
            if message.plural is None:
                yield message.source, message.translations[0] if message.translations else "", message.fuzzy
                continue
            one, many = (self._form(message, n) for n in (1, _MANY))
            if one != many:  # a language with a single form has no singular
                yield message.source, one, message.fuzzy
            yield message.plural, many, message.fuzzy

    def _form(self, message: Message, n: int) -> str:
        form = self.plural_form(n)
        return message.translations[form] if form < len(message.translations) else ""


def _plural_form(header: str) -> Callable[[int], int]:
    found = _PLURAL_FORMS.search(header)
    if found is None:
        return lambda n: int(n != 1)
    try:
        form = gettext.c2py(found[1].strip())  # type: ignore[attr-defined]
        if not 0 <= min(form(1), form(_MANY)):
            return lambda n: int(n != 1)
    except (ValueError, ArithmeticError, RecursionError):
        return lambda n: int(n != 1)
    return form


def _message(key: str, value: str) -> Message:
    source, mark, plural = key.rpartition(_CONTEXT)[2].partition(_PLURAL)
    return Message(source, value.split(_PLURAL), plural if mark else None)


def read_mo(path: PathLike) -> Catalogue:
    """The messages of a compiled catalogue, in the file's order.

    Raises:
        DataError: not a .mo file, truncated, or not in the character set that it names.
    """
    content = Path(path).read_bytes()
    order = next((sign for sign in "<>" if content[:4] == struct.pack(f"{sign}I", _MAGIC)), None)
    if order is None:
        raise DataError(f"{path} is not a compiled gettext catalogue (.mo).")
    try:
        n, originals, translations = struct.unpack_from(f"{order}3I", content, 8)
        entries, named = [], 0
        for i in range(n):
            both = []
            for table in (originals, translations):
                length, start = struct.unpack_from(f"{order}2I", content, table + 8 * i)
                named += length
                if start + length > len(content) or named > 4 * len(content):
                    raise struct.error("its entries name more bytes than it has")
                both.append(content[start : start + length])
            entries.append(both)
    except struct.error as error:
        raise DataError(f"{path} is a truncated catalogue ({error}).") from error
    header = next((value.decode("ascii", "replace") for key, value in entries if not key), "")
    charset = _CHARSET.search(header)
    try:
        decoded = [[part.decode(charset[1] if charset else "utf-8") for part in both] for both in entries]
    except (UnicodeError, LookupError, ValueError) as error:
        raise DataError(f"{path} is not in the character set that it names: {error}.") from error
    return Catalogue([_message(key, value) for key, value in decoded if key], _plural_form(header))


_PO_LINE = re.compile(r'^(?:(msgctxt|msgid|msgid_plural|msgstr)(?:\[(\d+)\])?\s*)?("(?:[^"\\]|\\.)*")\s*$')


def read_po(path: PathLike) -> Catalogue:
    """The messages of a source catalogue, in the file's order, without obsolete ones.

    Raises:
        DataError: a line is none of a .po file's (file and line are named), or the character set is wrong.
    """
    content = Path(path).read_bytes()
    charset = _CHARSET.search(content.decode("ascii", "replace"))
    try:
        name = charset[1] if charset and charset[1] != "CHARSET" else "utf-8"
        lines = content.decode(name).replace("\r\n", "\n").split("\n")
    except (UnicodeError, LookupError, ValueError) as error:
        raise DataError(f"{path} is not in the character set that it names: {error}.") from error
    header = ""
    messages = []
    for entry in _po_entries(lines, path):
        forms = [entry[key] for key in sorted((k for k in entry if k.startswith("msgstr")), key=lambda k: (len(k), k))]
        if not entry.get("msgid") and "msgctxt" not in entry:
            header = forms[0] if forms else ""
        elif "msgid" in entry:
            messages.append(Message(entry["msgid"], forms, entry.get("msgid_plural"), "fuzzy" in entry))
    return Catalogue(messages, _plural_form(header))


def _po_entries(lines: List[str], path: PathLike) -> Iterator[Dict[str, str]]:
    """Each entry's texts by keyword (``msgstr``, or ``msgstr0``, ``msgstr1`` …), with ``fuzzy`` when it is flagged."""
    entry: Dict[str, str] = {}
    keyword, flagged = "", False
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if stripped.startswith("#"):
            flagged = flagged or (stripped.startswith("#,") and "fuzzy" in stripped)
            continue
        if not stripped:
            continue
        match = _PO_LINE.match(stripped)
        if match is None or not (match[1] or keyword):
            raise DataError(f"{path}, line {number:,}: {stripped[:40]!r} is no line of a .po catalogue.")
        if match[1]:
            if match[1] == "msgctxt" or (match[1] == "msgid" and keyword != "msgctxt"):
                if entry:
                    yield entry
                entry, flagged = ({"fuzzy": ""} if flagged else {}), False
            keyword = match[1] + (match[2] or "")
            entry[keyword] = ""
        entry[keyword] += _unescape(match[3])
    if entry:
        yield entry


_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unescape(quoted: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), quoted[1:-1])


_DEEPEST = 100  # elements of a registry inside one another
_OOR = "{http://openoffice.org/2001/registry}"


def read_registry(path: PathLike) -> Dict[Tuple[str, ...], str]:
    """The texts of a LibreOffice registry (``registry_zu.xcd``) by their place in it.

    Another language's registry of the same version has the same places; gettext has none of these texts.

    Raises:
        DataError: not XML.
    """
    texts: Dict[Tuple[str, ...], str] = {}

    def walk(element: ElementTree.Element, place: Tuple[str, ...]) -> None:
        if element.tag == "value":
            texts[place] = element.text or ""
            return
        if len(place) > _DEEPEST:
            raise DataError(f"{path} is nested more than {_DEEPEST} elements deep, as no LibreOffice registry is.")
        for child in element:
            walk(child, (*place, child.get(_OOR + "name") or child.tag))

    try:
        for component in ElementTree.parse(path).getroot():
            walk(component, (component.get(_OOR + "package", ""), component.get(_OOR + "name", "")))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path} is not a LibreOffice registry: {error}.") from error
    return texts
