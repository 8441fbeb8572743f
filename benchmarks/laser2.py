"""Embedding with an encoder of LASER2's published size, ours against LASER's ways, and against the arithmetic floor, in one run.

    python benchmarks/laser2.py                        1,000 sentences, a minute or two on an idle machine
    python benchmarks/laser2.py --sentences 300 --threads 1 --cpu-time

The weights are drawn (the published file cannot be had everywhere; its size decides the time), so are the ids; sentences have
the lengths of news. Each system lives in a process of its own, and they take turns:

    float32      the rate of a float32 matrix product, of which a share is reckoned below
    LASER        sorted by length, batches of 12,000 pieces as drawn up by LASER's embed.py, padded and packed
    one          a sentence at a time, as PyPI's laser_encoders does
    ours         fairseq_distill.teachers.laser2.embed_ids

The script fails when a cosine to LASER's way is below 0.99999.
"""

import argparse
import sys
from typing import Any, Callable, List

import common
import numpy as np
from common import Run, System

LASER_TOKENS = 12_000  # --max-tokens of LASER's embed.py


def make_ids(n: int, vocabulary: int, seed: int) -> List[np.ndarray]:
    """Drawn ids of n sentences, EOS at the end."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(3.1, 0.6, n), 2, 200).astype(int)
    return [np.append(random.integers(4, vocabulary, length), 2) for length in lengths]


def make_encoder(args: argparse.Namespace) -> Any:
    """The same weights in every process."""
    import torch

    from fairseq_distill.modules.lstm import LstmEncoder, LstmShape

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return LstmEncoder(LstmShape()).eval()


def flop_of(shape: Any, pieces: int) -> float:
    """Floating-point operations of all matrix products: four gates of each direction, of what comes in and of the state."""
    inputs = [shape.embed_dim] + [2 * shape.hidden] * (shape.layers - 1)
    return float(sum(2 * 2 * 4 * shape.hidden * (width + shape.hidden) for width in inputs) * pieces)


def padded_embedding(encoder: Any, ids: List[np.ndarray], max_tokens: int) -> np.ndarray:
    """Batches as embed.py makes them: the longest first, as many as ``max_tokens`` padded pieces hold."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    order = np.argsort([-len(one) for one in ids], kind="stable")
    rows = np.empty((len(ids), encoder.shape.output_dim), np.float32)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            batch = order[start : start + max(1, max_tokens // len(ids[order[start]]))]
            lengths = torch.tensor([len(ids[row]) for row in batch])
            tokens = torch.full((len(batch), int(lengths[0])), encoder.shape.padding)
            for place, row in enumerate(batch):
                tokens[place, : len(ids[row])] = torch.from_numpy(ids[row])
            packed = pack_padded_sequence(encoder.embed_tokens(tokens).transpose(0, 1), lengths)
            output = pad_packed_sequence(encoder.lstm(packed)[0], padding_value=float("-inf"))[0]
            rows[batch] = output.amax(dim=0).numpy()
            start += len(batch)
    return rows


def system(name: str, args: argparse.Namespace) -> Callable[[], Run]:
    """A turn of one system."""
    encoder = make_encoder(args)
    ids = make_ids(args.sentences, encoder.shape.vocabulary, args.seed)
    expected = padded_embedding(encoder, ids[:50], LASER_TOKENS)

    def embed() -> np.ndarray:
        import torch

        from fairseq_distill import defaults
        from fairseq_distill.teachers.laser2 import embed_ids

        if name == "ours":
            return embed_ids(encoder, ids, defaults.EMBED_MAX_TOKENS, torch.device("cpu"))
        return padded_embedding(encoder, ids, LASER_TOKENS if name == "LASER" else 1)

    def turn() -> Run:
        seconds, rows = common.timed(embed, args.cpu_time)
        norms = np.linalg.norm(rows[:50], axis=1) * np.linalg.norm(expected, axis=1)
        return {"seconds": seconds, "cosine": float(((rows[:50] * expected).sum(axis=1) / norms).min())}

    return turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=1000)
    common.add_options(parser, repeats=3)
    args = parser.parse_args()

    from fairseq_distill.modules.lstm import LstmShape

    pieces = sum(map(len, make_ids(args.sentences, LstmShape().vocabulary, args.seed)))
    flop = flop_of(LstmShape(), pieces)
    systems = {name: System(system, (name, args)) for name in ("LASER", "one", "ours")}
    gemm = ("float32", 512, 1024, 2048, 2e11, args.cpu_time)
    runs = common.in_turns({"float32": System(common.gemm_rate, gemm), **systems}, args.repeats, args.threads)
    rate = common.median(runs.pop("float32"), "gflops")
    print(
        f"{common.machine(args)} | {args.sentences:,} sentences, {pieces:,} pieces, {flop / 1e9:,.0f} GFLOP | float32 {rate:.0f} GFLOP/s"
    )
    print("| system | s, median (range) | pieces/s | of LASER's | of the float32 rate | least cosine | peak RSS MB |")
    print("|---|---|---|---|---|---|---|")
    base = common.median(runs["LASER"], "seconds")
    for name, some in runs.items():
        seconds, cosine = common.median(some, "seconds"), min(run["cosine"] for run in some)
        print(
            f"| {name} | {seconds:.2f} ({common.spread(some, 'seconds')}) | {pieces / seconds:,.0f} | {base / seconds:.2f} "
            f"| {flop / 1e9 / seconds / rate:.2f} | {cosine:.6f} | {common.median(some, 'rss'):,.0f} |"
        )
    return 0 if all(run["cosine"] >= 0.99999 for some in runs.values() for run in some) else 1


if __name__ == "__main__":
    sys.exit(main())
