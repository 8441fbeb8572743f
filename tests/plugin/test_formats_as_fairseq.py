"""The readers of dict.txt and of binarised files agree with fairseq's own."""

import numpy as np
import pytest

from fairseq_distill.formats.binarised import open_binarised
from fairseq_distill.formats.dictionary import SPECIALS, read_dictionary, write_dictionary

torch = pytest.importorskip("torch")
pytest.importorskip("fairseq")


def test_a_dictionary_has_fairseqs_ids(tmp_path):
    from fairseq.data import Dictionary

    path = tmp_path / "dict.txt"
    pieces = ["▁a", "b", "▁", "1", "#", "ሰ", "\u2028x"]
    write_dictionary(path, pieces)
    ours, theirs = read_dictionary(path), Dictionary.load(str(path))
    assert len(ours) == len(theirs)
    assert [ours.id(piece) for piece in [*SPECIALS, *pieces, "nowhere"]] == [
        theirs.index(piece) for piece in [*SPECIALS, *pieces, "nowhere"]
    ]


def test_flagged_lines_take_the_rows_that_fairseq_gives_them(tmp_path):
    from fairseq.data import Dictionary

    path = tmp_path / "laser2.cvocab"
    path.write_text("<unk> 1 #fairseq:overwrite\n<s> 1 #fairseq:overwrite\n▁a 9\nb 8\n▁a 7 #fairseq:overwrite\n")
    ours, theirs = read_dictionary(path), Dictionary.load(str(path))
    assert ours.symbols == theirs.symbols
    assert ours.id("▁a") == theirs.index("▁a") == 8
    # fairseq looks "<unk>" up at its second row, which no model was trained on: LASER sets the four by hand, as we do.
    assert [ours.id(special) for special in SPECIALS] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [200, 70_000])  # fairseq stores ids in 16 or 32 bits
def test_binarised_sentences_are_fairseqs(tmp_path, size):
    from fairseq.data.indexed_dataset import MMapIndexedDataset, make_builder

    rng = np.random.default_rng(1)
    rows = [[*rng.integers(4, size, n).tolist(), 2] for n in (3, 1, 0, 8, 5)]
    builder = make_builder(str(tmp_path / "train.bin"), impl="mmap", vocab_size=size)
    for row in rows:
        builder.add_item(torch.tensor(row))
    builder.finalize(str(tmp_path / "train.idx"))
    ours, theirs = open_binarised(tmp_path / "train"), MMapIndexedDataset(str(tmp_path / "train"))
    assert len(ours) == len(theirs) == len(rows)
    assert [ours[i].tolist() for i in range(5)] == [theirs[i].tolist() for i in range(5)] == rows
    assert ours.lengths.tolist() == theirs.sizes.tolist()
