"""A data directory from the JSON data configuration of the fairseq ``nllb`` branch (laser_distillation).

The student's side is taken over as it is binarised (legacy or mmap layout), under its own dictionary. The teacher's side is
turned back into text by its pieces and embedded by the teacher that is named here: vectors are stored once, where that
branch ran the teacher in every epoch. Text comes from pieces, so it is lower-cased and lacks what was unknown.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.data.parts import part_files
from fairseq_distill.embedding.registry import KINDS, open_encoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import atomic_path, make_folder, sha256_file
from fairseq_distill.formats.binarised import Sequences, open_either, write_binarised
from fairseq_distill.formats.dictionary import BOS, EOS, PAD, SPECIALS, Dictionary, read_dictionary, write_dictionary
from fairseq_distill.formats.lines import write_lines
from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher, write_manifest
from fairseq_distill.formats.nllb_config import Entry, read_nllb_config
from fairseq_distill.teachers.store import teach
from fairseq_distill.text import NORMALISER, StudentTokenizer

logger = logging.getLogger(__name__)

_WORD = "\u2581"  # SentencePiece's mark of a word's beginning


def student_dictionary(vocabulary: Dictionary) -> Tuple[Dictionary, np.ndarray]:
    """The pieces once each, and int64 [V], the new id of each old one; dead twins of the specials get the specials' ids."""
    pieces = list(dict.fromkeys(symbol for symbol in vocabulary.symbols if symbol not in SPECIALS))
    fresh = Dictionary([*SPECIALS, *pieces])
    return fresh, np.array([fresh.index[symbol] for symbol in vocabulary.symbols], dtype=np.int64)


def text_of(sentences: Sequences, vocabulary: Dictionary) -> List[str]:
    """The sentences as text, specials left out."""
    pieces = np.array(vocabulary.symbols, dtype=object)
    pieces[[vocabulary.index[special] for special in SPECIALS]] = ""
    pieces[[number for number, symbol in enumerate(vocabulary.symbols) if symbol in SPECIALS]] = ""
    spelt = pieces[np.asarray(sentences.tokens, dtype=np.int64)]
    starts = sentences.starts[:]
    ends = starts + sentences.lengths
    return ["".join(spelt[a:b]).replace(_WORD, " ").strip() for a, b in zip(starts, ends)]


def opened(prefix: Path, vocabulary: Dictionary, name: str) -> Sequences:
    """Binarised sentences that fit their dictionary and end with EOS.

    Raises:
        DataError: they do not, or have BOS or padding inside.
    """
    sentences = open_either(prefix)
    if not len(sentences):
        raise DataError(f"{prefix} holds no sentence.")
    lowest, highest = int(sentences.tokens.min()), int(sentences.tokens.max())
    if lowest < 0 or highest >= len(vocabulary):
        raise DataError(
            f"{prefix} holds the id {lowest if lowest < 0 else highest:,}, but {name} has {len(vocabulary):,} symbols: not of one training."
        )
    last = np.asarray(sentences.tokens[sentences.starts[:] + sentences.lengths - 1])
    if (last != EOS).any():
        raise DataError(
            f"{prefix}: {int((last != EOS).sum()):,} of {len(last):,} sentences do not end with </s>; binarise again."
        )
    if np.isin(np.asarray(sentences.tokens), (BOS, PAD)).any():
        raise DataError(f"{prefix} holds <s> or <pad> inside sentences; binarise it without --prepend-bos.")
    return sentences


def convert(entry: Entry, data: Path, src: Tuple[Dictionary, str], tgt: Tuple[Dictionary, str], parts: int) -> Corpus:
    """Write one corpus but for its teacher embeddings; the student's side in the data directory's dictionary.

    Args:
        src, tgt: the dictionaries and the names of their files.
        parts: increments of the teacher's embeddings.
    """
    name = f"{entry.split}.{entry.id}"
    sentences = opened(entry.src, *src)
    new_ids = student_dictionary(src[0])[1][np.asarray(sentences.tokens, dtype=np.int64)]
    write_binarised(data / "bin" / f"{name}.{entry.src_lang}", new_ids, np.asarray(sentences.lengths))
    write_lines(data / "clean" / f"{name}.{entry.src_lang}", text_of(sentences, src[0]))
    corpus = Corpus(entry.id, entry.kind, entry.split, entry.src_lang, len(sentences), f"bin/{name}.{entry.src_lang}",
                    f"clean/{name}.{entry.src_lang}")  # fmt: skip
    if entry.kind == "mask":
        return corpus
    other = opened(entry.tgt, *tgt)
    if len(other) != len(sentences):
        raise DataError(
            f"{entry.src} has {len(sentences):,} sentences but {entry.tgt} has {len(other):,}; they must match."
        )
    corpus.tgt_lang, corpus.tgt_text = entry.tgt_lang, f"clean/{name}.teacher.{entry.tgt_lang}"
    write_lines(data / corpus.tgt_text, text_of(other, tgt[0]))
    corpus.teacher = part_files(f"teacher/{name}.npy", parts)
    return corpus


def main(args: argparse.Namespace) -> None:
    """Read, convert, embed, write the manifest last."""
    config, data = read_nllb_config(args.config), Path(args.data)
    paired = [entry for entry in config.entries if entry.kind != "mask"]
    languages = sorted({entry.tgt_lang for entry in paired})
    if len(languages) != 1:
        raise DataError(
            f"{args.config} has the teacher languages {', '.join(languages) or '(none)'}; one is supported."
        )
    spm = Path(args.spm) if args.spm else config.src_vocab.with_suffix(".spm")
    if not spm.is_file():
        raise ConfigError(f"{spm} does not exist; name the student's SentencePiece model by --spm FILE.")
    src = read_dictionary(config.src_vocab), str(config.src_vocab)
    tgt = read_dictionary(config.tgt_vocab), str(config.tgt_vocab)
    dictionary, _ = student_dictionary(src[0])
    StudentTokenizer(spm.read_bytes(), dictionary)  # raises when the two do not belong together
    for folder in ("bin", "clean", "teacher"):
        make_folder(data / folder)
    (data / "manifest.json").unlink(missing_ok=True)  # what was here is being replaced
    with atomic_path(data / "spm.model") as temporary:
        temporary.write_bytes(spm.read_bytes())
    write_dictionary(data / "dict.txt", dictionary.symbols[len(SPECIALS) :])
    corpora = [convert(entry, data, src, tgt, args.increments) for entry in config.entries]
    encoder = open_encoder(args.teacher)
    embedded = [corpus for corpus in corpora if corpus.kind != "mask"]
    texts = [data / str(corpus.tgt_text) for corpus in embedded]
    files = [data / corpus.teacher[-1] for corpus in embedded]
    teach(encoder, texts, files, defaults.TEACHER_DTYPE, args.increments, spec=args.teacher)
    teacher = Teacher(args.teacher, encoder.space, encoder.dim, encoder.pooling, languages[0])
    checksums: Dict[str, str] = {name: sha256_file(data / name) for name in ("spm.model", "dict.txt")}
    student = sorted({corpus.lang for corpus in corpora if corpus.kind == "distil"}) or languages
    versions = {"fairseq_distill": __version__}
    write_manifest(
        data, Manifest(student, teacher, NORMALISER, "spm.model", "dict.txt", corpora, [], checksums, versions)
    )
    n = sum(corpus.n for corpus in corpora)
    logger.info(
        f"nllb | {len(corpora)} corpora, {n:,} sentences | {len(dictionary):,} symbols | teacher {encoder.space}"
    )


def parser() -> argparse.ArgumentParser:
    made = make_parser(
        "from_nllb.py",
        "Make a data directory from the JSON data configuration of fairseq's nllb branch (src_vocab, tgt_vocab, train). "
        "src is the student's side, tgt the teacher's; the same prefix twice is monolingual text. An entry's own sampling, "
        "several teacher languages and --student-teacher-config are not supported.",
        "python data_prep/from_nllb.py --config data.json --data work/amh --teacher laser2:laser2.pt",
    )
    made.add_argument("--config", required=True, metavar="FILE", help="the JSON file")
    made.add_argument("--data", required=True, metavar="DIR", help="the data directory to make")
    made.add_argument("--teacher", required=True, metavar="KIND:PATH", help="; ".join(KINDS.values()))
    made.add_argument(
        "--spm", metavar="FILE", help="the student's SentencePiece model; else the .spm of src_vocab's name"
    )
    made.add_argument("--increments", type=int, default=1, metavar="N", help="parts of the progressive curriculum")
    return made


def cli(argv: Optional[Sequence[str]] = None) -> int:
    return run_command(parser(), main, argv)


if __name__ == "__main__":
    sys.exit(cli())
