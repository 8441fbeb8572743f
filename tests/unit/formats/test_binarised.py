"""Binarised files of every integer type are read as they were laid down, and damage is found when they are opened."""

import struct
import tracemalloc

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.binarised import open_binarised

CODES = {np.uint8: 1, np.int8: 2, np.int16: 3, np.int32: 4, np.int64: 5, np.uint16: 8, np.uint32: 9, np.uint64: 10}
PAD = 1


def sentences(n, seed=1, most=100, longest=9):
    rng = np.random.default_rng(seed)
    return [[*rng.integers(4, most, rng.integers(0, longest)).tolist(), 2] for _ in range(n)]


def write(prefix, rows, dtype=np.uint16, code=None, magic=b"MMIDIDX\x00\x00"):
    """The layout of fairseq's MMapIndexedDatasetBuilder, spelt out."""
    item = np.dtype(dtype)
    lengths = np.array([len(row) for row in rows], np.int32)
    pointers = (np.cumsum(lengths, dtype=np.int64) - lengths) * item.itemsize
    head = magic + struct.pack("<Q", 1) + struct.pack("<B", CODES[dtype] if code is None else code)
    prefix.with_suffix(".idx").write_bytes(head + struct.pack("<Q", len(rows)) + lengths.tobytes() + pointers.tobytes())
    prefix.with_suffix(".bin").write_bytes(b"".join(np.array(row, item).tobytes() for row in rows))


def gather_slowly(rows, indices, pad, width):
    return [rows[i] + [pad] * (width - len(rows[i])) for i in indices]


@pytest.mark.parametrize("dtype", list(CODES))
def test_every_type_comes_back(tmp_path, dtype):
    rows = sentences(50)
    write(tmp_path / "train", rows, dtype)
    found = open_binarised(tmp_path / "train")
    assert len(found) == 50
    assert [found[i].tolist() for i in range(50)] == rows
    assert found.lengths.tolist() == [len(row) for row in rows]
    assert isinstance(found.tokens, np.memmap)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
@pytest.mark.parametrize("order", ["first", "last", "all", "backwards", "repeated", "random"])
def test_gather_equals_padding_row_by_row(tmp_path, dtype, order):
    rows = sentences(40, seed=2)
    write(tmp_path / "train", rows, dtype)
    indices = {
        "first": [0],
        "last": [39],
        "all": list(range(40)),
        "backwards": list(range(39, -1, -1)),
        "repeated": [3, 3, 39, 3],
        "random": np.random.default_rng(3).permutation(40).tolist(),
    }[order]
    width = max(len(rows[i]) for i in indices)
    found = open_binarised(tmp_path / "train").gather(np.array(indices), PAD)
    assert found.dtype == np.int64
    assert found.tolist() == gather_slowly(rows, indices, PAD, width)
    wider = open_binarised(tmp_path / "train").gather(np.array(indices), PAD, width + 3)
    assert wider.tolist() == gather_slowly(rows, indices, PAD, width + 3)


def test_a_matrix_too_narrow_is_a_bug(tmp_path):
    write(tmp_path / "train", [[5, 6, 2]])
    with pytest.raises(AssertionError):
        open_binarised(tmp_path / "train").gather(np.array([0]), PAD, width=2)


def test_no_sentences(tmp_path):
    write(tmp_path / "train", [])
    assert len(open_binarised(tmp_path / "train")) == 0


@pytest.mark.parametrize("suffix", [".idx", ".bin"])
def test_a_missing_file_is_named(tmp_path, suffix):
    write(tmp_path / "train", sentences(3))
    (tmp_path / "train").with_suffix(suffix).unlink()
    with pytest.raises(DataError, match=f"train{suffix} does not exist; binarise again"):
        open_binarised(tmp_path / "train")


@pytest.mark.parametrize("kept", [0, 5, 9, 20, 25, 26, 40, -1])
def test_a_truncated_index_is_refused(tmp_path, kept):
    write(tmp_path / "train", sentences(10))
    index = tmp_path / "train.idx"
    index.write_bytes(index.read_bytes()[:kept])
    with pytest.raises(DataError, match="train.idx"):
        open_binarised(tmp_path / "train")


@pytest.mark.parametrize("change", [-2, -1, 1, 2])
def test_tokens_that_do_not_fit_the_index_give_both_sizes(tmp_path, change):
    write(tmp_path / "train", sentences(10))
    tokens = tmp_path / "train.bin"
    content = tokens.read_bytes()
    tokens.write_bytes(content[:change] if change < 0 else content + b"\0" * change)
    with pytest.raises(DataError, match=f"train.bin has {len(content) + change:,} bytes.* describes {len(content):,}"):
        open_binarised(tmp_path / "train")


def test_files_of_two_runs_do_not_mix(tmp_path):
    write(tmp_path / "one", sentences(10, seed=1))
    write(tmp_path / "other", sentences(10, seed=2))
    (tmp_path / "one.bin").write_bytes((tmp_path / "other.bin").read_bytes())
    with pytest.raises(DataError, match="binarise again"):
        open_binarised(tmp_path / "one")


@pytest.mark.parametrize("position, value", [(26, 99), (30, 0), (26 + 4 * 10 + 8, 77), (26 + 4 * 10 + 15, 128)])
def test_a_damaged_index_of_the_right_size_is_refused(tmp_path, position, value):
    write(tmp_path / "train", [[5, 6, 2]] * 10)
    index = bytearray((tmp_path / "train.idx").read_bytes())
    index[position] = value
    (tmp_path / "train.idx").write_bytes(index)
    with pytest.raises(DataError, match="train.idx is damaged"):
        open_binarised(tmp_path / "train")


def test_the_legacy_layout_is_named(tmp_path):
    write(tmp_path / "train", sentences(3), magic=b"TNTIDX\x00\x00\x00")
    with pytest.raises(DataError, match="legacy layout .*--dataset-impl mmap"):
        open_binarised(tmp_path / "train")


def test_another_layout_and_another_type(tmp_path):
    write(tmp_path / "train", sentences(3), magic=b"SOMETHING")
    with pytest.raises(DataError, match="unknown layout"):
        open_binarised(tmp_path / "train")
    write(tmp_path / "train", sentences(3), code=6)
    with pytest.raises(DataError, match="token type 6"):
        open_binarised(tmp_path / "train")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("wrong", [None, "pointer", "length", "empty"])
@pytest.mark.parametrize("place", [0, 3, 4, 9])
def test_the_index_is_checked_everywhere_however_it_is_cut(tmp_path, monkeypatch, dtype, wrong, place):
    monkeypatch.setattr("fairseq_distill.formats.binarised._CHECKED", 4)
    rows = sentences(10, seed=3)
    write(tmp_path / "train", rows, dtype)
    index = bytearray((tmp_path / "train.idx").read_bytes())
    lengths, pointers = 26 + 4 * place, 26 + 4 * 10 + 8 * place
    if wrong == "pointer":
        index[pointers : pointers + 8] = struct.pack("<q", struct.unpack("<q", index[pointers : pointers + 8])[0] + 1)
    elif wrong is not None:
        length = 0 if wrong == "empty" else len(rows[place]) + 1
        index[lengths : lengths + 4] = struct.pack("<i", length)
    (tmp_path / "train.idx").write_bytes(index)
    if wrong is None:
        assert [row.tolist() for row in (open_binarised(tmp_path / "train")[i] for i in range(10))] == rows
    else:
        with pytest.raises(DataError, match="binarise again"):
            open_binarised(tmp_path / "train")


def test_opening_holds_nothing_for_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("fairseq_distill.formats.binarised._CHECKED", 1000)
    n = 50_000
    write(tmp_path / "train", [[4, 2]] * n)
    tracemalloc.start()
    found = open_binarised(tmp_path / "train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == n
    assert peak / n < 1
    assert found.starts[:].tolist() == list(range(0, 2 * n, 2)) and found.starts[7] == 14
