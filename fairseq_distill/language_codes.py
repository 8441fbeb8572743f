"""Whether a language code stands for a language: a slip of the pen is said, a code of one's own is let through."""

import difflib
import logging
from typing import Iterable, List

from fairseq_distill.languages import known_codes, parse_language

logger = logging.getLogger(__name__)


def suggestions(code: str) -> "List[str] | None":
    """What may have been meant by a code (``sw``: ``swa``), nearest first; None where it stands for a language.

    All of ISO 639-3 is known where mtdata is installed, as it is in the environment of the recipes; else the languages whose
    script is.
    """
    iso, here = parse_language(code).iso, known_codes()
    if iso in here:
        return None
    near = difflib.get_close_matches(iso, sorted(here), 3)
    try:
        from mtdata.iso.iso639 import iso3_code
        from mtdata.iso.iso639_3 import CODES
    except ImportError:
        return near
    if iso in CODES:
        return None
    meant = iso3_code(iso)  # of two letters, or of ISO 639-2: ger
    return [meant] if meant else near


def warn_of_unknown(codes: Iterable[str]) -> None:
    """A warning for each code that stands for no language, with what may have been meant.

    Raises:
        ConfigError: a code is not of the form of one.
    """
    for code in dict.fromkeys(codes):
        near = suggestions(code)
        if near is not None:
            hint = f"; did you mean {' or '.join(near)}?" if near else "."
            logger.warning(f"{code!r} stands for no language in ISO 639-3 and is taken as it is{hint}")
