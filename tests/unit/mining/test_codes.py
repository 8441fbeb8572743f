"""What entries of a block stand for: limits never lose an entry above the floor, and are no lower than they must be."""

import numpy as np
import pytest

from fairseq_distill.mining.codes import BFloat16Code, Float32Code, LinearCode

CODES = [Float32Code(), BFloat16Code(), LinearCode(3.1e-5), LinearCode(1 / 32767)]
NAMES = ["float32", "bfloat16", "linear", "finest"]


def entries_of(code):
    if code.dtype == np.float32:
        return np.linspace(-1, 1, 5001, dtype=np.float32)
    values = np.arange(1 if code.lowest == 0 else code.lowest + 1, 0x3F81 if code.lowest == 0 else 1 << 15)
    return values.astype(np.int16)


@pytest.mark.parametrize("code", CODES, ids=NAMES)
def test_values_rise_with_their_entries(code):
    values = code.values(entries_of(code))
    assert values.dtype == np.float32 and (np.diff(values) > 0).all()


@pytest.mark.parametrize("code", CODES, ids=NAMES)
def test_a_limit_keeps_all_entries_above_the_floor_and_few_below(code):
    entries = entries_of(code)
    values = code.values(entries)
    random = np.random.default_rng(1)
    floors = np.concatenate(
        [random.choice(values, 300), random.uniform(max(-1, code.least), 1, 300).astype(np.float32)]
    )
    for floor, limit in zip(floors, code.limit(floors)):
        kept = entries > limit
        assert kept[values > floor].all()
        assert (kept & (values <= floor)).sum() <= 3


@pytest.mark.parametrize("code", CODES, ids=NAMES)
def test_without_a_floor_everything_that_counts_is_kept(code):
    limit = code.limit(np.full(1, -np.inf, np.float32))
    assert limit == code.lowest and (entries_of(code) > limit).all()


def test_bfloat16_is_read_from_its_bits():
    bits = np.array([0x3F80, 0x3F00, 0x3E80], np.int16)
    assert BFloat16Code().values(bits).tolist() == [1.0, 0.5, 0.25]


def test_a_floor_beyond_the_range_keeps_nothing_more():
    code = LinearCode(3.1e-5)
    assert code.limit(np.array([np.inf, 2.0], np.float32)).tolist() == [32767, 32767]
