"""fairseq-teach's store: each distinct sentence once, the same bytes after any kill, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_distill.data.parts import cut_words
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.embeddings import open_embeddings, read_info
from fairseq_distill.teachers.store import find_distinct, teach
from tests.reference.encoders import HashEncoder, Killed

TEXT = ["the river rose in the night", "", "yes", "the river fell", "yes", "a\u2028b", "x" * 100_000, "the river rose"]


def write(path: Path, lines) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def contents(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.lists(st.sampled_from(["a", "b", "c", "", "a b"]), min_size=1, max_size=30))
def test_distinct_sentences_equal_a_dictionary(lines):
    numbers: dict = {}
    expected = [numbers.setdefault(line, len(numbers)) for line in lines]
    distinct = find_distinct(iter(lines), len(lines))
    assert distinct.n == len(numbers)
    assert distinct.position.tolist() == expected
    assert [line for line, first in zip(lines, distinct.is_first) if first] == list(numbers)


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_row_i_is_line_i(tmp_path, chunk):
    encoder = HashEncoder()
    files = teach(encoder, [write(tmp_path / "t", TEXT)], [tmp_path / "t.npy"], "float32", chunk=chunk)
    assert files == [tmp_path / "t.npy"]
    np.testing.assert_array_equal(open_embeddings(files[0]), encoder.vectors(TEXT))
    assert sorted(encoder.seen) == sorted(set(TEXT))


def test_several_texts_and_all_parts_share_their_sentences(tmp_path):
    texts = [write(tmp_path / "a", TEXT), write(tmp_path / "b", TEXT[::-1] + ["the river"])]
    encoder = HashEncoder()
    files = teach(
        encoder, texts, [tmp_path / "o" / "a.npy", tmp_path / "o" / "b.npy"], "float32", increments=3, chunk=4
    )
    names = ["a.part1of3.npy", "a.part2of3.npy", "a.npy", "b.part1of3.npy", "b.part2of3.npy", "b.npy"]
    assert [file.name for file in files] == names
    assert len(encoder.seen) == len(set(encoder.seen))
    for lines, part_files in ((TEXT, files[:3]), (TEXT[::-1] + ["the river"], files[3:])):
        for part, file in enumerate(part_files, start=1):
            shown = lines if part == 3 else [cut_words(line, part, 3) for line in lines]
            np.testing.assert_array_equal(open_embeddings(file), encoder.vectors(shown))
            assert (read_info(file).extra["part"], read_info(file).extra["parts"]) == (part, 3)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == sorted([*names, *(f"{n}.json" for n in names)])


def test_the_sidecar_says_what_the_manifest_needs(tmp_path):
    text = write(tmp_path / "t", TEXT)
    teach(HashEncoder(), [text], [tmp_path / "t.npy"], spec="hash:x")
    info = read_info(tmp_path / "t.npy")
    assert (info.encoder, info.space, info.normaliser, info.unit_length) == ("hash:1", "hash:space", "none", False)
    assert info.extra == {"spec": "hash:x", "dim": 6, "pooling": "mean", "n": len(TEXT), "part": 1, "parts": 1}
    assert open_embeddings(tmp_path / "t.npy").dtype == np.float16


def test_unit_length_and_raw(tmp_path):
    text = write(tmp_path / "t", TEXT)
    teach(HashEncoder(), [text], [tmp_path / "t.raw"], "float32", unit_length=True, raw=True)
    rows = open_embeddings(tmp_path / "t.raw", dim=6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    expected = HashEncoder().vectors(TEXT)
    np.testing.assert_allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-6)
    assert read_info(tmp_path / "t.raw").unit_length


def test_what_is_up_to_date_is_left_alone(tmp_path):
    text, other = write(tmp_path / "a", TEXT), write(tmp_path / "b", ["new"])
    teach(HashEncoder(), [text], [tmp_path / "a.npy"])
    again = HashEncoder()
    teach(again, [text, other], [tmp_path / "a.npy", tmp_path / "b.npy"])
    assert again.seen == ["new"]
    for changed in (
        lambda: teach(HashEncoder(name="hash:2"), [text], [tmp_path / "a.npy"]),
        lambda: teach(HashEncoder(), [text], [tmp_path / "a.npy"], "float32"),
        lambda: teach(HashEncoder(), [write(text, TEXT[1:])], [tmp_path / "a.npy"], "float32"),
        lambda: (tmp_path / "a.npy").write_bytes(b"cut") and teach(HashEncoder(), [text], [tmp_path / "a.npy"]),
        lambda: (tmp_path / "a.npy.json").unlink() or teach(HashEncoder(), [text], [tmp_path / "a.npy"]),
    ):
        before = (tmp_path / "a.npy").stat().st_mtime_ns, (tmp_path / "a.npy").read_bytes()
        changed()
        assert ((tmp_path / "a.npy").stat().st_mtime_ns, (tmp_path / "a.npy").read_bytes()) != before
    assert open_embeddings(tmp_path / "a.npy").shape == (len(TEXT) - 1, 6)


class BatchDependent(HashEncoder):
    """As real encoders: the last bits of a vector depend on what else is in its batch."""

    def encode(self, sentences):
        rows = super().encode(sentences)
        return rows + np.float32(1e-3) * np.float32(len(sentences)) + rows.mean() * np.float32(1e-3)


@pytest.mark.parametrize("killed_after", range(0, 14, 2))
def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path, killed_after):
    texts = [write(tmp_path / "a", TEXT), write(tmp_path / "b", TEXT[::-1] + ["one two three four", "five six"])]
    for name in ("unbroken", "broken"):
        (tmp_path / name).mkdir()
    options = {"dtype": "float32", "increments": 2, "chunk": 3}

    def outputs(name):
        return [tmp_path / name / "a.npy", tmp_path / name / "b.npy"]

    whole = BatchDependent()
    teach(whole, texts, outputs("unbroken"), **options)
    first = BatchDependent(kill_after=killed_after)
    with pytest.raises(Killed):
        teach(first, texts, outputs("broken"), **options)
    assert not [path for path in (tmp_path / "broken").iterdir() if path.suffix in (".npy", ".tmp")]
    second = BatchDependent()
    teach(second, texts, outputs("broken"), **options)
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")
    assert len(first.seen) + len(second.seen) <= len(whole.seen) + 3  # one chunk is lost


def test_a_kill_between_two_outputs_gives_the_same_bytes(tmp_path, monkeypatch):
    import fairseq_distill.teachers.store as store

    texts = [write(tmp_path / "a", TEXT), write(tmp_path / "b", ["only here", *TEXT[2:], "and here"])]
    for name in ("unbroken", "broken"):
        (tmp_path / name).mkdir()
    teach(BatchDependent(), texts, [tmp_path / "unbroken" / "a.npy", tmp_path / "unbroken" / "b.npy"], chunk=3)
    outputs = [tmp_path / "broken" / "a.npy", tmp_path / "broken" / "b.npy"]
    write_one = store.write_rows

    def kill_at_second(source, *rest):
        if source.output == outputs[1]:
            raise Killed
        write_one(source, *rest)

    monkeypatch.setattr(store, "write_rows", kill_at_second)
    with pytest.raises(Killed):
        teach(BatchDependent(), texts, outputs, chunk=3)
    monkeypatch.undo()
    encoder = BatchDependent()
    teach(encoder, texts, outputs, chunk=3)
    assert encoder.seen == []
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


SLOW_RUN = """
import sys, time
from fairseq_distill.teachers.store import teach
from tests.reference.encoders import HashEncoder

class Slow(HashEncoder):
    def encode(self, sentences):
        time.sleep(0.02)
        return super().encode(sentences) + len(sentences)

teach(Slow(), sys.argv[1:3], sys.argv[3:5], increments=2, chunk=40)
"""


@pytest.mark.slow
def test_sigkill_at_any_moment_gives_the_same_bytes(tmp_path):
    texts = [write(tmp_path / name, [f"{name} sentence {i % 300} of many" for i in range(600)]) for name in "ab"]
    for name in ("unbroken", "broken"):
        (tmp_path / name).mkdir()

    def command(name):
        files = [*texts, tmp_path / name / "a.npy", tmp_path / name / "b.npy"]
        return [sys.executable, "-c", SLOW_RUN, *map(str, files)]

    start = time.monotonic()
    subprocess.run(command("unbroken"), check=True)
    needed = time.monotonic() - start
    for moment in np.random.default_rng(3).uniform(0.3, 1.0, 10):
        with subprocess.Popen(command("broken")) as run:
            time.sleep(needed * moment)
            os.kill(run.pid, signal.SIGKILL)
    subprocess.run(command("broken"), check=True)
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


def test_nan_is_refused_with_its_line(tmp_path):
    texts = [write(tmp_path / "a", TEXT), write(tmp_path / "b", [*TEXT, "bad one", "fine"])]
    outputs = [tmp_path / "a.npy", tmp_path / "b.npy"]
    with pytest.raises(DataError, match=r"b, line 9: its embedding holds NaN"):
        teach(HashEncoder(bad="bad one"), texts, outputs, chunk=2)
    assert not any(output.exists() for output in outputs)
    teach(HashEncoder(), texts, outputs, chunk=2)
    assert all(output.exists() for output in outputs)


def test_what_float16_cannot_hold_is_refused(tmp_path):
    class Large(HashEncoder):
        def vector(self, sentence):
            return super().vector(sentence) * (1e6 if sentence == "yes" else 1)

    with pytest.raises(DataError, match=r"line 3: .*beyond what float16 holds; use --dtype float32"):
        teach(Large(), [write(tmp_path / "t", TEXT)], [tmp_path / "t.npy"], "float16")
    teach(Large(), [tmp_path / "t"], [tmp_path / "t.npy"], "float32")


def test_a_vector_without_length_cannot_have_unit_length(tmp_path):
    class Zero(HashEncoder):
        def vector(self, sentence):
            return super().vector(sentence) * (sentence != "")

    with pytest.raises(DataError, match="line 2: "):
        teach(Zero(), [write(tmp_path / "t", TEXT)], [tmp_path / "t.npy"], unit_length=True)


def test_a_full_disk_leaves_no_output_and_no_lie(small_disk, tmp_path):
    text = write(tmp_path / "t", [f"sentence {i}" for i in range(3000)])  # 72 kB of float32 rows; the disk has 64 kB
    with pytest.raises(DataError, match="The disk is full"):
        teach(HashEncoder(), [text], [small_disk / "t.npy"], "float32", chunk=500)
    assert not (small_disk / "t.npy").exists() and not (small_disk / "t.npy.json").exists()


def test_inputs_and_outputs_must_fit(tmp_path):
    text = write(tmp_path / "t", TEXT)
    with pytest.raises(ConfigError, match="2 inputs but 1 outputs"):
        teach(HashEncoder(), [text, text], [tmp_path / "o.npy"])
    with pytest.raises(ConfigError, match="read or written already"):
        teach(HashEncoder(), [text, text], [tmp_path / "o.npy", tmp_path / "o.npy"])
    with pytest.raises(ConfigError, match="0 increments"):
        teach(HashEncoder(), [text], [tmp_path / "o.npy"], increments=0)
    with pytest.raises(DataError, match="not a type of embeddings"):
        teach(HashEncoder(), [text], [tmp_path / "o.npy"], "float64")
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize(
    "content, reason",
    [(b"", "is empty"), (b"good\n\xff\xfe\n", "line 2: byte 1 is not valid UTF-8"), (None, "does not exist")],
)
def test_texts_that_cannot_be_read(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        teach(HashEncoder(), [tmp_path / "t"], [tmp_path / "o.npy"])
    assert not (tmp_path / "o.npy").exists()
