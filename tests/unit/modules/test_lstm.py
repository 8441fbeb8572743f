"""The LSTM encoder: equal to NumPy one sentence at a time, whatever the batch, its order and its padding."""

import numpy as np
import pytest
import torch

from fairseq_distill.modules.lstm import LstmEncoder, LstmShape
from tests.reference.networks import lstm_embedding

SHAPE = LstmShape(vocabulary=20, embed_dim=6, hidden=5, layers=3)


@pytest.fixture
def encoder():
    torch.manual_seed(1)
    return LstmEncoder(SHAPE).eval()


def embed(encoder, sentences):
    lengths = [len(ids) for ids in sentences]
    tokens = torch.full((len(sentences), max(lengths)), SHAPE.padding)
    for row, ids in enumerate(sentences):
        tokens[row, : len(ids)] = torch.tensor(ids)
    with torch.inference_mode():
        return encoder(tokens, torch.tensor(lengths)).numpy()


SENTENCES = [[4, 5, 2], [2], [6, 7, 8, 9, 10, 2], [11, 2], [4, 5, 2], [19, 18, 17, 16, 15, 2]]


def test_equals_the_slow_reference(encoder):
    tensors = {name: tensor.double().numpy() for name, tensor in encoder.state_dict().items()}
    expected = [lstm_embedding(np.array(ids), tensors, SHAPE.layers) for ids in SENTENCES]
    np.testing.assert_allclose(embed(encoder, SENTENCES), np.stack(expected), atol=1e-6)


def test_a_gpu_would_multiply_in_float32(encoder):
    """TF32 is off while the LSTM runs, padded or not, and as it was afterwards."""
    seen = []
    encoder.lstm.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        embed(encoder, SENTENCES)
        embed(encoder, SENTENCES[:1])
        assert seen == [False, False] and torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.enabled
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_a_row_does_not_depend_on_the_others(encoder):
    together = embed(encoder, SENTENCES)
    for row, ids in enumerate(SENTENCES):
        np.testing.assert_allclose(embed(encoder, [ids])[0], together[row], atol=1e-6)
    order = [3, 0, 5, 1, 4, 2]
    np.testing.assert_allclose(embed(encoder, [SENTENCES[i] for i in order]), together[order], atol=1e-6)


def test_it_can_be_trained_and_the_padding_gets_no_gradient(encoder):
    lengths = torch.tensor([len(ids) for ids in SENTENCES])
    tokens = torch.full((len(SENTENCES), int(lengths.max())), SHAPE.padding)
    for row, ids in enumerate(SENTENCES):
        tokens[row, : len(ids)] = torch.tensor(ids)
    trained = encoder(tokens, lengths)
    np.testing.assert_allclose(trained.detach().numpy(), embed(encoder, SENTENCES), atol=1e-6)
    trained.square().sum().backward()
    seen = sorted({i for ids in SENTENCES for i in ids})
    moved = encoder.embed_tokens.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()
    assert moved == seen


def test_the_published_shape():
    shape = LstmShape()
    assert (shape.vocabulary, shape.output_dim, shape.layers, shape.padding) == (50004, 1024, 5, 1)
