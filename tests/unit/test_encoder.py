"""Batches keep within their budget and hold each sentence once; vectors come back in the order of the sentences."""

import threading
from dataclasses import dataclass, field
from typing import List, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_distill.encoder import PreparingEncoder, batches_by_length, encode_in_order, encode_stream
from fairseq_distill.errors import DataError

LENGTHS = st.lists(st.integers(0, 60), max_size=80)


@given(LENGTHS, st.integers(1, 200), st.integers(1, 10))
def test_every_sentence_is_in_one_batch_within_the_budget(lengths, max_tokens, max_sentences):
    batches = list(batches_by_length(lengths, max_tokens, max_sentences))
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert 1 <= len(batch) <= max_sentences
        assert len(batch) == 1 or len(batch) * longest <= max_tokens


@given(LENGTHS, st.integers(1, 200))
def test_no_batch_could_take_the_next_sentence(lengths, max_tokens):
    batches = list(batches_by_length(lengths, max_tokens))
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(lengths[i] for i in batch) > max_tokens


@given(LENGTHS)
def test_the_longest_come_first_and_equal_ones_in_their_order(lengths):
    order = [i for batch in batches_by_length(lengths, 100) for i in batch.tolist()]
    assert order == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


def test_lengths_may_be_an_array_of_any_integer_type():
    lengths = np.array([3, 200, 1], dtype=np.uint8)  # -200 does not fit into it
    assert [batch.tolist() for batch in batches_by_length(lengths, 6)] == [[1], [0, 2]]


@dataclass
class Spy:
    """An encoder whose vector of a sentence is its length and its first letter; it notes what it was asked for."""

    name = space = "spy:1"
    dim = 2
    pooling = "mean"
    normaliser = "none"
    seen: List[str] = field(default_factory=list)

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        self.seen.extend(sentences)
        return vectors(sentences)


def vectors(sentences):
    return np.array([[len(s), ord(s[0]) if s else 0] for s in sentences], np.float32).reshape(-1, 2)


@dataclass
class PreparingSpy(Spy):
    """The same, in two steps; it notes in which thread each ran."""

    threads: List[str] = field(default_factory=list)

    def prepare(self, sentences):
        self.threads.append(threading.current_thread().name)
        return list(sentences)

    def encode_prepared(self, prepared):
        self.threads.append(threading.current_thread().name)
        return self.encode(prepared)


@pytest.mark.parametrize("spy", [Spy, PreparingSpy])
@given(st.lists(st.text(max_size=3)))
def test_each_distinct_sentence_is_encoded_once_and_all_get_their_vector(spy, sentences):
    encoder = spy()
    rows = encode_in_order(encoder, sentences)
    assert rows.dtype == np.float32 and rows.shape == (len(sentences), 2)
    np.testing.assert_array_equal(rows, vectors(sentences))
    assert len(encoder.seen) == len(set(sentences)) and set(encoder.seen) == set(sentences)


@pytest.mark.parametrize("spy", [Spy, PreparingSpy])
@pytest.mark.parametrize("sizes", [[], [1], [3, 1, 4], [2] * 20])
def test_a_stream_gives_the_vectors_of_its_buffers_in_order(spy, sizes):
    lines = [f"{i % 7} line {i}" for i in range(sum(sizes))]
    starts = np.cumsum([0, *sizes])
    buffers = [lines[a:b] for a, b in zip(starts, starts[1:])]
    found = list(encode_stream(spy(), iter(buffers)))
    assert [len(rows) for rows in found] == sizes
    for rows, buffer in zip(found, buffers):
        np.testing.assert_array_equal(rows, vectors(buffer))


def test_text_is_prepared_in_another_thread_than_it_is_encoded_in():
    spy = PreparingSpy()
    assert isinstance(spy, PreparingEncoder) and not isinstance(Spy(), PreparingEncoder)
    list(encode_stream(spy, [["a"], ["b"], ["c"]]))
    main = threading.current_thread().name
    assert spy.threads.count(main) == 3 and len(spy.threads) == 6


def test_a_stream_reads_at_most_one_buffer_ahead():
    read: List[int] = []

    def buffers():
        for i in range(50):
            read.append(i)
            yield [str(i)]

    for count, _rows in enumerate(encode_stream(Spy(), buffers()), start=1):
        assert len(read) <= count + 1


def test_an_error_of_the_source_comes_after_the_buffers_before_it():
    def buffers():
        yield ["a"]
        raise DataError("text.swa, line 2: not valid UTF-8")

    stream = encode_stream(Spy(), buffers())
    np.testing.assert_array_equal(next(stream), vectors(["a"]))
    with pytest.raises(DataError, match="line 2"):
        next(stream)


@pytest.mark.parametrize("wrong", [lambda rows: rows[:-1], lambda rows: rows[:, :1], lambda rows: rows[0]])
def test_an_encoder_that_loses_rows_is_found_out(wrong):
    class Losing(Spy):
        def encode(self, sentences):
            return wrong(vectors(sentences))

    with pytest.raises(DataError, match="returned an array of shape .* for 3 sentences of width 2"):
        encode_in_order(Losing(), ["a", "b", "c", "a"])
