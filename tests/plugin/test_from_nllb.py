"""The JSON data configuration of the nllb branch, with files that fairseq's own builders write, becomes a data directory."""

import json
import runpy
import sys

import numpy as np
import pytest
import sentencepiece
import torch
from fairseq.data.indexed_dataset import IndexedDatasetBuilder, MMapIndexedDataset, make_builder
from laser3_files import TEXT, train_spm
from tiny_data import REPO

from fairseq_distill.data.corpora import open_part
from fairseq_distill.errors import DataError
from fairseq_distill.formats.binarised import open_binarised, open_either, open_legacy, write_binarised
from fairseq_distill.formats.dictionary import read_dictionary, write_cvocab
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import read_manifest
from fairseq_distill.text import StudentTokenizer, normalise

SENTENCES = {"amh": TEXT[:20], "eng": TEXT[20:40], "mono": TEXT[40:52]}


def binarise(prefix, rows, legacy):
    prefix.parent.mkdir(parents=True, exist_ok=True)
    if legacy:
        builder = IndexedDatasetBuilder(f"{prefix}.bin")
    else:
        builder = make_builder(f"{prefix}.bin", impl="mmap", vocab_size=60)
    for row in rows:
        builder.add_item(torch.tensor(row))
    builder.finalize(f"{prefix}.idx")


@pytest.mark.parametrize("rows", [[[4, 5, 2], [2], [70_000, 6, 7, 2]], []])
def test_the_legacy_layout_is_read_as_fairseq_wrote_it(tmp_path, rows):
    binarise(tmp_path / "x", rows, legacy=True)
    for opened in (open_legacy(tmp_path / "x"), open_either(tmp_path / "x")):
        assert [opened[i].tolist() for i in range(len(opened))] == rows
    if rows:
        for name, size, message in (("x.idx", 60, "bytes, not those of 3"), ("x.bin", 8, "has 8 bytes, but")):
            whole = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(whole[:size])
            with pytest.raises(DataError, match=message):
                open_legacy(tmp_path / "x")
            (tmp_path / name).write_bytes(whole)


@pytest.mark.parametrize("highest", [50, 65_499, 65_500, 70_000])
def test_what_is_written_fairseq_reads(tmp_path, highest):
    write_binarised(tmp_path / "x", np.array([4, 2, highest, 5, 2, 2]), np.array([2, 3, 1]))
    theirs = MMapIndexedDataset(str(tmp_path / "x"))
    assert [theirs[i].tolist() for i in range(3)] == [[4, 2], [highest, 5, 2], [2]]
    assert [open_either(tmp_path / "x")[i].tolist() for i in range(3)] == [[4, 2], [highest, 5, 2], [2]]


@pytest.fixture
def nllb(tmp_path):
    """A configuration with a pair, a monolingual text and a valid set, under a flagged dictionary."""
    (tmp_path / "v.spm").write_bytes(train_spm())
    spm = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "v.spm"))
    dictionary = write_cvocab(tmp_path / "v.cvocab", [spm.id_to_piece(i) for i in range(len(spm))], "spm+4")
    tokenizer = StudentTokenizer(spm.serialized_model_proto(), dictionary)
    bin_folder = tmp_path / "bin" / "news" / "amh-eng"
    for number, (name, lines) in enumerate(SENTENCES.items()):
        prefix = bin_folder / ("train.amh" if name == "amh" else "train.eng" if name == "eng" else "mono.amh")
        binarise(prefix, [row.tolist() for row in tokenizer.encode(lines)], legacy=number != 2)
    pair = {"src": str(bin_folder / "train.amh"), "tgt": str(bin_folder / "train.eng")}
    mono = {"src": str(bin_folder / "mono.amh"), "tgt": str(bin_folder / "mono.amh")}
    config = {
        "src_vocab": str(tmp_path / "v.cvocab"),
        "tgt_vocab": str(tmp_path / "v.cvocab"),
        "train": [{"id": "amh-eng", **pair}, {"id": "mono", **mono}],
        "valid": [{"id": "amh-eng", **pair}],
    }
    (tmp_path / "own.py").write_text(
        "import numpy as np\nclass T:\n    encode = lambda s, x: [[len(a), 1] for a in x]\n"
    )
    return tmp_path, config


def convert(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    sys.path.insert(0, str(REPO / "data_prep"))
    program = runpy.run_path(str(REPO / "data_prep" / "from_nllb.py"))
    words = ["--config", folder / "config.json", "--data", folder / "data", "--teacher", f"python:{folder}/own.py:T"]
    return program["cli"]([str(word) for word in words])


def test_becomes_a_data_directory(nllb):
    folder, config = nllb
    assert convert(folder, config) == 0
    data = folder / "data"
    manifest = read_manifest(data)
    assert [(c.split, c.id, c.kind, c.lang, c.n, c.tgt_lang) for c in manifest.corpora] == [
        ("train", "amh-eng", "distil", "amh", 20, "eng"),
        ("train", "mono", "mask", "amh", 12, None),
        ("valid", "amh-eng", "distil", "amh", 20, "eng"),
    ]
    assert manifest.languages == ["amh"] and manifest.teacher.dim == 2
    dictionary = read_dictionary(data / "dict.txt")
    assert len(dictionary) == 4 + 48 - 3  # the specials' dead twins are gone
    tokenizer = StudentTokenizer((data / "spm.model").read_bytes(), dictionary)
    for corpus, name in ((manifest.corpora[0], "amh"), (manifest.corpora[1], "mono")):
        lines = [normalise(line) for line in SENTENCES[name]]
        assert read_lines(data / corpus.src_text) == lines
        ours = open_binarised(data / corpus.src)
        assert [ours[i].tolist() for i in range(len(ours))] == [ids.tolist() for ids in tokenizer.encode(lines)]
        open_part(data, corpus, 2, 1, manifest.teacher.space)
    english = [normalise(line) for line in SENTENCES["eng"]]
    assert read_lines(data / manifest.corpora[0].tgt_text) == english
    assert np.load(data / manifest.corpora[0].teacher[0])[:, 0].tolist() == [len(line) for line in english]


def test_what_is_not_supported_is_one_sentence(nllb, capsys):
    folder, config = nllb
    pair = config["train"][0]

    def refused(message, **changed):
        assert convert(folder, {**config, **changed}) == 1
        said = capsys.readouterr().err
        assert message in said and "Traceback" not in said
        assert not (folder / "data" / "manifest.json").exists()

    refused("a corpus with its own sampling (sample) is not supported", train=[{**pair, "sample": 2}])
    refused("the id 'amh-eng' stands twice in train", train=[pair, pair])
    refused("lacks id, src or tgt", train=[{"id": "x"}])
    refused("becomes a file name", train=[{**pair, "id": "../x"}])
    refused("must end in its language", train=[{**pair, "src": pair["src"].replace("train.amh", "train.swa")}])
    refused("epochs is not supported", epochs=3)
    refused("has the teacher languages (none)", train=[config["train"][1]], valid=[])
    binarise(folder / "bin/news/amh-eng/short.eng", [[9, 2]], True)
    refused("has 20 sentences but", train=[{**pair, "tgt": str(folder / "bin/news/amh-eng/short.eng")}])
    binarise(folder / "bin/news/amh-eng/big.amh", [[5000, 2]], True)
    refused("holds the id 5,000, but", train=[{**pair, "src": str(folder / "bin/news/amh-eng/big.amh")}])
    binarise(folder / "bin/news/amh-eng/bos.amh", [[0, 9, 2]], True)
    refused("holds <s> or <pad> inside", train=[{**pair, "src": str(folder / "bin/news/amh-eng/bos.amh")}])
    (folder / "v.spm").unlink()
    refused("v.spm does not exist; name the student's SentencePiece model by --spm")


def test_the_task_says_how_to_read_it(nllb):
    folder, config = nllb
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="is a file, not a data directory. .*from_nllb.py --config .*config.json"):
        read_manifest(folder / "config.json")
