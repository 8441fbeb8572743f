"""A student's text path as ``tokenizer.json``: LASER's normalisation and a unigram SentencePiece model, for Hugging Face.

Everything is said in the normaliser, rule by rule, so that no code travels with the folder. The characters of category C, of
which none is left after the first rule, serve as marks of our own in between. Three differences to SentencePiece are known
and rare: text that is not in NFC and whose marks SentencePiece leaves in their order; ties between two ways to cut a word;
and letters that are younger than Python's Unicode tables where the folder was written.
"""

import base64
import unicodedata
from typing import Any, Dict, List, Sequence, Tuple

from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.dictionary import BOS, EOS, PAD, SPECIALS, UNK
from fairseq_distill.formats.spm_model import SpmSettings, read_spm_settings
from fairseq_distill.text import punctuation_rules

Json = Dict[str, Any]

_MARK = "\ue000"  # of category C, so no text has it after the first rule
_SPACES = r"[ \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"  # what Python's \s finds outside category C
_IGNORABLE = (
    r"['.:^`\x{a8}\x{ad}\x{af}\x{b4}\x{b7}\x{b8}\p{Mn}\p{Me}\p{Lm}\p{Sk}]"  # may stand between a word's letters
)
_CASED = rf"[[\p{{Lower}}\p{{Upper}}\p{{Lt}}]&&[^{_IGNORABLE[1:]}]"
_CONTEXTS = 5  # in a run of single letters between marks, every second mark is replaced, up to the ninth


def _between(letter: str, mark: str) -> str:
    """A mark between two letters as ``re.sub("(letter)mark(letter)")`` finds it: it uses up both letters of a match.

    Hugging Face's replacement has no groups, so the letters are looked at only, and the parity of the marks before is, too.
    """
    runs = [f"{letter}(?:{mark}{letter}){{{n}}}" for n in range(2 * _CONTEXTS)]
    choices = [f"(?<={runs[n]})(?<!{runs[n + 1]})" for n in range(0, 2 * _CONTEXTS - 1, 2)]
    return f"(?:{'|'.join(choices)}){mark}(?={letter})"


# Moses' rules with groups, said without: [(regular expression, replacement), …], in this order.
_WITHOUT_GROUPS: Dict[Tuple[str, str], List[Tuple[str, str]]] = {
    (r"\) ([.!:?;,])", r")\g<1>"): [(r"\) (?=[.!:?;,])", ")")],
    (r"(\d) %", r"\g<1>%"): [(r"(?<=\d) %", "%")],
    ("([a-zA-Z])‘([a-zA-Z])", r"\g<1>'\g<2>"): [(_between("[a-zA-Z]", "‘"), "'")],
    ("([a-zA-Z])’([a-zA-Z])", r"\g<1>'\g<2>"): [(_between("[a-zA-Z]", "’"), "'")],
    ("(\\d)\xa0(\\d)", r"\g<1>.\g<2>"): [(_between(r"\d", "\xa0"), ".")],
    # The quote becomes a mark, a quote follows the stops after the mark, the mark goes.
    ('"([,.]+)', r'\g<1>"'): [('"(?=[,.])', _MARK), (rf"{_MARK}[,.]+\K", '"'), (_MARK, "")],
}


def tokenizer_files(student: Student) -> Tuple[Json, Json, List[int]]:
    """``tokenizer.json``, ``tokenizer_config.json``, and the ids of rows that must be appended to every table of pieces.

    The dictionary's ids are kept. A piece that the dictionary lacks is ``<unk>`` to the student; here it gets a row of its own
    at the end, which is a copy of the row named in the list.

    Raises:
        ConfigError: the SentencePiece model is of a kind that cannot be said.
    """
    settings = read_spm_settings(student.state.spm)
    problems = misfits(student, settings)
    if problems:
        raise ConfigError(
            f"This student's SentencePiece model cannot be a tokenizer.json: it has {', '.join(problems)}. "
            "Export to safetensors or onnx instead."
        )
    vocabulary, copies, names = _vocabulary(student)
    begin = [BOS] * (student.model.prefix + int(student.state.prepend_bos))
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(number, names[number]) for number in range(len(SPECIALS))],
        "normalizer": {"type": "Sequence", "normalizers": normaliser_rules(settings)},
        "pre_tokenizer": None,
        "post_processor": _template(begin, names),
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False},
        "model": {"type": "Unigram", "unk_id": UNK, "vocab": vocabulary, "byte_fallback": False},
    }
    options = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": names[BOS],
        "pad_token": names[PAD],
        "eos_token": names[EOS],
        "unk_token": names[UNK],
        "model_max_length": student.state.max_length_pieces + student.model.prefix,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
        "truncation_side": "right",
        "split_special_tokens": True,  # "<s>" in a text is text
        "clean_up_tokenization_spaces": False,
    }
    return content, options, copies


def misfits(student: Student, settings: SpmSettings) -> List[str]:
    """What a SentencePiece model has that ``tokenizer.json`` cannot say exactly, in words; empty when it fits."""
    found = []
    if settings.kind != "unigram":
        found.append(f"kind {settings.kind} (not unigram)")
    if settings.byte_fallback:
        found.append("byte fallback")
    if settings.fixed_pieces:
        found.append(f"{settings.fixed_pieces:,} user-defined symbols")
    if settings.space_after or not settings.escape_spaces or not settings.fold_spaces or not settings.dummy_prefix:
        found.append("another handling of spaces than SentencePiece's default")
    return found


def normaliser_rules(settings: SpmSettings) -> List[Json]:
    """The text path up to SentencePiece's own search, as normalisers of the ``tokenizers`` package in their order."""
    rules = [_replace(_category_c(), " ")]
    for pattern, replacement in punctuation_rules():
        for found, content in _WITHOUT_GROUPS.get((pattern, replacement), [(pattern, replacement)]):
            if "\\" in content:  # sacremoses has changed
                raise DataError(f"Moses' rule {pattern!r} to {replacement!r} has no counterpart without groups.")
            rules.append(_replace(found, content))
    before = "|".join(f"(?<={_CASED}{_IGNORABLE * n})" for n in range(8))
    rules.append(_replace(f"(?:{before})Σ(?!{_IGNORABLE}*{_CASED})", "ς"))  # Python's lower() knows a word's end
    rules += [
        {"type": "Lowercase"},
        _replace(f"{_SPACES}+", " "),
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    if settings.charsmap:
        rules += _spm_normalisation(settings.charsmap)
    rules += [_replace(" {2,}", " "), {"type": "Strip", "strip_left": True, "strip_right": True}]
    rules += [{"type": "Prepend", "prepend": "\u2581"}, _literal(" ", "\u2581")]
    return rules


def _spm_normalisation(charsmap: bytes) -> List[Json]:
    # Hugging Face looks a SentencePiece table up letter by letter, and a letter with its marks only where both have fewer
    # than six bytes. NFKC, of which such tables are made, composes what it would miss. SentencePiece keeps one letter of NFKC's.
    return [
        _literal("\uff5e", _MARK),
        {"type": "NFKC"},
        _literal(_MARK, "\uff5e"),
        {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode("ascii")},
    ]


def _category_c() -> str:
    """A regular expression for the characters of category C by the Unicode tables of this Python, surrogates aside."""
    ranges: List[List[int]] = []
    for code in range(0x110000):
        if 0xD800 <= code <= 0xDFFF or unicodedata.category(chr(code))[0] != "C":
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges) + "]"


def _replace(pattern: str, content: str) -> Json:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _literal(text: str, content: str) -> Json:
    return {"type": "Replace", "pattern": {"String": text}, "content": content}


def _vocabulary(student: Student) -> Tuple[List[Tuple[str, float]], List[int], List[str]]:
    """(piece, score) by id, the rows to be copied, and the names of the special symbols."""
    tokenizer = student.tokenizer
    # What SentencePiece never gives has a name with spaces, which no text has at this place.
    names = [f"< {symbol.strip('<>')} >" for symbol in SPECIALS]
    unreached = [f"< {symbol} {number} >" for number, symbol in enumerate(student.state.dictionary.symbols)]
    vocabulary: List[Tuple[str, float]] = [(name, 0.0) for name in [*names, *unreached[len(names) :]]]
    copies: List[int] = []
    for number, row in enumerate(tokenizer.ids.tolist()):
        spm = tokenizer.spm
        if spm.is_unknown(number) or spm.is_control(number) or spm.is_unused(number):
            continue
        piece = (spm.id_to_piece(number), float(spm.get_score(number)))
        if row < len(SPECIALS):  # the dictionary lacks it
            vocabulary.append(piece)
            copies.append(row)
        else:
            vocabulary[row] = piece
    return vocabulary, copies, names


def _added(number: int, name: str) -> Json:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": name, **flags}


def _template(begin: Sequence[int], names: Sequence[str]) -> Json:
    """BOS so often, the sentence, EOS."""

    def special(number: int) -> Json:
        return {"SpecialToken": {"id": names[number], "type_id": 0}}

    def sentence(letter: str) -> Json:
        return {"Sequence": {"id": letter, "type_id": 0}}

    single = [*map(special, begin), sentence("A"), special(EOS)]
    used = {number: {"id": names[number], "ids": [number], "tokens": [names[number]]} for number in {*begin, EOS}}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, sentence("B"), special(EOS)],
        "special_tokens": {names[number]: entry for number, entry in used.items()},
    }
