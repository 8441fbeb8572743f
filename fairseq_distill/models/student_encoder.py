"""``--arch student_encoder``: fairseq's face of :class:`fairseq_distill.modules.transformer.StudentEncoder`."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model, register_model_architecture
from hydra.core.config_store import ConfigStore
from omegaconf import II
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.modules.mlm_head import MaskedLanguageModelHead
from fairseq_distill.modules.pooling import POOLINGS
from fairseq_distill.modules.precision import PRECISIONS, autocast
from fairseq_distill.modules.transformer import ACTIVATIONS, Dropout, EncoderShape, StudentEncoder


@dataclass
class StudentEncoderConfig(FairseqDataclass):
    encoder_layers: int = field(default=defaults.BASE.layers, metadata={"help": "number of transformer layers"})
    encoder_embed_dim: int = field(default=defaults.BASE.dim, metadata={"help": "width of the model"})
    encoder_ffn_embed_dim: int = field(
        default=defaults.BASE.ffn_dim, metadata={"help": "width inside the feed-forward blocks"}
    )
    encoder_attention_heads: int = field(
        default=defaults.BASE.heads, metadata={"help": "attention heads; divides the width"}
    )
    layer_norm: ChoiceEnum(("pre", "post", "post_final")) = field(  # type: ignore[valid-type]
        default="pre" if defaults.BASE.pre_norm else "post",
        metadata={
            "help": "layer norm before each block and at the end (pre), after each block as in LASER3 (post), or post and one at the end (post_final)"
        },
    )
    activation_fn: ChoiceEnum(tuple(ACTIVATIONS)) = field(  # type: ignore[valid-type]
        default="relu", metadata={"help": "activation inside the feed-forward blocks"}
    )
    pooling: ChoiceEnum(("auto", *POOLINGS)) = field(  # type: ignore[valid-type]
        default="auto",
        metadata={
            "help": "how pieces become one sentence vector; auto: as the teacher pools (max for LASER2, as in the paper)"
        },
    )
    dropout: float = field(
        default=defaults.DROPOUT, metadata={"help": "dropout after the embedding and each block, in [0, 1)"}
    )
    attention_dropout: float = field(default=0.0, metadata={"help": "dropout on attention weights, in [0, 1)"})
    activation_dropout: float = field(
        default=0.0, metadata={"help": "dropout inside the feed-forward blocks, in [0, 1)"}
    )
    lexical_path: ChoiceEnum(("auto", "fitted", "unfitted", "none")) = field(  # type: ignore[valid-type]
        default="auto",
        metadata={
            "help": "bag of pieces added to the output: fitted to the teacher in closed form, unfitted (from zero) or none; auto: fitted if pooling is mean"
        },
    )
    lexical_ridge: float = field(default=defaults.LEXICAL_RIDGE, metadata={"help": "weight of the fit's penalty, > 0"})
    lexical_dropout: float = field(
        default=defaults.LEXICAL_DROPOUT,
        metadata={"help": "share of the pieces left out of the bag in training, in [0, 1)"},
    )
    autocast: ChoiceEnum(PRECISIONS) = field(  # type: ignore[valid-type]
        default=defaults.AUTOCAST,
        metadata={
            "help": "matrix products of the student: bfloat16, float32, or auto: bfloat16 on a CPU that is faster at it; --fp16 and --bf16 overrule it"
        },
    )
    fp16: bool = II("common.fp16")
    bf16: bool = II("common.bf16")


@register_model("student_encoder", dataclass=StudentEncoderConfig)
class StudentEncoderModel(BaseFairseqModel):
    """An encoder and an MLM head; no decoder."""

    def __init__(self, encoder: StudentEncoder, precision: str):
        super().__init__()
        self.encoder, self.precision = encoder, precision
        self.fit_lexical_path = False  # whether the task is to fit it before training
        self.mlm_head = MaskedLanguageModelHead(encoder.shape.dim, encoder.embed_tokens)

    @classmethod
    def build_model(cls, cfg: StudentEncoderConfig, task: Any) -> "StudentEncoderModel":
        """The student for a task that says its vocabulary, the teacher's width and pooling, and the longest sentence."""
        pooling = task.teacher.pooling if str(cfg.pooling) == "auto" else str(cfg.pooling)
        try:
            shape = EncoderShape(
                vocabulary=len(task.source_dictionary),
                dim=cfg.encoder_embed_dim,
                ffn_dim=cfg.encoder_ffn_embed_dim,
                layers=cfg.encoder_layers,
                heads=cfg.encoder_attention_heads,
                output_dim=task.teacher.dim,
                pooling=pooling,
                pre_norm=str(cfg.layer_norm) == "pre",
                final_norm=str(cfg.layer_norm) != "post",
                activation=str(cfg.activation_fn),
                max_positions=task.cfg.max_length_pieces,
                padding=task.source_dictionary.pad(),
                lexical=_lexical_path(cfg, pooling) != "none",
            )
        except ValueError as error:
            raise ConfigError(f"These options make no student: {error}.") from error
        dropout = Dropout(cfg.dropout, cfg.attention_dropout, cfg.activation_dropout, cfg.lexical_dropout)
        model = cls(StudentEncoder(shape, dropout), "float32" if cfg.fp16 or cfg.bf16 else str(cfg.autocast))
        model.fit_lexical_path = _lexical_path(cfg, pooling) == "fitted"
        return model

    def forward(
        self,
        src_tokens: Tensor,
        n_distil: int,
        masked_positions: Optional[Tensor] = None,
        masked_tokens: Optional[Tensor] = None,
    ) -> Dict[str, Any]:
        """One pass for sentences to distil and sentences to mask, or one for each where the masked text is much longer.

        Args:
            src_tokens: int64 [B, T], right-padded; the first ``n_distil`` rows are to be distilled.
            n_distil: number of those rows.
            masked_positions: int64 [M], positions to predict, flat over B x T, or over ``masked_tokens`` where given.
            masked_tokens: int64 [B', T'], right-padded: text to mask that is not in ``src_tokens``.

        Returns:
            ``embedding`` float32 [n_distil, E]; ``mlm_logits`` [M, V], or None when M = 0.
        """
        with autocast(src_tokens.device, self.precision):
            hidden, padding = self.encoder.hidden(src_tokens)
            embedding = self.encoder.embed(hidden[:n_distil], padding[:n_distil], src_tokens[:n_distil])
            logits = None
            if masked_positions is not None and len(masked_positions):
                if masked_tokens is not None:
                    hidden, _ = self.encoder.hidden(masked_tokens)
                pieces = hidden[:, self.encoder.prefix :].reshape(-1, hidden.size(-1))  # [B x T, D]
                logits = self.mlm_head(pieces[masked_positions])
        if logits is None and self.training:
            # Zeros for the head rather than no gradient: DDP waits for one, and weight decay must not depend on who masks.
            embedding = embedding + 0.0 * sum(each.sum() for each in self.mlm_head.parameters())
        return {"embedding": embedding, "mlm_logits": logits}

    def max_positions(self) -> int:
        return self.encoder.shape.max_positions


def _lexical_path(cfg: StudentEncoderConfig, pooling: str) -> str:
    if str(cfg.lexical_path) == "auto":
        return "fitted" if pooling == "mean" else "none"
    return str(cfg.lexical_path)


def _architecture(size: defaults.StudentSize):  # type: ignore[no-untyped-def]
    def fill(args: Any) -> None:
        for option, value in (
            ("encoder_layers", size.layers),
            ("encoder_embed_dim", size.dim),
            ("encoder_ffn_embed_dim", size.ffn_dim),
            ("encoder_attention_heads", size.heads),
            ("layer_norm", "pre" if size.pre_norm else "post"),
        ):
            setattr(args, option, getattr(args, option, value))

    return fill


for _name, _size in defaults.SIZES.items():
    if _name != "student_encoder":  # registered with the model itself
        register_model_architecture("student_encoder", _name)(_architecture(_size))
        _node = StudentEncoderConfig(
            encoder_layers=_size.layers,
            encoder_embed_dim=_size.dim,
            encoder_ffn_embed_dim=_size.ffn_dim,
            encoder_attention_heads=_size.heads,
            layer_norm="pre" if _size.pre_norm else "post",
        )
        _node._name = "student_encoder"
        ConfigStore.instance().store(name=_name, group="model", node=_node, provider="fairseq")
