"""Near copies of English sentences that mean something else: numbers, names and polarity exchanged by rule.

Ours, made in the spirit of xsim++ (Chen et al. 2023), for sets that have no published near copies. It is not the
published set: numbers measured with it compare encoders with each other, not with those of other papers.
"""

import re
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.augmented import Augmented

Span = Tuple[int, int]
Change = Tuple[int, int, str]  # from, to, what comes there instead

_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_NUMBER_WORDS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "hundred thousand million billion",
    "hundreds thousands millions billions",
    "second third fourth fifth sixth seventh eighth ninth tenth",
    "twice thrice",
)
_RANKS = {word: tuple(line.split()) for line in _NUMBER_WORDS for word in line.split()}

_ANTONYM_LINES = """more less|most least|increase decrease|increased decreased|increases decreases|increasing decreasing
rise fall|rose fell|rising falling|high low|higher lower|highest lowest|before after|above below|over under|always never
all none|good bad|better worse|best worst|win lose|won lost|winning losing|accept reject|accepted rejected|allow forbid
allowed forbidden|open close|opened closed|start stop|started stopped|begin end|began ended|large small|larger smaller
largest smallest|big little|long short|longer shorter|early late|earlier later|old new|older younger|first last|north south
northern southern|east west|eastern western|hot cold|warm cool|strong weak|stronger weaker|rich poor|safe dangerous
success failure|successful unsuccessful|support oppose|supported opposed|easy difficult|easier harder|possible impossible
legal illegal|many few|near far|inside outside|import export|imported exported|enter leave|entered left|arrive depart
arrived departed|buy sell|bought sold|positive negative|public private|remember forget|love hate|fast slow|faster slower
likely unlikely|true false|with without|because although|include exclude|included excluded|healthy sick|day night"""
_ANTONYMS: Dict[str, str] = {}
for _pair in _ANTONYM_LINES.replace("\n", "|").split("|"):
    _one, _two = _pair.split()
    _ANTONYMS.setdefault(_one, _two)
    _ANTONYMS.setdefault(_two, _one)
_NEGATABLE = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|must|may|might|has been|have been|had been)\b(?! not\b|n't)"
)
_NEGATED = re.compile(r"\b(is|are|was|were|could|will|would|should|must|may|might|do|does|did|has|have|had) not\b ?")
_WORD = re.compile(r"[^\W\d_]+")
_NAME = re.compile(r"\b[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*")


def augment(sentences: Sequence[str], per_type: int = defaults.AUGMENT_PER_TYPE, seed: int = 1) -> Augmented:
    """Near copies of each sentence: at most ``per_type`` of ``number``, ``entity`` and ``causality`` each.

    ``number`` exchanges digits or number words for others of the same shape; ``entity`` a name for another of the set with
    as many words; ``causality`` a word for its opposite, or adds or takes away a "not". No copy is equal to another or to
    a sentence of the set, or holds a tab. A sentence's copies do not depend on the others but for the names.

    Raises:
        ConfigError: ``per_type`` below 1.
    """
    if per_type < 1:
        raise ConfigError(f"{per_type} near copies of a sentence and type; give 1 or more.")
    names = names_of(sentences)
    known = set(sentences)
    found: List[Tuple[int, str, str]] = []
    for line, sentence in enumerate(sentences):
        rng = np.random.default_rng([seed, line])
        makers: Dict[str, Callable[[], Optional[Change]]] = {
            "number": _number_maker(sentence, rng),
            "entity": _entity_maker(sentence, names, rng),
            "causality": _causality_maker(sentence, rng),
        }
        for kind, make in makers.items():
            copies: Set[str] = set()
            for _ in range(4 * per_type):  # a draw may repeat one, or give a sentence of the set
                change = make()
                if change is None or len(copies) == per_type:
                    break
                copy = (sentence[: change[0]] + change[2] + sentence[change[1] :]).replace("\t", " ")  # for the .tsv
                if copy not in known:
                    known.add(copy)
                    copies.add(copy)
                    found.append((line, kind, copy))
    lines, kinds, texts = zip(*found) if found else ((), (), ())
    return Augmented(list(texts), np.array(lines, np.int64), list(kinds))


def names_of(sentences: Sequence[str]) -> Dict[int, List[str]]:
    """Number of words -> names of the set: capitalised words in the middle of a sentence, sorted."""
    found: Set[str] = set()
    for sentence in sentences:
        found.update(sentence[start:stop] for start, stop in _name_spans(sentence))
    by_words: Dict[int, List[str]] = {}
    for name in sorted(found):
        by_words.setdefault(name.count(" ") + 1, []).append(name)
    return by_words


def _name_spans(sentence: str) -> List[Span]:
    """Where the names are; a word after the sentence's beginning, a full stop or a quotation mark may be no name."""
    spans = []
    for match in _NAME.finditer(sentence):
        before = sentence[: match.start()].rstrip(" ")
        if before and before[-1] not in ".!?:;\"“'‘(" and match.group() != "I":
            spans.append(match.span())
    return spans


def _number_maker(sentence: str, rng: np.random.Generator) -> Callable[[], Optional[Change]]:
    spans = [match.span() for match in _DIGITS.finditer(sentence)]
    spans += [match.span() for match in _WORD.finditer(sentence) if match.group().lower() in _RANKS]

    def make() -> Optional[Change]:
        if not spans:
            return None
        start, stop = spans[rng.integers(len(spans))]
        old = sentence[start:stop]
        if old.lower() in _RANKS:
            return start, stop, _cased(_other(_RANKS[old.lower()], old.lower(), rng), old)
        return start, stop, _other_digits(old, rng)

    return make


def _other_digits(old: str, rng: np.random.Generator) -> str:
    """Another number with as many digits, points and commas in the same places, and no zero in front that was not there."""
    while True:
        new = "".join(
            c if not c.isdigit() else str(rng.integers(1 if place == 0 and c != "0" and len(old) > 1 else 0, 10))
            for place, c in enumerate(old)
        )
        if new != old:
            return new


def _entity_maker(
    sentence: str, names: Dict[int, List[str]], rng: np.random.Generator
) -> Callable[[], Optional[Change]]:
    spans = [(start, stop) for start, stop in _name_spans(sentence)]
    spans = [(start, stop) for start, stop in spans if len(names[sentence.count(" ", start, stop) + 1]) > 1]

    def make() -> Optional[Change]:
        if not spans:
            return None
        start, stop = spans[rng.integers(len(spans))]
        others = names[sentence.count(" ", start, stop) + 1]
        return start, stop, _other(others, sentence[start:stop], rng)

    return make


def _causality_maker(sentence: str, rng: np.random.Generator) -> Callable[[], Optional[Change]]:
    changes: List[Change] = []
    for match in _WORD.finditer(sentence):
        if match.group().lower() in _ANTONYMS:
            changes.append((*match.span(), _cased(_ANTONYMS[match.group().lower()], match.group())))
    negated = [match for match in _NEGATED.finditer(sentence)]
    changes += [(match.end(1), match.end(), " ") for match in negated]
    changes += [
        (match.start() + len(match.group().split()[0]),) * 2 + (" not",) for match in _NEGATABLE.finditer(sentence)
    ]

    def make() -> Optional[Change]:
        return changes.pop(rng.integers(len(changes))) if changes else None

    return make


def _other(words: Sequence[str], old: str, rng: np.random.Generator) -> str:
    others = [word for word in words if word != old]
    return others[rng.integers(len(others))]


def _cased(word: str, like: str) -> str:
    return word.upper() if like.isupper() and len(like) > 1 else word.capitalize() if like[0].isupper() else word
