"""Rows in the making: what a kill leaves behind is gone on with, or thrown away when it does not fit."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.embeddings import EmbeddingInfo, EmbeddingWriter, open_embeddings, read_info, write_info
from fairseq_distill.formats.partial import PartialRows, is_current, partial_folder, read_partial_key

INFO = EmbeddingInfo("hash:1", "hash:space", "none", "ab" * 32, extra={"spec": "hash:x", "dim": 4})
ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)
KEY = {"text": "ab" * 32}


def write_some(output, rows, **options):
    """As a run that is killed: the rows stay in the hidden folder."""
    with PartialRows(output, KEY, 4, **options) as partial:
        for row in rows:
            partial.append(row[None])


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_in_chunks_equal_rows_at_once(tmp_path, dtype, raw):
    rows = ROWS.astype(dtype)
    with EmbeddingWriter(tmp_path / "whole.npy", 6, 4, dtype, raw) as writer:
        writer.write(rows)
    write_some(tmp_path / "parts.npy", rows[:4], dtype=dtype, raw=raw)
    assert not (tmp_path / "parts.npy").exists()
    with PartialRows(tmp_path / "parts.npy", KEY, 4, dtype, raw) as partial:
        assert partial.n == 4
        np.testing.assert_array_equal(partial.array(), rows[:4])
        partial.append(rows[4:])
        partial.finish(INFO)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert read_info(tmp_path / "parts.npy") == INFO
    assert is_current(tmp_path / "parts.npy", INFO, 6, 4, dtype, raw)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.npy", "parts.npy.json", "whole.npy"]


def test_half_a_chunk_is_cut_off(tmp_path):
    write_some(tmp_path / "x.npy", ROWS[:3])
    with open(partial_folder(tmp_path / "x.npy") / "rows", "ab") as stream:
        stream.write(b"\1\2\3")  # killed while the fourth row was being written
    with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
        assert partial.n == 3
        partial.append(ROWS[3:])
        partial.finish(INFO)
    np.testing.assert_array_equal(open_embeddings(tmp_path / "x.npy"), ROWS)


@pytest.mark.parametrize("damage", ["state", "rows", "lost rows"])
def test_damaged_rows_are_made_again(tmp_path, damage):
    write_some(tmp_path / "x.npy", ROWS[:3])
    folder = partial_folder(tmp_path / "x.npy")
    if damage == "state":
        (folder / "state.json").write_text('{"key": ')
    elif damage == "rows":
        os.truncate(folder / "rows", 140)  # shorter than what the state counts
    else:
        (folder / "rows").unlink()
    with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
        assert partial.n == 0
        partial.append(ROWS)
        partial.finish(INFO)
    np.testing.assert_array_equal(open_embeddings(tmp_path / "x.npy"), ROWS)


@pytest.mark.parametrize("change", [{"key": {"text": "cd"}}, {"dim": 2}, {"dtype": "float16"}, {"raw": True}])
def test_rows_of_another_run_are_thrown_away(tmp_path, change):
    write_some(tmp_path / "x.npy", ROWS[:3])
    with PartialRows(tmp_path / "x.npy", **{"key": KEY, "dim": 4, **change}) as partial:
        assert partial.n == 0 and partial.array().shape[0] == 0


def test_the_key_can_be_read_before_the_run(tmp_path):
    assert read_partial_key(tmp_path / "x.npy") is None
    write_some(tmp_path / "x.npy", ROWS[:1])
    assert read_partial_key(tmp_path / "x.npy")["text"] == KEY["text"]
    (partial_folder(tmp_path / "x.npy") / "state.json").write_text("[1]")
    assert read_partial_key(tmp_path / "x.npy") is None


def test_a_run_without_rows_leaves_no_folder(tmp_path):
    with pytest.raises(RuntimeError):
        with PartialRows(tmp_path / "x.npy", KEY, 4):
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_kill_between_the_rows_and_their_sidecar_costs_nothing(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    monkeypatch.setattr("fairseq_distill.formats.partial.write_info", kill)
    with pytest.raises(Killed):
        with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
            partial.append(ROWS)
            partial.finish(INFO)
    monkeypatch.undo()
    with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
        assert partial.n == 6
        partial.finish(INFO)
    np.testing.assert_array_equal(open_embeddings(tmp_path / "x.npy"), ROWS)
    assert read_info(tmp_path / "x.npy") == INFO


def test_two_processes_do_not_write_one_file(tmp_path):
    script = (
        "import sys\n"
        "from fairseq_distill.formats.partial import PartialRows\n"
        "with PartialRows(sys.argv[1], {}, 4): print('in', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "x.npy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(DataError, match="being made by another process"):
            with PartialRows(tmp_path / "x.npy", KEY, 4):
                pass
        other.communicate()
    with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
        assert partial.n == 0


def test_a_full_disk_is_told_and_the_saved_rows_stay(small_disk):
    rows = np.zeros((1000, 4), np.float32)  # 16 kB; the disk has 64 kB
    output = small_disk / "x.npy"
    with pytest.raises(DataError, match="The disk is full: .*x.npy"):
        with PartialRows(output, KEY, 4) as partial:
            for _ in range(10):
                partial.append(rows)
    assert not output.exists()
    (small_disk / "other").unlink(missing_ok=True)
    with PartialRows(output, KEY, 4) as partial:
        assert 1000 <= partial.n < 5000
    shutil.rmtree(partial_folder(output))


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "hash:2"},
        {"space": "other"},
        {"text_sha256": "cd" * 32},
        {"unit_length": True},
        {"extra": {"dim": 5}},
    ],
)
def test_a_file_of_another_origin_is_not_current(tmp_path, change):
    write_some(tmp_path / "x.npy", ROWS)
    with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
        partial.finish(INFO)
    assert is_current(tmp_path / "x.npy", INFO, 6, 4, "float32")
    assert not is_current(tmp_path / "x.npy", INFO, 6, 4, "float16")
    assert not is_current(tmp_path / "x.npy", INFO, 5, 4, "float32")
    write_info(tmp_path / "x.npy", EmbeddingInfo(**{**vars(INFO), **change}))
    assert not is_current(tmp_path / "x.npy", INFO, 6, 4, "float32")


def test_the_spelling_of_the_encoder_does_not_matter(tmp_path):
    write_some(tmp_path / "x.npy", ROWS)
    with PartialRows(tmp_path / "x.npy", KEY, 4) as partial:
        partial.finish(INFO)
    respelt = EmbeddingInfo(**{**vars(INFO), "extra": {**INFO.extra, "spec": "hash:./x"}})
    assert is_current(tmp_path / "x.npy", respelt, 6, 4, "float32")
    (tmp_path / "x.npy.json").write_text("{")
    assert not is_current(tmp_path / "x.npy", INFO, 6, 4, "float32")
