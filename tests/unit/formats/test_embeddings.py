"""Embedding files come back bit for bit, agree with plain NumPy, and what does not fit is refused before it is used."""

import json

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.embeddings import (
    EmbeddingInfo,
    EmbeddingWriter,
    checked_dtype,
    embedding_file_bytes,
    iter_blocks,
    open_embeddings,
    read_info,
    require_finite,
    require_same_space,
    sidecar_path,
    write_info,
)


def vectors(n, dim, dtype="float32", seed=1):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(dtype)


def write(path, rows, dtype="float32", raw=False, chunk=7, n=None):
    with EmbeddingWriter(path, len(rows) if n is None else n, rows.shape[1], dtype, raw) as writer:
        for start in range(0, len(rows), chunk):
            writer.write(rows[start : start + chunk])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("n, dim", [(0, 4), (1, 1), (1, 384), (20, 3), (1000, 16)])
def test_rows_come_back_and_agree_with_numpy(tmp_path, n, dim, dtype):
    rows = vectors(n, dim, dtype)
    path = tmp_path / "a.npy"
    write(path, rows, dtype)
    for found in (open_embeddings(path), np.load(path), open_embeddings(path, dim=dim)):
        assert found.dtype == dtype and found.shape == (n, dim)
        np.testing.assert_array_equal(found, rows)
    assert path.stat().st_size == embedding_file_bytes(n, dim, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_raw_files_are_the_bytes_of_the_rows(tmp_path, dtype):
    rows = vectors(11, 5, dtype)
    path = tmp_path / "a.emb"
    write(path, rows, dtype, raw=True)
    assert path.read_bytes() == rows.tobytes()
    np.testing.assert_array_equal(open_embeddings(path, dim=5, dtype=dtype), rows)
    assert path.stat().st_size == embedding_file_bytes(11, 5, dtype, raw=True)


def test_rows_of_another_type_are_converted(tmp_path):
    rows = vectors(6, 4, "float64")[:, ::-1]
    write(tmp_path / "a.npy", rows, "float16")
    np.testing.assert_array_equal(open_embeddings(tmp_path / "a.npy"), rows.astype("float16"))


def test_files_are_mapped_read_only_not_read(tmp_path):
    write(tmp_path / "a.npy", vectors(3, 4))
    write(tmp_path / "a.emb", vectors(3, 4), raw=True)
    for found in (open_embeddings(tmp_path / "a.npy"), open_embeddings(tmp_path / "a.emb", dim=4)):
        assert isinstance(found, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            found[0, 0] = 1


def test_equal_rows_give_equal_bytes_however_they_come(tmp_path):
    rows = vectors(50, 4)
    for chunk in (1, 7, 50):
        write(tmp_path / f"{chunk}.npy", rows, chunk=chunk)
    assert len({(tmp_path / name).read_bytes() for name in names(tmp_path)}) == 1


# --- writing goes wrong


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("announced", [0, 9, 11])
def test_fewer_or_more_rows_than_announced_is_a_bug_and_leaves_no_file(tmp_path, announced, raw):
    with pytest.raises(ValueError):
        write(tmp_path / "a.npy", vectors(10, 4), n=announced, raw=raw)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "rows", [np.zeros(4, np.float32), np.zeros((2, 5), np.float32), np.zeros((2, 2, 4), np.float32)]
)
def test_rows_of_the_wrong_shape_are_a_bug(tmp_path, rows):
    with pytest.raises(ValueError, match="do not fit"):
        with EmbeddingWriter(tmp_path / "a.npy", 10, 4) as writer:
            writer.write(rows)
    assert names(tmp_path) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_named_by_row(tmp_path, value):
    rows = vectors(30, 4)
    rows[17, 2] = value
    with pytest.raises(DataError, match=r"a.npy: row 17 \(line 18\) holds NaN or infinity"):
        write(tmp_path / "a.npy", rows)
    assert names(tmp_path) == []


def test_what_float16_cannot_hold_is_refused(tmp_path):
    rows = vectors(3, 4)
    rows[1, 1] = 70_000
    with pytest.raises(DataError, match="row 1 "):
        write(tmp_path / "a.npy", rows, "float16")


def test_an_error_between_rows_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.npy"
    write(path, vectors(3, 4))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        with EmbeddingWriter(path, 10, 4) as writer:
            writer.write(vectors(5, 4))
            raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.npy"]


def test_a_full_disk(small_disk):
    with pytest.raises(DataError, match="The disk is full: .*a.npy"):
        write(small_disk / "a.npy", vectors(2000, 64))
    assert names(small_disk) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="could not be written: No such file or directory"):
        write(tmp_path / "nowhere" / "a.npy", vectors(2, 2))


def test_an_unknown_type_of_numbers():
    assert checked_dtype("float16") == "float16"
    with pytest.raises(DataError, match="'float64' is not a type of embeddings; use one of float32, float16"):
        EmbeddingWriter("a.npy", 1, 1, dtype="float64")


# --- damaged and unfitting files


@pytest.mark.parametrize("kept", [0, 1, 6, 9, 60, 127, 128, 129, 128 + 40 * 4 * 4 - 1])
def test_every_truncation_is_refused(tmp_path, kept):
    path = tmp_path / "a.npy"
    write(path, vectors(40, 4))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="a.npy"):
        open_embeddings(path)


def test_bytes_after_the_last_row_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    write(path, vectors(40, 4))
    path.write_bytes(path.read_bytes() + b"\0" * 16)
    with pytest.raises(DataError, match="has 784 bytes, but its header describes 768"):
        open_embeddings(path)


@pytest.mark.parametrize(
    "array, said",
    [
        (np.zeros(8, np.float32), "float32 of shape"),
        (np.zeros((2, 2, 2), np.float32), "float32 of shape"),
        (np.zeros((4, 2), np.float64), "float64 of shape"),
        (np.zeros((4, 2), np.int32), "int32 of shape"),
        (np.asfortranarray(np.zeros((4, 3), np.float32)), "row-major"),
        (np.array([[{}]], dtype=object), "is not a whole .npy file"),
    ],
)
def test_arrays_that_are_no_embeddings(tmp_path, array, said):
    path = tmp_path / "a.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(DataError, match=said):
        open_embeddings(path)


def test_an_archive_under_the_name_of_an_array(tmp_path):
    with open(tmp_path / "a.npy", "wb") as stream:
        np.savez(stream, a=vectors(2, 2))
    with pytest.raises(DataError, match="is an archive"):
        open_embeddings(tmp_path / "a.npy")


def test_another_width_gives_both_numbers(tmp_path):
    write(tmp_path / "a.npy", vectors(2, 384))
    with pytest.raises(DataError, match="width 384, but 1,024 is wanted"):
        open_embeddings(tmp_path / "a.npy", dim=1024)


def test_a_raw_file_that_does_not_divide_is_refused(tmp_path):
    path = tmp_path / "a.emb"
    path.write_bytes(b"\0" * (1024 * 4 * 3 + 4))
    with pytest.raises(
        DataError, match=r"12,292 bytes, which is no whole number of 1,024-wide float32 vectors \(4,096"
    ):
        open_embeddings(path, dim=1024)
    with pytest.raises(DataError, match="float16"):
        open_embeddings(path, dim=1024, dtype="float16")


@pytest.mark.parametrize("dim", [None, 0, -1])
def test_a_raw_file_needs_its_width(tmp_path, dim):
    (tmp_path / "a.emb").write_bytes(b"\0" * 16)
    with pytest.raises(DataError, match="--dim"):
        open_embeddings(tmp_path / "a.emb", dim=dim)


def test_an_empty_raw_file_has_no_rows(tmp_path):
    (tmp_path / "a.emb").touch()
    assert open_embeddings(tmp_path / "a.emb", dim=8).shape == (0, 8)


@pytest.mark.parametrize("name", ["a.npy", "a.emb"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(DataError, match=f"{name} does not exist"):
        open_embeddings(tmp_path / name, dim=4)


# --- what the sidecar says

INFO = EmbeddingInfo("student:1f", "sbert:2e", "laser-1", "ab" * 32, True, extra={"lines": 3})


def test_sidecar_comes_back_and_lies_beside_its_file(tmp_path):
    path = tmp_path / "a.npy"
    assert read_info(path) is None
    write_info(path, INFO)
    assert read_info(path) == INFO
    assert sidecar_path(path) == tmp_path / "a.npy.json" and sidecar_path(path).is_file()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[1, 2]", b'{"encoder": "x"}', b'{"unknown": 1}', b"\xff", b"null"]
)
def test_a_damaged_sidecar_is_named(tmp_path, content):
    (tmp_path / "a.npy.json").write_bytes(content)
    with pytest.raises(DataError, match="a.npy.json is not a valid description"):
        read_info(tmp_path / "a.npy")


def test_sidecar_is_plain_json(tmp_path):
    write_info(tmp_path / "a.npy", INFO)
    raw = json.loads((tmp_path / "a.npy.json").read_text())
    assert raw["space"] == "sbert:2e" and raw["unit_length"] is True and raw["extra"] == {"lines": 3}


def test_two_teacher_spaces_are_refused_unless_forced(tmp_path):
    one, same, other, silent = (tmp_path / name for name in ("one.npy", "same.npy", "other.npy", "silent.npy"))
    write_info(one, INFO)
    write_info(same, EmbeddingInfo("sbert:2e", "sbert:2e", "none"))
    write_info(other, EmbeddingInfo("student:1f", "laser2:7a", "laser-1"))
    require_same_space(one, same)
    require_same_space(one, silent)
    require_same_space(one, other, force=True)
    with pytest.raises(DataError, match="one.npy is in the teacher space sbert:2e but .*other.npy in laser2:7a"):
        require_same_space(one, other)


def test_require_finite_counts_from_the_first_row():
    rows = np.ones((4, 2), np.float32)
    require_finite(rows, "a.npy")
    require_finite(rows[:0], "a.npy")
    rows[2] = np.nan
    with pytest.raises(DataError, match=r"row 1,002 \(line 1,003\)"):
        require_finite(rows, "a.npy", first_row=1000)


@pytest.mark.parametrize("n, block", [(0, 3), (1, 3), (3, 3), (10, 3)])
def test_blocks_cover_the_rows_in_order(n, block):
    rows = vectors(n, 2)
    blocks = list(iter_blocks(rows, block))
    assert [start for start, _part in blocks] == list(range(0, n, block))
    np.testing.assert_array_equal(np.concatenate([part for _start, part in blocks] or [rows]), rows)
