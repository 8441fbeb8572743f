"""``fairseq-train --help`` does not show what a task, criterion or model adds, so docs/options.md does, from the sources.

python tests/plugin/test_documented_options.py     writes it again
"""

import re
from dataclasses import MISSING, fields
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "options.md"

HEAD = """# Options of fairseq-train that this project adds

Written by `python tests/plugin/test_documented_options.py` from the classes that are registered; a test compares.
fairseq's own options (`--max-update`, `--lr`, `--save-dir`, `--patience` …) are shown by `fairseq-train --help`.
"""


def rows(config):
    """(flag, default, help) of each field that a config class defines itself."""
    inherited = {
        field.name for base in config.__mro__[1:] for field in getattr(base, "__dataclass_fields__", {}).values()
    }
    for field in fields(config):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name in inherited or re.match(r"\$\{", str(default)):  # "${common.seed}": fairseq's own option
            continue
        positional = field.name == "data"
        flag = "DATA" if positional else "--" + field.name.replace("_", "-")
        shown = "" if positional else {True: "on", False: "off"}[default] if isinstance(default, bool) else str(default)
        yield flag, shown, field.metadata["help"]


def document() -> str:
    """docs/options.md as it should be."""
    from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_NAME_REGISTRY

    import fairseq_distill.tasks  # noqa: F401  registers everything
    from fairseq_distill import defaults
    from fairseq_distill.criterions.sentence_distillation import SentenceDistillationCriterionConfig
    from fairseq_distill.models.student_encoder import StudentEncoderConfig
    from fairseq_distill.optimizers.fused_adamw import FusedAdamWConfig
    from fairseq_distill.tasks.sentence_distillation import SentenceDistillationConfig

    parts = [HEAD]
    for title, config in (
        ("`--task sentence_distillation`", SentenceDistillationConfig),
        ("`--criterion sentence_distillation`", SentenceDistillationCriterionConfig),
        ("`--arch student_encoder…`", StudentEncoderConfig),
        ("`--optimizer fused_adamw`", FusedAdamWConfig),
    ):
        table = "".join(
            f"| `{flag}` | {shown} | {text.replace('|', chr(92) + '|')} |\n" for flag, shown, text in rows(config)
        )
        parts.append(f"\n## {title}\n\n| option | default | what it is |\n| --- | --- | --- |\n{table}")
    parts.append(
        "\n## Architectures\n\n| `--arch` | layers | width | feed-forward | heads | layer norm |\n"
        + "| --- " * 6
        + "|\n"
    )
    ours = {arch for arch in ARCH_CONFIG_REGISTRY if ARCH_MODEL_NAME_REGISTRY[arch] == "student_encoder"}
    assert ours >= set(defaults.SIZES), "an architecture of defaults.py is not registered"
    for arch, size in defaults.SIZES.items():
        norm = "before each block" if size.pre_norm else "after each block"
        parts.append(f"| `{arch}` | {size.layers} | {size.dim} | {size.ffn_dim} | {size.heads} | {norm} |\n")
    return "".join(parts)


def test_every_option_stands_in_the_document_as_the_sources_have_it():
    assert DOCUMENT.read_text(encoding="utf-8") == document(), f"write it again: python {__file__}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
