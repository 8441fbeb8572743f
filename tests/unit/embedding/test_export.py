"""fairseq-embed: row i is line i, in constant memory, the same bytes after any kill."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from fairseq_distill.embedding.export import Shard, embed, embed_subset, join_shards, parse_shard
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.embeddings import open_embeddings, read_info
from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher, write_manifest
from tests.reference.encoders import HashEncoder, Killed, PreparingHashEncoder

TEXT = ["the river", "", "yes", "the river", "yes", "a\u2028b\x85c", "x" * 100_000, "\ttab ", "ሰላም", "last"]


def write(path: Path, lines) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))
    return path


@pytest.mark.parametrize("kind", [HashEncoder, PreparingHashEncoder])
@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_row_i_is_line_i(tmp_path, kind, chunk):
    encoder = kind()
    file = embed(encoder, write(tmp_path / "t", TEXT), tmp_path / "new" / "t.npy", chunk=chunk, spec="hash:x")
    np.testing.assert_array_equal(open_embeddings(file), encoder.vectors(TEXT))
    info = read_info(file)
    assert (info.encoder, info.space, info.extra["spec"]) == ("hash:1", "hash:space", "hash:x")
    assert len(info.text_sha256) == 64 and not info.unit_length
    if chunk == 1000:
        assert sorted(encoder.seen) == sorted(set(TEXT))


def test_a_last_line_without_line_feed_and_windows_ends_count(tmp_path):
    (tmp_path / "t").write_bytes("\ufeffone\r\ntwo".encode("utf-8"))
    file = embed(HashEncoder(), tmp_path / "t", tmp_path / "t.npy")
    np.testing.assert_array_equal(open_embeddings(file), HashEncoder().vectors(["one", "two"]))


def test_raw_half_unit_length(tmp_path):
    file = embed(HashEncoder(), write(tmp_path / "t", TEXT), tmp_path / "t.emb", "float16", raw=True, unit_length=True)
    rows = open_embeddings(file, 6, "float16")
    assert file.stat().st_size == len(TEXT) * 6 * 2
    np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float32), axis=1), 1, atol=1e-3)


def test_standard_input_gives_the_same_rows(tmp_path, monkeypatch):
    file = embed(HashEncoder(), write(tmp_path / "t", TEXT), tmp_path / "t.npy", chunk=3)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "t").read_bytes())))
    streamed = embed(HashEncoder(), "-", tmp_path / "s.npy", chunk=3)
    assert streamed.read_bytes() == file.read_bytes()
    assert read_info(streamed).text_sha256 is None


@pytest.mark.parametrize("killed_after", range(0, 10, 2))
def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path, killed_after):
    text = write(tmp_path / "t", TEXT)
    whole = embed(HashEncoder(), text, tmp_path / "whole.npy", chunk=2)
    first, second = HashEncoder(kill_after=killed_after), HashEncoder()
    try:
        embed(first, text, tmp_path / "broken.npy", chunk=2)
    except Killed:
        assert not (tmp_path / "broken.npy").exists()
    file = embed(second, text, tmp_path / "broken.npy", chunk=2)
    assert file.read_bytes() == whole.read_bytes()
    assert len(first.seen) + len(second.seen) <= len(TEXT) + 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_up_to_date_is_left_alone(tmp_path):
    text = write(tmp_path / "t", TEXT)
    embed(HashEncoder(), text, tmp_path / "t.npy")
    again = HashEncoder()
    embed(again, text, tmp_path / "t.npy")
    assert again.seen == []
    embed(again, text, tmp_path / "t.npy", "float16")
    assert again.seen and open_embeddings(tmp_path / "t.npy").dtype == np.float16


def test_rows_of_int8_are_not_taken_for_others(tmp_path):
    text = write(tmp_path / "t", TEXT)
    for precision, made in (("int8", True), ("int8", False), ("float32", True), ("bfloat16", False), ("int8", True)):
        encoder = HashEncoder()
        encoder.precision = precision
        info = read_info(embed(encoder, text, tmp_path / "t.npy"))
        assert bool(encoder.seen) is made, precision
        assert (info.extra.get("precision") == "int8") is (precision == "int8")


def test_a_killed_run_of_another_encoder_is_not_gone_on_with(tmp_path):
    text = write(tmp_path / "t", TEXT)
    with pytest.raises(Killed):
        embed(HashEncoder(kill_after=4), text, tmp_path / "t.npy", chunk=2)

    class Other(HashEncoder):
        precision = "bfloat16"

        def vector(self, sentence):
            return super().vector(sentence) + 1

    file = embed(Other(), text, tmp_path / "t.npy", chunk=2)
    np.testing.assert_array_equal(open_embeddings(file), Other().vectors(TEXT))


@pytest.mark.parametrize("n, count", [(10, 1), (10, 3), (3, 5)])
def test_shards_together_equal_the_whole(tmp_path, n, count):
    text = write(tmp_path / "t", TEXT[:n])
    whole = embed(HashEncoder(), text, tmp_path / "whole.npy")
    for index in range(count, 0, -1):
        file = embed(HashEncoder(), text, tmp_path / "t.npy", shard=Shard(index, count))
        assert file.name == f"t.shard{index}of{count}.npy"
    joined = join_shards(tmp_path / "t.npy", count)
    assert joined.read_bytes() == whole.read_bytes()
    assert read_info(joined) == read_info(whole)
    assert not list(tmp_path.glob("*shard*"))


@pytest.mark.parametrize("left", [["2of2.npy.json"], ["1of2.npy", "1of2.npy.json"], ["2of2.npy"]])
def test_what_a_kill_while_shards_were_removed_left_goes(tmp_path, left):
    """A shard goes before its description: between the two only that is there."""
    text, output = write(tmp_path / "t", TEXT), tmp_path / "t.npy"
    for index in (1, 2):
        embed(HashEncoder(), text, output, shard=Shard(index, 2))
    kept = {name: (tmp_path / f"t.shard{name}").read_bytes() for name in left}
    whole = join_shards(output, 2).read_bytes()
    for name, content in kept.items():
        (tmp_path / f"t.shard{name}").write_bytes(content)
    assert join_shards(output, 2).read_bytes() == whole
    assert not list(tmp_path.glob("*shard*"))


def test_shards_that_do_not_fit_are_refused(tmp_path):
    text = write(tmp_path / "t", TEXT)
    embed(HashEncoder(), text, tmp_path / "t.npy", shard=Shard(1, 2))
    with pytest.raises(DataError, match="shard2of2.npy does not exist"):
        join_shards(tmp_path / "t.npy", 2)
    embed(HashEncoder(name="hash:2"), text, tmp_path / "t.npy", shard=Shard(2, 2))
    with pytest.raises(DataError, match="another encoder"):
        join_shards(tmp_path / "t.npy", 2)
    assert not (tmp_path / "t.npy").exists()
    with pytest.raises(ConfigError, match="read only once"):
        embed(HashEncoder(), "-", tmp_path / "t.npy", shard=Shard(1, 2))


def test_shard_names():
    assert parse_shard("2/8") == Shard(2, 8)
    for wrong in ("0/8", "9/8", "2", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="is not I/N"):
            parse_shard(wrong)


def test_nan_is_refused_with_its_line(tmp_path):
    text = write(tmp_path / "t", TEXT)
    with pytest.raises(DataError, match=r"t, line 9: its embedding holds NaN"):
        embed(HashEncoder(bad="ሰላም"), text, tmp_path / "t.npy", chunk=4)
    with pytest.raises(DataError, match=r"t, line 9: its embedding holds NaN"):
        embed(HashEncoder(bad="ሰላም"), text, tmp_path / "t.npy", shard=Shard(2, 2))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["t"]


def test_a_full_disk_leaves_no_output(small_disk, tmp_path):
    text = write(tmp_path / "t", [f"sentence {i}" for i in range(4000)])
    with pytest.raises(DataError, match="The disk is full"):
        embed(HashEncoder(), text, small_disk / "t.npy", chunk=500)
    assert not (small_disk / "t.npy").exists()


@pytest.mark.parametrize("content, reason", [(b"", "is empty"), (b"a\nb\xff\n", "line 2: byte 2 is not valid UTF-8")])
def test_texts_that_cannot_be_read(tmp_path, content, reason):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        embed(HashEncoder(), tmp_path / "t", tmp_path / "t.npy")
    assert not (tmp_path / "t.npy").exists()


def test_an_empty_standard_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(DataError, match="Standard input holds no line"):
        embed(HashEncoder(), "-", tmp_path / "s.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def data(tmp_path):
    """A data directory with two validation corpora."""
    folder = tmp_path / "data"
    (folder / "text").mkdir(parents=True)
    corpora = []
    for lang, lines in (("swa", TEXT), ("zul", TEXT[::-1])):
        write(folder / "text" / f"dev.{lang}", lines)
        corpora.append(
            Corpus(
                f"dev.eng-{lang}", "distil", "valid", lang, len(lines), "b", f"text/dev.{lang}", "eng", "t", ["e.npy"]
            )
        )
    teacher = Teacher("hash:x", "hash:space", 6, "mean", "eng")
    write_manifest(folder, Manifest(["swa", "zul"], teacher, "laser-1", "spm.model", "dict.txt", corpora))
    return folder


def test_a_subset_of_a_data_directory(data, tmp_path):
    files = embed_subset(HashEncoder(), data, "valid", tmp_path / "out", dtype="float16")
    assert [file.name for file in files] == ["valid.dev.eng-swa.swa.npy", "valid.dev.eng-zul.zul.npy"]
    for file, lines in zip(files, (TEXT, TEXT[::-1])):
        np.testing.assert_array_equal(open_embeddings(file), HashEncoder().vectors(lines).astype(np.float16))


def test_a_subset_that_does_not_fit_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="--gen-subset test: .* train and valid"):
        embed_subset(HashEncoder(), data, "test", tmp_path / "out")
    with pytest.raises(DataError, match="no corpus in its train subset"):
        embed_subset(HashEncoder(), data, "train", tmp_path / "out")
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["corpora"][1]["n"] = 7
    (data / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="dev.zul has 10 lines, but the manifest says 7"):
        embed_subset(HashEncoder(), data, "valid", tmp_path / "out")
    with pytest.raises(DataError, match="not a data directory"):
        embed_subset(HashEncoder(), tmp_path, "valid", tmp_path / "out")
