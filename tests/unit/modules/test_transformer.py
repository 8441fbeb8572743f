"""The student: an embedding depends on its own sentence alone; pooling ignores padding; fairseq's encoder says the same."""

import pytest
import torch
from torch.testing import assert_close

from fairseq_distill.modules.mlm_head import MaskedLanguageModelHead
from fairseq_distill.modules.pooling import pool
from fairseq_distill.modules.transformer import Dropout, EncoderShape, StudentEncoder, sinusoidal_positions


def student(**options):
    torch.manual_seed(0)
    shape = {"vocabulary": 50, "dim": 16, "ffn_dim": 32, "layers": 2, "heads": 2, "output_dim": 12, "max_positions": 64}
    model = StudentEncoder(EncoderShape(**{**shape, **options}), Dropout(0.1, 0.1, 0.1, 0.1))
    for parameter in model.parameters():  # so that no zero start hides a part
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def sentences(*lengths, seed=1):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.full((len(lengths), max(lengths)), 1)
    for row, length in enumerate(lengths):
        rows[row, : length - 1] = torch.randint(4, 50, (length - 1,), generator=generator)
        rows[row, length - 1] = 2
    return rows


@pytest.mark.parametrize("pooling", ["max", "mean", "cls"])
@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("lexical", [True, False])
def test_an_embedding_does_not_depend_on_the_batch(pooling, pre_norm, lexical):
    model = student(pooling=pooling, pre_norm=pre_norm, lexical=lexical)
    batch = sentences(9, 1, 30, 4)
    together = model(batch)
    for row, length in enumerate((9, 1, 30, 4)):
        assert_close(model(batch[row : row + 1, :length])[0], together[row], atol=1e-5, rtol=1e-4)
    assert_close(model(batch.flip(0)).flip(0), together, atol=1e-5, rtol=1e-4)


def test_cls_pools_what_stands_at_bos():
    """The same weights with BOS written before each sentence, and no pooling but the first position taken by hand."""
    model, plain = student(pooling="cls"), student(pooling="mean")
    plain.load_state_dict(model.state_dict())
    batch = sentences(9, 4)
    with_bos = torch.cat([torch.zeros(2, 1, dtype=torch.long), batch], dim=1)
    hidden, padding = plain.hidden(with_bos)
    assert_close(model.hidden(batch)[0][~padding], hidden[~padding])
    assert_close(model(batch), model.projection(hidden[:, 0]))


def test_a_new_student_with_a_lexical_path_is_that_path():
    torch.manual_seed(0)
    model = StudentEncoder(EncoderShape(50, 16, 32, 2, 2, 12, "mean", lexical=True)).eval()
    torch.nn.init.normal_(model.lexical.table.weight)
    batch = sentences(5, 8)
    assert_close(model(batch), model.lexical(batch, batch.ne(1).float()))


def test_the_first_updates_leave_the_lexical_path_in_charge():
    torch.manual_seed(0)
    model = StudentEncoder(EncoderShape(50, 384, 512, 1, 6, 384, "mean", pre_norm=True, lexical=True))
    model.lexical.set_table(0.05 * torch.randn(50, 384))
    batch = sentences(9, 5, 8, 12)
    before = model(batch).detach()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (1 - torch.nn.functional.cosine_similarity(model(batch), torch.randn(4, 384))).sum().backward()
        optimizer.step()
    assert 0 < float((model(batch) - before).norm() / before.norm()) < 0.1  # without damping: 7.9


@pytest.mark.parametrize(
    "pooling, reference", [("max", lambda x: x.max(0).values), ("mean", lambda x: x.mean(0)), ("cls", lambda x: x[0])]
)
def test_pooling_equals_a_loop(pooling, reference):
    hidden = torch.randn(3, 7, 5) - 3  # negative: padding as zeros would win the maximum
    lengths = [7, 1, 4]
    padding = torch.arange(7)[None, :] >= torch.tensor(lengths)[:, None]
    hidden[padding] = 100.0
    found = pool(hidden, padding, pooling)
    for row, length in enumerate(lengths):
        assert_close(found[row], reference(hidden[row, :length]))


def test_dropout_only_in_training():
    model = student(lexical=True)
    batch = sentences(6, 6)
    assert_close(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


def test_positions_are_sines_then_cosines():
    table = sinusoidal_positions(10, 8)
    assert_close(table[3, 0], torch.tensor(3.0).sin())
    assert_close(table[3, 4], torch.tensor(3.0).cos())
    assert_close(table[7, 3], torch.tensor(7.0 / 10000).sin())


def test_the_mlm_head_shares_the_embedding_and_leaves_the_encoder_alone():
    model = student()
    head = MaskedLanguageModelHead(16, model.embed_tokens)
    assert "layer_norm.weight" in dict(head.named_parameters()) and "_embedding.0.weight" not in head.state_dict()
    before = model(sentences(5))
    torch.nn.init.normal_(head.layer_norm.weight)
    assert_close(model(sentences(5)), before)
    assert head(torch.randn(3, 16)).shape == (3, 50)


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"pooling": "median"}, {"activation": "selu"}])
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="|".join(map(str, wrong.values()))):
        student(**wrong)
