"""Language codes as the field writes them: ISO 639-3, with an ISO 15924 script where it matters (``swh_Latn``)."""

import re
import unicodedata
from dataclasses import dataclass

from fairseq_distill.errors import ConfigError

_CODE = re.compile(r"([a-z]{2,3})(?:[_-]([A-Z][a-z]{3}))?")

# Scripts that put no space between words, so that "a fraction of the words" means nothing in them.
UNSPACED_SCRIPTS = frozenset({"Hani", "Hans", "Hant", "Jpan", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
_UNSPACED_LANGUAGES = frozenset({"cmn", "zho", "yue", "jpn", "tha", "lao", "khm", "mya", "bod", "dzo", "shn", "ksw"})

# The usual script of a language, for codes that do not name one. Languages that are written in several scripts
# (Tamasheq, Kanuri, Fulfulde, Serbian, ...) are left out on purpose: there the text itself must tell.
_LANGUAGES_OF_SCRIPT = {
    "Latn": (
        "aar ach ada adh afr aka anu ast aym ayr bam bbj bci bem bin bis bre bum cat ceb ces cjk cos crs cym dag "
        "dan deu dga dik din dje  dop dyo dyu efi eng epo est eus ewe fao fij fil fin fon fra fry fur gaa gaz gla "
        "gle glg glv grn guw guz haw hat hil hrv hsb hun  ibo ilo ind isl ita jav kab kac kal kam kbp kea kik kin "
        "kmb kon kqn ktu lav lgg lim lin lit lmo loz ltg ltz lua lub lue lug  lun luo lus lvs mah mas mer mfe mlg "
        "mlt mos mri nbl nde ndc nia nld nno nob nor nso nus nya nyk nyn nzi oci orm pag pap pcm  plt pol por quy "
        "que rnd roh ron run sag scn seh sgh slk slv smo sna som sot spa sqi srd srn ssw sun swa swc swe swh szl "
        "teo tiv tll tog toi ton tpi tsc tsn tso ttj tum tur tvl twi umb urh vec ven vie vmw war wal wol xho xog "
        "yao yor zne zul"
    ),
    "Ethi": "amh tir tig gez",
    "Arab": "ara arb ary arz aeb apc ars acm acq ajp fas pes prs pus pbt urd ckb snd uig",
    "Cyrl": "rus ukr bel bul mkd kaz kir tat bak tgk che chv sah tyv",
    "Grek": "ell grc",
    "Hebr": "heb yid ydd",
    "Geor": "kat xmf",
    "Armn": "hye",
    "Deva": "hin mar nep npi san mai bho awa mag hne",
    "Beng": "ben asm",
    "Guru": "pan",
    "Gujr": "guj",
    "Orya": "ory ori",
    "Taml": "tam",
    "Telu": "tel",
    "Knda": "kan",
    "Mlym": "mal",
    "Sinh": "sin",
    "Thai": "tha",
    "Laoo": "lao",
    "Khmr": "khm",
    "Mymr": "mya shn ksw",
    "Tibt": "bod dzo",
    "Hani": "cmn zho yue lzh wuu",
    "Jpan": "jpn",
    "Kore": "kor",
    "Nkoo": "nqo",
    "Olck": "sat",
    "Thaa": "div",
}
_USUAL_SCRIPT = {code: script for script, codes in _LANGUAGES_OF_SCRIPT.items() for code in codes.split()}

# Further languages of the recipes and of FLORES-200: their script is read off the text.
_SCRIPT_FROM_TEXT = frozenset(
    "aze azj bjn bos bxk ful fuc fuv gjn gur hae hau hbs ind kas kau keo kln kmr knc kpz kur laj lko luc lwg min msa myx "
    "nuj shi srp taq ttq tuv tzm uzb".split()
)

# Codes that stand for several scripts at once, or for a part of another.
_SCRIPT_PARTS = {
    "Jpan": frozenset({"Hira", "Kana", "Hani"}),
    "Kore": frozenset({"Hang", "Hani"}),
    "Hans": frozenset({"Hani"}),
    "Hant": frozenset({"Hani"}),
}

# First words of Unicode's character names; a letter of any other name counts as a letter of no script.
_SCRIPT_OF_NAME = dict(
    entry.split("=")
    for entry in (
        "LATIN=Latn GREEK=Grek COPTIC=Copt CYRILLIC=Cyrl ARMENIAN=Armn HEBREW=Hebr ARABIC=Arab SYRIAC=Syrc "
        "THAANA=Thaa NKO=Nkoo DEVANAGARI=Deva BENGALI=Beng GURMUKHI=Guru GUJARATI=Gujr ORIYA=Orya TAMIL=Taml "
        "TELUGU=Telu KANNADA=Knda MALAYALAM=Mlym SINHALA=Sinh THAI=Thai LAO=Laoo TIBETAN=Tibt MYANMAR=Mymr "
        "GEORGIAN=Geor HANGUL=Hang ETHIOPIC=Ethi CHEROKEE=Cher CANADIAN=Cans KHMER=Khmr MONGOLIAN=Mong "
        "HIRAGANA=Hira KATAKANA=Kana BOPOMOFO=Bopo CJK=Hani YI=Yiii TIFINAGH=Tfng OL=Olck ADLAM=Adlm VAI=Vaii "
        "BAMUM=Bamu MEETEI=Mtei OSMANYA=Osma JAVANESE=Java BALINESE=Bali SUNDANESE=Sund CHAM=Cham BASSA=Bass "
        "MENDE=Mend MEDEFAIDRIN=Medf"
    ).split()
)


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

    @property
    def scripts(self) -> "frozenset[str]":
        """The scripts its text may be in, as :func:`script_of` names them; empty when only the text can tell."""
        script = self.script or _USUAL_SCRIPT.get(self.iso)
        if script is None:
            return frozenset()
        return _SCRIPT_PARTS.get(script, frozenset({script}))


def script_of(character: str) -> "str | None":
    """The ISO 15924 script of a letter or mark, ``Zyyy`` for one of no script; None for what is no letter.

    It goes by Unicode's character names, so that no table of a third party is needed.
    """
    if unicodedata.category(character)[0] not in "LM":
        return None
    return _SCRIPT_OF_NAME.get(unicodedata.name(character, "").partition(" ")[0], "Zyyy")


def parse_language(code: str) -> Language:
    """The parsed code.

    Raises:
        ConfigError: the code is not two or three lower-case letters with an optional script (``swa``, ``swh_Latn``).
    """
    match = _CODE.fullmatch(code)
    if not match:
        raise ConfigError(
            f"{code!r} is not a language code; write ISO 639-3 in lower case, with the script if it matters: "
            "swa, swh_Latn, taq_Tfng."
        )
    return Language(code, match.group(1), match.group(2))


def known_codes() -> "frozenset[str]":
    """The ISO 639-3 codes that this module has something about."""
    return _SCRIPT_FROM_TEXT.union(_USUAL_SCRIPT)


def without_region(code: str) -> str:
    """The code without a country or region: ``fra`` of ``fra-CA``, as test sets name varieties; others as they are."""
    return re.sub(r"[_-][A-Z]{2}$", "", code)


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
