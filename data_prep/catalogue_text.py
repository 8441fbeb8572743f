"""Message texts as sentences: accelerator marks, placeholders, mark-up and line breaks go from both sides alike."""

import html
import re
from collections import Counter
from difflib import SequenceMatcher
from typing import Dict, Iterator, List, Match, Optional, Pattern, Tuple

from fairseq_distill.text import strip_controls

# --- accelerator marks: the letter after the mark is underlined in a menu

_MARKED = {
    "_": re.compile(r"_(?=[^\W\d_])"),
    "&": re.compile(r"&(?=[^\W\d_])(?!#?\w+;)"),
    "~": re.compile(r"~(?=\w)"),
}
_BRACKETED = re.compile(r"\s*\([_&~]\w\)")  # behind a text in a script without that letter: "檔案(_F)"
_CAPITALS = re.compile(r"[A-Z][&_][A-Z]")  # AT&T, PAGE_WIDTH


def strip_accelerators(source: str, target: str) -> Tuple[str, str]:
    """Both texts without the mark that the source uses: GTK's ``_``, Qt's ``&`` or LibreOffice's ``~``.

    Only a single mark counts, and none in a word that stands on both sides as it is (``file_name``, ``AT&T``).
    """
    for mark, pattern in _MARKED.items():
        places = _mark_places(source, target, mark, pattern)
        if len(places) == 1:
            target = _BRACKETED.sub("", target)
        others = _mark_places(target, source, mark, pattern)
        if len(others) == 1 and (places or others[0] == 0):  # some have a mark in the translation alone
            target = target[: others[0]] + target[others[0] + 1 :]
        if len(places) == 1:
            source = source[: places[0]] + source[places[0] + 1 :]
        source, target = source.replace(mark * 2, mark), target.replace(mark * 2, mark)
    return source, target


def _mark_places(text: str, other: str, mark: str, pattern: "Pattern[str]") -> List[int]:
    return [match.start() for match in pattern.finditer(text) if not _is_name(text, other, match.start(), mark)]


def _is_name(text: str, other: str, place: int, mark: str) -> bool:
    word = next(match[0] for match in re.finditer(r"\S+", text) if match.start() <= place < match.end())
    return (not word.startswith(mark) and word in other) or _CAPITALS.search(word) is not None


# --- mark-up

_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|body|br|code|dd|div|dl|dt|em|emph|font|h[1-6]|hr|html|i|img|item|kbd|li|link|literal|menuitem|nobr|ol|p|"
    r"pre|q|s|small|span|strong|style|sub|sup|table|tbody|td|th|tr|tt|u|ul|var|app|command|filename|guilabel|option)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_BREAKING = re.compile(r"</?(?:br|p|li|ul|ol|tr|td|div|h[1-6]|hr|dd|dt|table)\b", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{2,6}|#x[0-9A-Fa-f]{2,6});")


def strip_markup(text: str) -> str:
    """The text without HTML, Pango and DocBook tags, and with characters for entities."""
    text = _TAG.sub(lambda tag: " " if _BREAKING.match(tag[0]) else "", text)
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)


# --- placeholders

_NAMES = {"%PRODUCTNAME": "LibreOffice", "%PRODUCTVERSION": "7", "%PRODUCTEXTENSION": ""}
_PLACEHOLDER = re.compile(
    r"""(?P<percent>%%)
    | %(?P<python>\(\w+\))[-+\#0]*\d*(?:\.\d+)?(?P<pythontype>[diouxXeEfgGcrs])
    | %(?P<position>\d+\$)?[-+\#0']*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|q|j|z|t|L|I64)(?P<longtype>[diouxXeEfgGcs])
    | (?P<name>%\{\w+\} | %[A-Z][A-Z_]{2,}\d*%?(?![a-z]) | %[a-z]{3,}%?(?![A-Z]) | \$\{\w+\} | \$\(\w+\) | \$[A-Za-z]\w*\$
        | \{[\w.:!\#-]{0,30}\} | %L?[1-9]\d?(?!\d|[.,]\d|\$|[disuxf]\b) | \$[1-9](?!\d|[.,]\d) | \#\w+\#)
    | %(?P<numbered>\d+\$)?[-+\#0']*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?P<type>[disuxf]|[oXeEgGcpmn@](?![A-Za-z]))
    """,
    re.VERBOSE,
)
_LETTERS = "XYZWVUTSRQ"


def _placeholder(match: "Match[str]", counter: "Counter[str]") -> Tuple[str, bool]:
    """What identifies a placeholder on both sides, and whether a number stands in its place."""
    if match["name"]:
        return match["name"], False
    if match["python"]:
        return match["python"], match["pythontype"] not in "crs"
    kind = match["longtype"] or match["type"]
    position = match["position"] or match["numbered"]
    if position is None:
        counter["printf"] += 1
        position = f"{counter['printf']}$"
    return position, kind not in "cspm@"


def fill_placeholders(source: str, target: str) -> Optional[Tuple[str, str, int]]:
    """Both texts with a plain word or number for each placeholder, the same on both sides, and how many there were.

    ``%s``, ``%(name)s``, ``%1$s``, ``{0}``, ``$1``, ``${name}``, ``%1``, ``%NAME`` and the like. None when the two
    sides have different ones.
    """
    for name, value in _NAMES.items():
        source, target = source.replace(name, value), target.replace(name, value)
    stand_ins: Dict[str, str] = {}
    used: List["Counter[str]"] = []

    def fill(text: str) -> str:
        counter: "Counter[str]" = Counter()
        found: "Counter[str]" = Counter()

        def replacement(match: "Match[str]") -> str:
            if match["percent"]:
                return "%"
            key, numeric = _placeholder(match, counter)
            found[key] += 1
            if key not in stand_ins:
                position = len(stand_ins)
                stand_ins[key] = str(position + 3) if numeric else _LETTERS[position % len(_LETTERS)]
            return stand_ins[key]

        filled = _PLACEHOLDER.sub(replacement, text)
        used.append(found)
        return filled

    filled = fill(source), fill(target)
    if set(used[0]) != set(used[1]):
        return None
    return filled[0], filled[1], sum(used[0].values())


# --- judging

_OPTION = re.compile(r"(?:^|\s)--?[A-Za-z]|^\s*usage:", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9]+(?:[_.:][A-Za-z0-9]+)+$")
MIN_LETTERS = 3
NEARLY_THE_SAME = (
    0.9  # share of letters in common, from which on a "translation" is the English text in another spelling
)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _paragraphs(source: str, target: str) -> Iterator[Tuple[str, str]]:
    """The two texts by paragraph when they have equally many (blank lines between), else as one pair."""
    sides = [re.split(r"\n[ \t]*\n", text) for text in (source, target)]
    if len(sides[0]) == len(sides[1]):
        yield from zip(*sides)
    else:
        yield source, target


def clean_message(source: str, target: str, fuzzy: bool = False) -> Iterator[Tuple[str, str, str]]:
    """(English, translation, reason) of each paragraph of a message; the reason is empty for what is kept."""
    if not target.strip():
        yield source, target, "untranslated"
        return
    if fuzzy:
        yield source, target, "fuzzy"
        return
    for part in _paragraphs(source, target):
        yield _clean_paragraph(*part)


def _clean_paragraph(source: str, target: str) -> Tuple[str, str, str]:
    plain = strip_markup(source), strip_markup(target)
    filled = fill_placeholders(*strip_accelerators(*plain))
    if filled is None:
        return source, target, "placeholder_mismatch"
    source, target = strip_controls(filled[0]), strip_controls(filled[1])
    return source, target, _reason(source, target, filled[2])


def _reason(source: str, target: str, n_placeholders: int) -> str:
    if not source or not target or source.lower() == target.lower():
        return "untranslated"
    if min(_letters(source), _letters(target)) < MIN_LETTERS:
        return "too_short"
    if _OPTION.search(source):
        return "command_line"
    if _IDENTIFIER.match(source):
        return "identifier"
    if n_placeholders and n_placeholders >= len(_WORD.findall(source)):
        return "mostly_placeholders"
    for text in (source, target):
        if _letters(text) * 2 < len(text.replace(" ", "")):
            return "mostly_symbols"
    likeness = SequenceMatcher(None, source.lower(), target.lower(), autojunk=False)
    if all(share() >= NEARLY_THE_SAME for share in (likeness.real_quick_ratio, likeness.quick_ratio, likeness.ratio)):
        return "nearly_untranslated"  # the bounds are cheap, and rule out most
    return ""
