"""Mining in shards gives the bytes of mining in one go; what does not belong together is refused."""

import itertools
import json

import numpy as np
import pytest

from fairseq_distill.cli.mine import cli_main
from fairseq_distill.errors import DataError
from fairseq_distill.formats.shards import Shard
from fairseq_distill.mining.job import open_job
from fairseq_distill.mining.pairs import mine
from fairseq_distill.mining.scoring import score
from fairseq_distill.mining.shards import joined, search_shard, shard_file


@pytest.fixture
def files(tmp_path):
    """(texts, embeddings): 70 and 50 lines with blank, repeated and equal ones, vectors with ties and a zero."""
    random = np.random.default_rng(1)
    src = random.integers(-2, 3, (70, 6)).astype(np.float32)
    tgt = np.concatenate([src[:30], random.integers(-2, 3, (20, 6))]).astype(np.float16)
    src[40], tgt[7] = src[3], 0
    lines = {"src": [f"a {i}" for i in range(70)], "tgt": [f"b {i}" for i in range(50)]}
    lines["src"][5], lines["src"][60], lines["tgt"][9] = "", "a 1", "  "
    for side, rows in (("src", src), ("tgt", tgt)):
        np.save(tmp_path / f"{side}.npy", rows)
        (tmp_path / f"{side}.txt").write_text("".join(line + "\n" for line in lines[side]))
    return tuple(tuple(tmp_path / f"{side}.{end}" for side in ("src", "tgt")) for end in ("txt", "npy"))


@pytest.mark.parametrize("count, k, unify", [(1, 4, True), (3, 4, True), (3, 4, False), (7, 12, True), (68, 3, True)])
def test_shards_find_what_one_search_finds(count, k, unify, files, tmp_path):
    output = tmp_path / "mined.tsv"
    for index in range(count, 0, -1):
        job = open_job(*files, output, unify=unify)
        assert search_shard(job, Shard(index, count), k) == shard_file(output, Shard(index, count))
    whole = tmp_path / "whole.tsv"
    for margin, retrieval, fewer in itertools.product(("ratio", "absolute"), ("max", "bwd", "intersect"), (k, 2)):
        how = {"margin": margin, "retrieval": retrieval, "k": fewer, "threshold": 0.1, "unify": unify, "with_ids": True}
        mine(*files[0], *files[1], whole, **how)
        result = mine(*files[0], *files[1], output, **how, shards=count)
        assert output.read_bytes() == whole.read_bytes() != b"" and result.search == "exact"


def test_a_bitext_is_scored_by_shards_too(files, tmp_path):
    texts, rows = (files[0][1],) * 2, (files[1][1],) * 2
    for index in (1, 2, 3):
        search_shard(open_job(texts, rows, tmp_path / "m"), Shard(index, 3), 4)
    score(*texts, *rows, tmp_path / "whole", margin="distance")
    result = score(*texts, *rows, tmp_path / "m", margin="distance", shards=3)
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes() and result.pairs == 50


def test_a_shard_that_is_there_is_not_searched_again(files, tmp_path, monkeypatch):
    file = search_shard(open_job(*files, tmp_path / "m"), Shard(1, 2), 4)
    before = file.stat().st_mtime_ns
    search_shard(open_job(*files, tmp_path / "m"), Shard(1, 2), 4)
    assert file.stat().st_mtime_ns == before
    search_shard(open_job(*files, tmp_path / "m"), Shard(1, 2), 5)
    assert file.stat().st_mtime_ns > before and np.load(file).shape[1] == 5


def test_from_the_command_line(files, tmp_path, capsys):
    words = ["--src-text", files[0][0], "--tgt-text", files[0][1], "--src-emb", files[1][0], "--tgt-emb", files[1][1]]
    words = [str(word) for word in (*words, "--output", tmp_path / "mined.tsv.gz", "--quiet")]
    for part in ("1/2", "2/2"):
        assert cli_main([*words, "--shard", part, "-k", "8"]) == 0
    assert capsys.readouterr().out.split() == [f"{tmp_path}/mined.tsv.gz.shard{i}of2.npy" for i in (1, 2)]
    for mode in ("mine", "score"):
        chosen = ["--mode", mode, "--json", "--margin", "distance"]
        if mode == "score":
            chosen += ["--no-unify"]
        code = cli_main([*words, "--join-shards", "2", *chosen])
        out, err = capsys.readouterr()
        if mode == "mine":
            assert code == 0 and json.loads(out)["k"] == 4
        else:
            assert code == 1 and "70 lines" in err
    for more in (["--join-shards", "2"], ["--scores", "s.npy"], ["--provenance"], ["--plan"]):
        assert cli_main([*words, "--shard", "1/2", *more]) == 1
    assert cli_main([*words, "--shard", "1/70"]) == 1  # blank and repeated lines do not count
    assert "70 shards, but 68 sources" in capsys.readouterr().err
    assert cli_main([*words, "--join-shards", "0"]) == 1


def spoiled(files, output, change):
    for index in (1, 2):
        search_shard(open_job(*files, output), Shard(index, 2), 4)
    change(shard_file(output, Shard(2, 2)))
    return joined(open_job(*files, output), 2, 4)


def cut(file):
    file.write_bytes(file.read_bytes()[:-8])


def told(**changes):
    def change(file):
        about = json.loads((path := file.with_name(file.name + ".json")).read_text())
        path.write_text(json.dumps({**about, **changes}))

    return change


def filled(value):
    def change(file):
        np.save(file, np.full_like(np.load(file), value))

    return change


@pytest.mark.parametrize(
    "change, said",
    [
        (cut, r"shard2of2.npy is not a whole .npy file .*make it again: --shard 2/2"),
        (lambda file: file.unlink(), "shard2of2.npy .*make it again: --shard 2/2"),
        (
            lambda file: file.with_name(file.name + ".json").unlink(),
            "shard2of2.npy.json is missing.*make it: --shard 2/2",
        ),
        (lambda file: np.save(file, np.zeros((3, 4), np.int64)), r"int64 \(3, 4\) instead of int64 \(83, 4\)"),
        (lambda file: np.save(file, np.zeros((83, 4), np.float32)), "holds float32"),
        (told(shard=[1, 2]), "does not describe shard 2 of 2"),
        (told(k="4"), "does not describe shard 2 of 2"),
        (told(recall=0.5), "other options than these or the first shard"),
        (told(tgt=["", "", 50, 49]), "other files"),
        (filled(0), "names rows beyond"),
        (filled((0x7F800001 << 32) | 0xFFFFFFFF), "cosines that are none"),
    ],
)
def test_what_is_damaged_or_of_something_else_is_refused(change, said, files, tmp_path):
    with pytest.raises(DataError, match=said):
        spoiled(files, tmp_path / "m", change)


def test_other_files_and_more_neighbours_are_refused(files, tmp_path):
    search_shard(open_job(*files, tmp_path / "m"), Shard(1, 1), 4)
    with pytest.raises(DataError, match="holds 4 neighbours, but k is 5"):
        joined(open_job(*files, tmp_path / "m"), 1, 5)
    rows = np.load(files[1][1])
    rows[0] = 1
    np.save(files[1][1], rows)
    with pytest.raises(DataError, match="made from other files"):
        joined(open_job(*files, tmp_path / "m"), 1, 4)


def test_approximate_shards_are_called_so(files, tmp_path, caplog):
    random = np.random.default_rng(2)
    src = random.standard_normal((3000, 32)).astype(np.float32)
    for side, rows in zip((0, 1), (src, src + 0.3 * random.standard_normal(src.shape).astype(np.float32))):
        np.save(files[1][side], rows)
        files[0][side].write_text("".join(f"{side} {i}\n" for i in range(3000)))
    for index in (1, 2):
        search_shard(open_job(*files, tmp_path / "m", search="approximate"), Shard(index, 2), 4)
    found = joined(open_job(*files, tmp_path / "m", search="approximate"), 2, 4)
    kinds = [json.loads((tmp_path / f"m.shard{i}of2.npy.json").read_text())["searched"] for i in (1, 2)]
    assert found.search == ("exact" if kinds == ["exact"] * 2 else "approximate")
    assert (found.forward.indices[:, 0] == np.arange(3000)).mean() > 0.95
    assert (found.backward.indices[:, 0] == np.arange(3000)).mean() > 0.95
