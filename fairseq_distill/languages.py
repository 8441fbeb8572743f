"""Language codes as the field writes them: ISO 639-3, with an ISO 15924 script where it matters (``swh_Latn``)."""

import re
from dataclasses import dataclass

from fairseq_distill.errors import ConfigError

_CODE = re.compile(r"^([a-z]{2,3})(?:[_-]([A-Z][a-z]{3}))?$")

# Scripts that put no space between words, so that "a fraction of the words" means nothing in them.
UNSPACED_SCRIPTS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
_UNSPACED_LANGUAGES = frozenset({"cmn", "zho", "yue", "jpn", "tha", "lao", "khm", "mya", "bod", "dzo", "shn", "ksw"})


@dataclass(frozen=True)
class Language:
    """A language code, kept as the user typed it.

    Attributes:
        code: what the user typed, e.g. ``swh_Latn``.
        iso: the ISO 639 part, e.g. ``swh``.
        script: the ISO 15924 part, e.g. ``Latn``; None when not given.
    """

    code: str
    iso: str
    script: "str | None"

    @property
    def unspaced(self) -> bool:
        """True when the language is written without spaces between words."""
        if self.script is not None:
            return self.script in UNSPACED_SCRIPTS
        return self.iso in _UNSPACED_LANGUAGES


def parse_language(code: str) -> Language:
    """The parsed code.

    Raises:
        ConfigError: the code is not two or three lower-case letters with an optional script (``swa``, ``swh_Latn``).
    """
    match = _CODE.match(code)
    if not match:
        raise ConfigError(
            f"{code!r} is not a language code; write ISO 639-3 in lower case, with the script if it matters: "
            "swa, swh_Latn, taq_Tfng."
        )
    return Language(code, match.group(1), match.group(2))


def parse_pair(pair: str) -> "tuple[Language, Language]":
    """The two languages of ``eng-swa`` (hyphen between the codes, underscore before a script).

    Raises:
        ConfigError: not exactly two codes, or twice the same.
    """
    parts = pair.split("-")
    if len(parts) != 2:
        raise ConfigError(f"{pair!r} is not a language pair; write two codes with one hyphen between: eng-swa.")
    first, second = parse_language(parts[0]), parse_language(parts[1])
    if first == second:
        raise ConfigError(f"{pair!r} names the same language twice.")
    return first, second
