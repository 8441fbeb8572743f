"""fairseq-teach in shards: what is joined has the bytes of a single run."""

import numpy as np
import pytest

from fairseq_distill.cli.teach import cli_main
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.shards import Shard
from fairseq_distill.teachers.shards import join_taught_shards, teach_shard
from fairseq_distill.teachers.store import teach
from tests.reference.encoders import HashEncoder, Killed

TEXTS = {
    "a": ["the river rose", "", "yes", "the river fell", "yes", "x y z", "one two three four"],
    "b": ["yes", "no", ""],
}


class Batched(HashEncoder):
    """Its vectors depend in the last bits on the batch, as a network's do."""

    def encode(self, sentences):
        return super().encode(sentences) * np.float32(1 + 1e-3 * len(sentences)) + np.float32(len(sentences[0]))


@pytest.fixture
def texts(tmp_path):
    for name, lines in TEXTS.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    return [tmp_path / name for name in TEXTS]


def outputs(folder):
    return [folder / "a.npy", folder / "b.npy"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("count", [1, 2, 3, 11])  # 11: more than there are chunks
@pytest.mark.parametrize("options", [{"dtype": "float32"}, {"increments": 2, "unit_length": True}])
def test_joined_shards_have_the_bytes_of_a_single_run(texts, tmp_path, count, options):
    together, whole = tmp_path / "together", tmp_path / "whole"
    files = teach(Batched(), texts, outputs(whole), chunk=3, spec="x", **options)
    seen = []
    for index in range(count, 0, -1):
        encoder = Batched()
        file = teach_shard(encoder, texts, outputs(together), Shard(index, count), chunk=3, spec="x", **options)
        assert file == together / f"a.shard{index}of{count}.npy"
        seen += encoder.seen
    assert len(seen) == len(set(seen))  # each distinct sentence once, whatever the shard
    options.pop("unit_length", None)
    joined = join_taught_shards(texts, outputs(together), count, **options)
    assert [file.name for file in joined] == [file.name for file in files]
    assert contents(together) == contents(whole)


def test_a_killed_shard_goes_on_and_a_whole_one_is_left_alone(texts, tmp_path):
    with pytest.raises(Killed):
        teach_shard(Batched(kill_after=2), texts, outputs(tmp_path / "k"), Shard(1, 2), chunk=2)
    encoder = Batched()
    teach_shard(encoder, texts, outputs(tmp_path / "k"), Shard(1, 2), chunk=2)
    assert 0 < len(encoder.seen) < 4
    again = Batched()
    teach_shard(again, texts, outputs(tmp_path / "k"), Shard(1, 2), chunk=2)
    assert again.seen == []
    teach_shard(Batched(), texts, outputs(tmp_path / "k"), Shard(2, 2), chunk=2)
    join_taught_shards(texts, outputs(tmp_path / "k"), 2)
    teach(Batched(), texts, outputs(tmp_path / "w"), chunk=2)
    assert contents(tmp_path / "k") == contents(tmp_path / "w")


def test_shards_that_do_not_belong_together_are_refused(texts, tmp_path):
    teach_shard(Batched(), texts, outputs(tmp_path), Shard(1, 2), chunk=2)
    with pytest.raises(DataError, match="shard2of2.npy is missing; embed it with --shard 2/2"):
        join_taught_shards(texts, outputs(tmp_path), 2)
    for encoder, options in ((Batched(name="hash:2"), {}), (Batched(), {"unit_length": True})):
        teach_shard(encoder, texts, outputs(tmp_path), Shard(2, 2), chunk=2, **options)
        with pytest.raises(DataError, match="shard2of2.npy was made by another encoder, with other options"):
            join_taught_shards(texts, outputs(tmp_path), 2)
    teach_shard(Batched(), texts, outputs(tmp_path), Shard(2, 2), chunk=2)
    with pytest.raises(DataError, match="rows of float16"):
        join_taught_shards(texts, outputs(tmp_path), 2, "float32")
    texts[1].write_text("other\n")
    with pytest.raises(DataError, match="from other texts"):
        join_taught_shards(texts, outputs(tmp_path), 2)
    assert not (tmp_path / "a.npy").exists()


def test_command(texts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fairseq_distill.embedding.registry.open_encoder", lambda *_: HashEncoder())
    words = ["--teacher", "sbert:x", "--input", *map(str, texts), "--output", *map(str, outputs(tmp_path))]
    assert cli_main([*words, "--shard", "1/2"]) == cli_main([*words, "--shard", "2/2"]) == 0
    assert cli_main([*words, "--join-shards", "2"]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "b.npy"), HashEncoder().vectors(TEXTS["b"]), rtol=1e-3)
    for wrong in (["--shard", "3/2"], ["--shard", "1/2", "--join-shards", "2"], ["--shard", "1/2", "--raw"]):
        assert cli_main([*words, *wrong]) == 1
    assert cli_main(["--teacher", "file:x.npy", *words[2:], "--shard", "1/2"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_shard_is_one_of_its_number():
    from fairseq_distill.formats.shards import parse_shard

    assert parse_shard("2/8") == Shard(2, 8)
    with pytest.raises(ConfigError):
        parse_shard("0/8")
