"""Small students with weights drawn at random, as checkpoints; the text that exports are compared on."""

import base64
import io

import numpy as np
import sentencepiece
import torch

from fairseq_distill.embedding.student import load_student
from fairseq_distill.formats.student_state import FORMAT_VERSION
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder
from fairseq_distill.text import NORMALISER

WORDS = "ሰላም ዛሬ ቤት ወንዝ the river rose in night and a goat saw house of our town when rains began to fall".split()
TEXT = [" ".join(np.random.default_rng(i).choice(WORDS, 7)) for i in range(300)]
LINES = [
    "The river rose!",
    "",
    "   ",
    "a goat saw ሰላም ዛሬ",
    "ξένη λέξη 数, ΟΔΟΣ",
    "the rains began to fall " * 9,
    "  A goat\u2028saw \u200b\u00a0the\thouse ",
    "“our” ‘town’ – «rains»… (in) 5\u00a0000 %",
    "the",
    "<mask> <s> </s> <unk> <pad>",
    "ሰላም " * 30,
]
# What a student can be: (options of its shape, whether it fits LASER3).
SHAPES = {
    "laser3": ({}, True),
    "laser3 with the norm of MLM": ({"final_norm": True}, True),
    "pre-norm": ({"pre_norm": True}, True),
    "cls": ({"pooling": "cls"}, True),
    "gelu": ({"activation": "gelu"}, True),
    "mean": ({"pooling": "mean"}, False),
    "projection": ({"output_dim": 12}, False),
    "lexical path, as for MiniLM": ({"lexical": True, "pre_norm": True, "pooling": "mean", "output_dim": 12}, False),
    "lexical path, cls, projection": ({"lexical": True, "pooling": "cls", "output_dim": 12}, False),
}
FITTING = [name for name, (_, fits) in SHAPES.items() if fits]


def train_spm():
    """A SentencePiece model of TEXT, serialised."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=48, character_coverage=1.0, minloglevel=2
    )
    return model.getvalue()


def write_student(path, spm, languages=("swh",), max_length_pieces=256, **changed):
    """Write a student's checkpoint; every tensor is random, biases and norms too."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=spm)
    pieces = [processor.id_to_piece(i) for i in range(len(processor))]
    symbols = ["<s>", "<pad>", "</s>", "<unk>", *(p for p in pieces if p not in ("<s>", "</s>", "<unk>")), "<mask>"]
    given = {"dim": 16, "ffn_dim": 24, "layers": 2, "heads": 4, "output_dim": 16, **changed}
    shape = EncoderShape(vocabulary=len(symbols), max_positions=max_length_pieces, padding=1, **given)
    torch.manual_seed(3)
    model = StudentEncoder(shape)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm.weight" in name else 0.0, 0.3)
    model.embed_tokens.weight.data[1] = 0
    norm = "pre" if shape.pre_norm else "post_final" if shape.final_norm else "post"
    cfg = {
        "encoder_embed_dim": shape.dim, "encoder_ffn_embed_dim": shape.ffn_dim, "encoder_layers": shape.layers,
        "encoder_attention_heads": shape.heads, "pooling": shape.pooling, "layer_norm": norm,
        "activation_fn": shape.activation,
    }  # fmt: skip
    state = {
        "format_version": FORMAT_VERSION,
        "spm_base64": base64.b64encode(spm).decode("ascii"),
        "symbols": symbols,
        "normaliser": NORMALISER,
        "teacher": {
            "spec": "sbert:a-teacher", "space": "space:1", "dim": shape.output_dim, "pooling": "mean", "lang": "eng",
        },
        "languages": list(languages),
        "max_length_pieces": max_length_pieces,
    }  # fmt: skip
    weights = {f"encoder.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"cfg": {"model": cfg}, "model": weights, "task_state": {"student": state}}, path)
    return path


def rows_of(path):
    """float32 [N, E] of LINES, by our own encoder in float32."""
    return load_student(path, "cpu", "float32").encode(LINES)


def least_cosine(found, expected):
    """The smallest cosine between a row and its counterpart."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return ((found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)).min()
