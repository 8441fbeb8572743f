"""What a SentencePiece model says about itself beyond its pieces: how it normalises, and of which kind it is.

The Python package does not hand these out without protobuf's own package, so the few fields are read from the file's bytes:
``ModelProto.trainer_spec`` is field 2, ``normalizer_spec`` field 3 (google/sentencepiece, ``sentencepiece_model.proto``).
"""

from typing import Dict, Iterator, NamedTuple, Tuple, Union

from fairseq_distill.errors import DataError

_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class SpmSettings(NamedTuple):
    """How a SentencePiece model treats text.

    Attributes:
        kind: ``unigram``, ``bpe``, ``word`` or ``char``.
        charsmap: the compiled normalisation; empty when there is none.
        dummy_prefix: whether a space is put before the text.
        fold_spaces: whether spaces at the ends go and several become one.
        escape_spaces: whether a space becomes U+2581.
        space_after: whether that mark stands after a word instead of before it.
        byte_fallback: whether unknown characters become bytes.
        fixed_pieces: how many pieces are cut out before all others, whatever their score (``user_defined_symbols``).
    """

    kind: str
    charsmap: bytes
    dummy_prefix: bool
    fold_spaces: bool
    escape_spaces: bool
    space_after: bool
    byte_fallback: bool
    fixed_pieces: int


_USER_DEFINED = 4  # SentencePiece.Type


def read_spm_settings(model: bytes) -> SpmSettings:
    """The settings of a serialised SentencePiece model.

    Raises:
        DataError: the bytes are no protobuf message.
    """
    try:
        pieces, trainer, normaliser = [], {}, {}
        for number, content in _fields(model):
            if number == 1:
                pieces.append(dict(_fields(_bytes(content))))
            elif number == 2:
                trainer = dict(_fields(_bytes(content)))
            elif number == 3:
                normaliser = dict(_fields(_bytes(content)))
    except (IndexError, ValueError) as error:
        raise DataError(f"The SentencePiece model cannot be read: {error}.") from error
    return SpmSettings(
        kind=_KINDS.get(int(trainer.get(3, 1)), "unknown"),
        charsmap=_bytes(normaliser.get(2)),
        dummy_prefix=bool(normaliser.get(3, 1)),
        fold_spaces=bool(normaliser.get(4, 1)),
        escape_spaces=bool(normaliser.get(5, 1)),
        space_after=bool(trainer.get(24, 0)),
        byte_fallback=bool(trainer.get(35, 0)),
        fixed_pieces=sum(piece.get(3) == _USER_DEFINED for piece in pieces),
    )


def _bytes(value: Union[int, bytes, None]) -> bytes:
    return value if isinstance(value, bytes) else b""


def _fields(message: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    """(number, value) of each field of a protobuf message: an int, or the bytes of whatever else."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        fixed: Dict[int, int] = {1: 8, 5: 4}
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in fixed:
            length = fixed[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + length > len(message):
            raise ValueError(f"it ends at byte {len(message)}, within a field that goes to {at + length}")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> Tuple[int, int]:
    """The number that begins at a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {at}")
