"""Encoding with a LASER3 student: ours against fairseq's TransformerEncoder with the same weights, in one run.

    python benchmarks/encoding.py --text train.swh               12 x 1024; minutes on an idle machine
    python benchmarks/encoding.py --size 6x512 --lines 100 --threads 1 --cpu-time

The weights are drawn: 12 layers x 1024, after-norm, max pooling, no lexical path. Each system lives in a process of its own and
they take turns on the same ids; tokenising is not counted, but for laser_encoders, which looks its pieces up itself.

    laser            fairseq's encoder, float32, LASER's batches: sorted by length, 12,000 pieces before padding
    single           the same, one sentence at a time: what laser_encoders does by default
    laser_encoders   PyPI's SentenceEncoder as its pipeline makes it, where it can be imported
    ours             Student.encode_prepared; one row a --precision (int8 where PyTorch has it for this CPU)
    gemm             torch's linear layer at the size of ours, bfloat16 and float32: the floor

"single" and "laser_encoders" take --single-lines of the lines. tokens/s counts pieces, never padding; int8 is held against the
GEMM rate of bfloat16. Every vector of ours must have a cosine of at least 0.9999 to that of "laser", or the script fails.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import common
import numpy as np
from common import Run, System
from training import SIZES, size_of

PRECISIONS = ("int8", "bfloat16", "float32")
PIECES = 8000
LASER_MAX_TOKENS = 12_000  # unpadded, as embed.py's default
LEAST_COSINE = 0.9999


def drawn_weights(size: str, vocabulary: int, seed: int) -> Any:
    """fairseq's encoder in evaluation mode; the same in every process."""
    import torch

    torch.manual_seed(seed)
    return common.fairseq_encoder(size_of(size), vocabulary).eval()


def laser_batches(lengths: np.ndarray, max_tokens: int) -> Iterator[np.ndarray]:
    """Indices by LASER's rule: longest first, as many as have ``max_tokens`` pieces before padding."""
    order = np.argsort(-lengths, kind="stable")
    ends, start = np.cumsum(lengths[order]), 0
    while start < len(order):
        before = ends[start] - lengths[order[start]]
        stop = max(start + 1, int(np.searchsorted(ends, before + max_tokens, side="right")))
        yield order[start:stop]
        start = stop


def encoded(encode: Callable[[List[np.ndarray]], np.ndarray], ids: List[np.ndarray], file: Path, args: argparse.Namespace) -> Callable[[], Run]:  # fmt: skip
    """A turn: all sentences; the vectors are left in a file to be compared. A few are encoded before."""
    encode(ids[:2])
    lengths = np.array([len(row) for row in ids])
    flop = common.encoder_flop(lengths, size_of(args.size))

    def turn() -> Run:
        seconds, rows = common.timed(lambda: encode(ids), args.cpu_time)
        np.save(file, rows)
        speed = {"speed": lengths.sum() / seconds, "gflops": 1e-9 * flop / seconds}
        return {"seconds": seconds, **{name: float(value) for name, value in speed.items()}}

    return turn


def make_fairseq(max_tokens: int, ids: List[np.ndarray], vocabulary: int, file: Path, args: argparse.Namespace) -> Callable[[], Run]:  # fmt: skip
    """fairseq's encoder under LASER's rules; ``max_tokens`` 1 is one sentence at a time."""
    import torch

    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = drawn_weights(args.size, vocabulary, args.seed).to(device)

    def encode(sentences: List[np.ndarray]) -> np.ndarray:
        lengths = np.array([len(row) for row in sentences])
        rows = np.empty((len(sentences), encoder.embed_tokens.embedding_dim), np.float32)
        for chosen in laser_batches(lengths, max_tokens):
            tokens = torch.full((len(chosen), int(lengths[chosen].max())), encoder.padding_idx)
            for row, index in enumerate(chosen):
                tokens[row, : lengths[index]] = torch.from_numpy(sentences[index])
            with torch.no_grad():
                pooled = common.max_pooled(encoder, tokens.to(device), torch.from_numpy(lengths[chosen]).to(device))
            rows[chosen] = pooled.cpu().numpy()
        return rows

    return encoded(encode, ids, file, args)


def make_ours(precision: str, text: Tuple[bytes, Any, List[np.ndarray]], file: Path, args: argparse.Namespace) -> Callable[[], Run]:  # fmt: skip
    """Our student with the weights in our names."""
    import torch

    from fairseq_distill import defaults
    from fairseq_distill.embedding.student import Student
    from fairseq_distill.formats.manifest import Teacher
    from fairseq_distill.formats.student_state import StudentState
    from fairseq_distill.modules.device import choose_device
    from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder
    from fairseq_distill.text import NORMALISER

    torch.set_num_threads(args.threads)
    (spm, dictionary, ids), size = text, size_of(args.size)
    peer = drawn_weights(args.size, len(dictionary), args.seed).state_dict()
    shape = EncoderShape(len(dictionary), size.dim, size.ffn_dim, size.layers, size.heads, size.dim)
    model = StudentEncoder(shape)
    weights = {}
    for name in model.state_dict():
        parts = [name.replace("out_proj", "self_attn.out_proj")]
        if "qkv_proj" in name:
            parts = [name.replace("qkv_proj", f"self_attn.{which}_proj") for which in "qkv"]
        weights[name] = torch.cat([peer[part] for part in parts])
    model.load_state_dict(weights)
    teacher = Teacher("file:drawn", "drawn", size.dim, "max", "eng")
    state = StudentState(spm, dictionary, NORMALISER, teacher, ["swh"], shape.max_positions)
    max_tokens = args.max_tokens or defaults.EMBED_MAX_TOKENS
    student = Student(model, state, "student:drawn", choose_device(None), precision, max_tokens)
    return encoded(student.encode_prepared, ids, file, args)


def make_laser_encoders(text: Tuple[bytes, Any, List[np.ndarray]], folder: Path, args: argparse.Namespace) -> Callable[[], Run]:  # fmt: skip
    """The published package on a checkpoint file in LASER3's layout, as its pipeline opens it."""
    import torch

    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # it cannot read its own files otherwise since torch 2.6
    from laser_encoders.models import SentenceEncoder

    torch.set_num_threads(args.threads)
    _, dictionary, ids = text
    encoder = drawn_weights(args.size, len(dictionary), args.seed)
    cfg = argparse.Namespace(**{**flat_configuration(args), "sentemb_criterion": "maxpool"})
    cfg.prepend_bos = cfg.left_pad_source = False
    torch.save({"model": encoder.state_dict(), "cfg": {"model": cfg}}, folder / "laser3.pt")
    (folder / "laser3.cvocab").write_text(dictionary.text, encoding="utf-8")
    opened = SentenceEncoder(model_path=str(folder / "laser3.pt"), spm_vocab=str(folder / "laser3.cvocab"))

    def encode(sentences: List[np.ndarray]) -> np.ndarray:
        return opened.encode_sentences([" ".join(dictionary.symbols[i] for i in row[:-1]) for row in sentences])

    return encoded(encode, ids, folder / "laser_encoders.npy", args)


def flat_configuration(args: argparse.Namespace) -> Dict[str, Any]:
    """The options of fairseq's transformer as an older checkpoint holds them."""
    from fairseq.models.transformer import base_architecture

    size, options = size_of(args.size), argparse.Namespace(max_source_positions=1024, max_target_positions=1024)
    options.encoder_embed_dim, options.encoder_ffn_embed_dim = size.dim, size.ffn_dim
    options.encoder_layers, options.encoder_attention_heads = size.layers, size.heads
    base_architecture(options)
    return vars(options)


def make_gemm(dtype: str, args: argparse.Namespace) -> Callable[[], Run]:
    """The machine's rate."""
    import torch

    torch.set_num_threads(args.threads)
    size = size_of(args.size)
    return common.gemm_rate(dtype, 4096, size.dim, size.ffn_dim, 1e11 * args.threads, args.cpu_time)


def report(runs: Dict[str, List[Run]], folder: Path, args: argparse.Namespace) -> int:
    """The table; 1 when a vector of ours is too far from the peer's."""
    rate = {dtype: common.median(runs[f"gemm {dtype}"], "gflops") for dtype in ("bfloat16", "float32")}
    print(", ".join(f"{dtype} GEMM {value:,.0f} GFLOP/s" for dtype, value in rate.items()) + "\n")
    print(
        "| system | tokens/s, median | range | of laser | GFLOP/s | of the GEMM rate | least cosine to laser | peak RSS MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    peer, good = np.load(folder / "laser.npy"), True
    base = common.median(runs["laser"], "speed")
    for name, many in runs.items():
        if name.startswith("gemm"):
            continue
        rows = np.load(folder / f"{name}.npy")
        beside = peer[: len(rows)]
        cosines = (rows * beside).sum(axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(beside, axis=1)
        good = good and bool(cosines.min() >= LEAST_COSINE)
        speed, gflops = common.median(many, "speed"), common.median(many, "gflops")
        kind = "float32" if name in ("laser", "single", "laser_encoders", "ours float32") else "bfloat16"
        ratios = f"{speed / base:.2f} | {gflops:,.0f} | {gflops / rate[kind]:.2f}"
        print(
            f"| {name} | {speed:,.0f} | {common.spread(many, 'speed')} | {ratios} | {cosines.min():.6f} "
            f"| {max(run['rss'] for run in many):,.0f} |"
        )
    if not good:
        print(f"\nA vector has a cosine below {LEAST_COSINE} to that of laser.")
    return 0 if good else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="a text to draw lines from; generated lines when not given")
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--single-lines", type=int, default=100)
    parser.add_argument("--size", default="12x1024", choices=SIZES)
    parser.add_argument("--precision", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument(
        "--max-tokens", type=int, help="padded pieces of our batch; fairseq_distill's default if not given"
    )
    common.add_options(parser, repeats=3)
    args = parser.parse_args()
    text = common.ids_of(common.lines_of(args.text, args.lines, args.seed), PIECES)
    spm, dictionary, ids = text
    few = ids[: args.single_lines]
    print(common.machine(args))
    print(f"{args.size} | {len(ids):,} lines, {sum(map(len, ids)):,} pieces, vocabulary {len(dictionary):,}")
    with tempfile.TemporaryDirectory() as temporary:
        folder, size = Path(temporary), len(dictionary)
        systems = {f"gemm {dtype}": System(make_gemm, (dtype, args)) for dtype in ("bfloat16", "float32")}
        systems["laser"] = System(make_fairseq, (LASER_MAX_TOKENS, ids, size, folder / "laser.npy", args))
        systems["single"] = System(make_fairseq, (1, few, size, folder / "single.npy", args))
        if importlib.util.find_spec("laser_encoders"):
            systems["laser_encoders"] = System(make_laser_encoders, ((spm, dictionary, few), folder, args))
        for precision in args.precision:
            name = f"ours {precision}"
            systems[name] = System(make_ours, (precision, text, folder / f"{name}.npy", args))
        return report(common.in_turns(systems, args.repeats, args.threads), folder, args)


if __name__ == "__main__":
    sys.exit(main())
