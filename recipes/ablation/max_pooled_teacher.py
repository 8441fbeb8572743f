"""A max-pooled English teacher in LASER2's layout, trained on the spot: a BiLSTM whose sentence vector must be enough to translate.

    python recipes/ablation/max_pooled_teacher.py --text DATA/clean --output DIR

DATA is what data_prep/prepare.sh leaves (``--stop-stage 1`` is enough): pairs of files ``train.ID.eng`` and ``train.ID.LANG``
without the lines of the valid sets. Leaves DIR/laser2.pt and DIR/laser2.spm, which ``laser2:DIR`` names, and DIR/teacher.json;
with ``--untrained`` the same encoder with random weights, to compare with. Nothing is done when they are there, made from
the same text with the same options.
"""

import argparse
import hashlib
import io
import json
import logging
import sys
import time
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

import numpy as np
import sentencepiece
import torch
from translation_model import MOST_PIECES, DecoderShape, Pairs, TranslationModel, train

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import atomic_path, sha256_file, write_text
from fairseq_distill.formats.dictionary import PAD, SPECIALS, Dictionary
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.modules.device import choose_device
from fairseq_distill.modules.lstm import LstmShape
from fairseq_distill.text import StudentTokenizer, normalise

logger = logging.getLogger(__name__)

VERSION = 2  # raise it when the same options would give another teacher
FILES = ("laser2.pt", "laser2.spm")
LOG_UPDATES = 100


def find_pairs(text: Path, lang: str) -> List[Tuple[str, Path, Path]]:
    """(language, English file, its file) of each training corpus in a folder ``clean/``.

    Raises:
        DataError: there is none.
    """
    found = []
    for src in sorted(text.glob(f"train.*.{lang}")):
        stem = src.name[: -len(lang) - 1]  # train.mafand.eng-swa
        other = stem.rpartition(f"{lang}-")[2]
        tgt = text / f"{stem}.{other}"
        if tgt.is_file():
            found.append((other, src, tgt))
    if not found:
        raise DataError(
            f"{text} holds no pair of files train.ID.{lang} and train.ID.LANG; run data_prep/prepare.sh first."
        )
    return found


def train_spm(lines: Iterable[str], size: int) -> bytes:
    """A SentencePiece model of normalised lines; as few pieces as the text allows where ``size`` is too many."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="unigram",
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=defaults.SPM_CHARACTER_COVERAGE,
        num_threads=1,  # sums in one order: the same model on every machine
        minloglevel=2,
    )
    return model.getvalue()


def ids_of_pieces(spm: bytes) -> Dict[str, int]:
    """Piece to id as in the published file: SentencePiece's id + 4; the entries of the specials point at rows without use."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=spm)
    return {processor.id_to_piece(i): i + len(SPECIALS) for i in range(processor.get_piece_size())}


def tokenizer_of(spm: bytes) -> StudentTokenizer:
    """The text path of a model with those ids."""
    ids = ids_of_pieces(spm)
    symbols = [*SPECIALS, *ids]
    assert all(symbols[row] == piece for piece, row in ids.items() if piece not in SPECIALS)
    return StudentTokenizer(spm, Dictionary(symbols))


def read_pairs(files: List[Tuple[str, Path, Path]], src: StudentTokenizer, tgt: StudentTokenizer) -> Pairs:
    """All training pairs of at most MOST_PIECES pieces a side, as ids."""
    languages = sorted({lang for lang, _, _ in files})
    pairs = Pairs([], [], np.empty(0, np.int64))
    numbers: List[int] = []
    for lang, src_file, tgt_file in files:
        for src_ids, tgt_ids in zip(src.encode(read_lines(src_file)), tgt.encode(read_lines(tgt_file))):
            if max(len(src_ids), len(tgt_ids)) <= MOST_PIECES:
                pairs.src.append(src_ids)
                pairs.tgt.append(tgt_ids)
                numbers.append(languages.index(lang))
    return pairs._replace(language=np.array(numbers, dtype=np.int64))


def save(model: TranslationModel, spm: bytes, output: Path) -> None:
    """Write ``laser2.spm``, then ``laser2.pt`` with the keys and names of the published file."""
    with atomic_path(output / "laser2.spm") as temporary:
        temporary.write_bytes(spm)
    shape = model.encoder.shape
    params = {
        "num_embeddings": shape.vocabulary,
        "padding_idx": shape.padding,
        "embed_dim": shape.embed_dim,
        "hidden_size": shape.hidden,
        "num_layers": shape.layers,
        "bidirectional": shape.bidirectional,
        "left_pad": False,
        "padding_value": 0.0,
    }
    content = {"params": params, "model": model.encoder.state_dict(), "dictionary": ids_of_pieces(spm)}
    with atomic_path(output / "laser2.pt") as temporary:
        torch.save(content, temporary)


def options_of(args: argparse.Namespace, files: List[Tuple[str, Path, Path]]) -> Dict[str, object]:
    """What decides the teacher."""
    texts = [[lang, sha256_file(src), sha256_file(tgt)] for lang, src, tgt in files]
    names = (
        "lang",
        "spm_size",
        "target_spm_size",
        "embed_dim",
        "hidden",
        "layers",
        "updates",
        "rate",
        "max_tokens",
        "seed",
        "untrained",
    )
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    return {"version": VERSION, "text": digest, **{name: getattr(args, name) for name in names}}


def build(args: argparse.Namespace, files: List[Tuple[str, Path, Path]], output: Path) -> Dict[str, object]:
    """Make the teacher; what the log and teacher.json say of its training."""
    english = sorted({normalise(line) for _, src, _ in files for line in read_lines(src)})
    spm = train_spm(english, args.spm_size)
    tgt_spm = train_spm((normalise(line) for _, _, tgt in files for line in read_lines(tgt)), args.target_spm_size)
    src, tgt = tokenizer_of(spm), tokenizer_of(tgt_spm)
    torch.manual_seed(args.seed)
    encoder = LstmShape(len(ids_of_pieces(spm)) + len(SPECIALS), args.embed_dim, args.hidden, args.layers, True, PAD)
    decoder = DecoderShape(len(ids_of_pieces(tgt_spm)) + len(SPECIALS), len({lang for lang, _, _ in files}))
    model = TranslationModel(encoder, decoder)
    facts: Dict[str, object] = {"english": len(english), "dim": encoder.output_dim}
    if not args.untrained:
        pairs = read_pairs(files, src, tgt)
        logger.info(f"teacher | {len(english):,} English sentences, {len(pairs.src):,} pairs")
        facts.update(train_teacher(model.to(choose_device("auto")), pairs, args))
    save(model.cpu().eval(), spm, output)
    return facts


def train_teacher(model: TranslationModel, pairs: Pairs, args: argparse.Namespace) -> Dict[str, object]:
    """Train, with a line in the log now and then; the mean loss of the last updates, and the seconds."""
    recent: List[float] = []
    start = time.monotonic()
    losses = train(model, pairs, args.updates, args.rate, args.max_tokens, args.seed)
    for update, loss in enumerate(losses, start=1):
        recent = [*recent[1 - LOG_UPDATES :], loss]
        if update % LOG_UPDATES == 0 or update == args.updates:
            mean = sum(recent) / len(recent)
            logger.info(
                f"teacher | update {update:,} of {args.updates:,} | loss {mean:.3f} | {time.monotonic() - start:,.0f} s"
            )
    mean = round(sum(recent) / len(recent), 3)
    return {"pairs": len(pairs.src), "loss": mean, "seconds": round(time.monotonic() - start)}


def main(args: argparse.Namespace) -> None:
    if (
        min(
            args.spm_size, args.target_spm_size, args.embed_dim, args.hidden, args.layers, args.updates, args.max_tokens
        )
        < 1
        or args.rate <= 0
    ):
        raise ConfigError("Sizes, --updates, --rate and --max-tokens must be above 0.")
    output, files = Path(args.output), find_pairs(Path(args.text), args.lang)
    options, record = options_of(args, files), output / "teacher.json"
    if record.is_file() and all((output / name).is_file() for name in FILES):
        made = json.loads(record.read_text(encoding="utf-8"))
        if made["options"] == options and made["files"] == [sha256_file(output / name) for name in FILES]:
            logger.info(f"teacher | {output} is up to date")
            return
    output.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    facts = build(args, files, output)
    content = {"options": options, "facts": facts, "files": [sha256_file(output / name) for name in FILES]}
    write_text(record, json.dumps(content, indent=1) + "\n")
    logger.info(f"teacher | laser2:{output} | {facts}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = make_parser(
        "max_pooled_teacher.py",
        __doc__.splitlines()[0],
        "python recipes/ablation/max_pooled_teacher.py --text DATA/clean --output DIR",
    )
    add = result.add_argument
    add("--text", required=True, metavar="DIR", help="folder with train.ID.eng and train.ID.LANG")
    add("--output", required=True, metavar="DIR", help="where laser2.pt and laser2.spm go")
    add("--lang", default="eng", help="the teacher's language")
    add("--spm-size", type=int, default=8000, help="pieces of the English vocabulary")
    add("--target-spm-size", type=int, default=4000, help="pieces of the vocabulary that all targets share")
    add("--embed-dim", type=int, default=256, help="width of a piece's vector")
    add("--hidden", type=int, default=192, help="width of one direction; an embedding is twice as wide")
    add("--layers", type=int, default=1, help="LSTM layers")
    add("--updates", type=int, default=6000, help="updates; not minutes, so that the load of a machine changes nothing")
    add("--rate", type=float, default=2e-3, help="highest learning rate")
    add("--max-tokens", type=int, default=2000, help="padded pieces of a batch, on each side")
    add("--seed", type=seed_number, default=1, help="of the weights and of the order of the pairs")
    add("--untrained", action="store_true", help="random weights, to compare with")
    return result


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
