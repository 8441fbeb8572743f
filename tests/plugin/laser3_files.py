"""Small files as LASER3's training and LASER's releases leave them, made with fairseq's own TransformerEncoder."""

import argparse
import io

import numpy as np
import sentencepiece
import torch
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerEncoder
from torch import nn

from fairseq_distill.formats.dictionary import write_cvocab
from fairseq_distill.text import normalise

WORDS = "ሰላም ዛሬ ቤት ወንዝ the river rose in night and a goat saw house of our town when rains began to fall".split()
TEXT = [" ".join(np.random.default_rng(i).choice(WORDS, 7)) for i in range(300)]
LINES = [
    "The river rose!",
    "",
    "a goat saw ሰላም ዛሬ",
    "ξένη λέξη 数",
    "the rains began to fall " * 9,
    "  A goat\u2028saw ",
    "the",
    "ሰላም " * 30,
]
PAD = 1


class Laser3Reference(TransformerEncoder):
    """The nllb branch's encoder: fairseq's, with the head's layer norm in the place of its own when there is MLM."""

    def __init__(self, args, dictionary):
        torch.manual_seed(args.seed)
        table = nn.Embedding(len(dictionary), args.encoder_embed_dim, PAD)
        nn.init.normal_(table.weight, std=args.encoder_embed_dim**-0.5)
        super().__init__(args, dictionary, table)
        self.args = args
        if args.mlm:
            self.project_vocabulary = nn.Linear(args.encoder_embed_dim, len(dictionary), bias=False)
            self.lm_head_transform_weight = nn.Linear(args.encoder_embed_dim, args.encoder_embed_dim)
            self.layer_norm = nn.LayerNorm(args.encoder_embed_dim)
        for name, parameter in self.named_parameters():  # biases and norms that are not what a new model has
            if parameter.dim() == 1:
                nn.init.normal_(parameter, 1.0 if "norm.weight" in name else 0.0, 0.2)

    @torch.no_grad()
    def embed(self, rows):
        """float32 [N, D]: all sentences in one batch, padded on the side that the options say."""
        width = max(map(len, rows))
        tokens = torch.full((len(rows), width), PAD)
        for number, row in enumerate(rows):
            place = slice(width - len(row), width) if self.args.left_pad_source else slice(0, len(row))
            tokens[number, place] = torch.tensor(row)
        hidden = self.eval()(tokens, None)["encoder_out"][0]  # [T, B, D]
        if self.args.sentemb_criterion == "cls":
            # The position of BOS. LASER indexes [T, B] by it, which keeps the order only of sentences sorted by length.
            return hidden.transpose(0, 1)[tokens.eq(0)].numpy()
        return hidden.masked_fill(tokens.eq(PAD).t().unsqueeze(-1), float("-inf")).max(dim=0)[0].numpy()


def train_spm():
    """A SentencePiece model of TEXT, serialised."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=48, character_coverage=1.0, minloglevel=2
    )
    return model.getvalue()


def options(**changed):
    """A training's options; those that are None are left out of the checkpoint."""
    given = {
        "encoder_layers": 2,
        "encoder_embed_dim": 16,
        "encoder_ffn_embed_dim": 24,
        "encoder_attention_heads": 4,
        "encoder_normalize_before": False,
        "sentemb_criterion": "maxpool",
        "prepend_bos": False,
        "left_pad_source": True,
        "dropout": 0.3,
        "max_source_positions": 1024,
        "mlm": False,
        "seed": 3,
    }
    return {**given, **changed}


def write_laser3(
    folder,
    name,
    spm,
    layout="stripped",
    style="spm+4",
    held="namespace",
    buffers=True,
    mask_row=None,
    dtype=torch.float32,
    **changed,
):
    """Write ``name.pt``, ``.spm`` and ``.cvocab``; the reference's embeddings of LINES come back, float32 [N, D].

    Args:
        layout: ``stripped``, ``training`` (with a decoder, heads and the trainer's state) or ``prefixed`` (encoder alone,
            with its prefix).
        style: of the dictionary.
        held: the options: ``namespace``, ``dict`` or ``nested``, as cfg.model, or ``args``, a Namespace of that name.
        buffers: whether ``version`` and ``embed_positions._float_tensor`` are there.
        dtype: of the weights.
        mask_row: whether there is a row for <mask>; as MLM has it if None.
        changed: options; one that is None is left out.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=spm)
    pieces = [processor.id_to_piece(i) for i in range(len(processor))]
    (folder / f"{name}.spm").write_bytes(spm)
    vocabulary = write_cvocab(folder / f"{name}.cvocab", pieces, style)
    given = options(**changed)
    args = argparse.Namespace(**{key: value for key, value in given.items() if value is not None})
    dictionary = Dictionary()
    # fairseq's add_symbol appends a flagged special as a new row.
    for symbol in vocabulary.symbols[4:]:
        dictionary.add_symbol(symbol, overwrite=symbol in ("<s>", "</s>", "<unk>"))
    if given["mlm"] if mask_row is None else mask_row:
        dictionary.add_symbol("<mask>")
    encoder = Laser3Reference(args, dictionary)
    for parameter in encoder.parameters():
        parameter.data = parameter.data.to(dtype).float()
    first = [0] if given["prepend_bos"] else []
    ids = {piece: number for number, piece in enumerate(vocabulary.symbols) if number > 3}
    for special, number in (("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3)):
        ids[special] = number
    rows = [[*first, *(ids.get(p, 3) for p in processor.encode(normalise(line), out_type=str)), 2] for line in LINES]
    content = {**_options(args, held), "model": _state(encoder, layout, buffers, dtype)}
    if layout == "training":
        content |= _trainers_state()
    torch.save(content, folder / f"{name}.pt")
    return encoder.embed(rows)


def _options(args, held):
    if held == "args":
        return {"args": args, "cfg": None}
    if held == "namespace":
        return {"cfg": {"model": args}}
    given = dict(vars(args))
    if held == "nested":  # as fairseq's TransformerConfig
        inner = {key: given.pop(key) for key in list(given) if key.startswith("encoder_")}
        given["encoder"] = {key[len("encoder_") :]: value for key, value in inner.items()}
    return {"cfg": {"model": given}}


def _trainers_state():
    """What fairseq's trainer keeps beside the weights; ``best`` is NumPy's where the metric was."""
    history = [
        {"criterion_name": "x", "optimizer_name": "FusedAdam", "lr_scheduler_state": {"best": 1.5}, "num_updates": 9}
    ]
    adam = {"state": {0: {"step": 9, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    seen = {"epoch": 2, "iterations_in_epoch": 4, "shuffle": True}
    return {
        "optimizer_history": history,
        "extra_state": {"train_iterator": seen, "val_loss": 2.5, "best": np.float64(2.5)},
        "last_optimizer_state": adam,
    }


def _state(encoder, layout, buffers, dtype):
    heads = ("project_vocabulary", "lm_head_transform_weight")
    state = {key: value.to(dtype) for key, value in encoder.state_dict().items()}
    if buffers:
        state |= {"version": torch.tensor([3.0]), "embed_positions._float_tensor": torch.zeros(1)}
    else:
        state = {key: value for key, value in state.items() if key not in ("version", "embed_positions._float_tensor")}
    if layout == "stripped":
        return {key: value for key, value in state.items() if not key.startswith(heads)}
    state = {f"encoder.{key}": value for key, value in state.items()}
    if layout == "training":
        state |= {"encoder.lm_head.bias": torch.zeros(7), "decoder.version": torch.tensor([3.0])}
        state |= {"decoder.embed_tokens.weight": torch.zeros(7, 4)}
        state |= {
            "decoder.layers.0.fc1.weight": torch.zeros(3, 4),
            "decoder.output_projection.weight": torch.zeros(7, 4),
        }
    return state
