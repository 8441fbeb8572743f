"""Training updates: ours against fairseq's own TransformerEncoder trained in the earlier implementation's way, in one run.

    python benchmarks/training.py --text train.swh                 12 x 1024, 6 x 512 and small; minutes on an idle machine
    python benchmarks/training.py --sizes 6x512 --updates 1 --repeats 3 --threads 1 --cpu-time

Each system lives in a process of its own and they take turns; a turn is some updates: forward, backward, clip, optimiser.

    ours    the student, its criterion, planned batches and fused_adamw, as fairseq-train runs them; one row a --precision
    peer    fairseq's TransformerEncoder (after-norm, max pooling), float32, fairseq's batches padded to the longest, a
            forward a task, dropout 0.3, fairseq's Adam; with --teacher-forward, LASER2's LSTM embeds the targets too
    gemm    torch's linear layer on as many rows as ours has pieces, the widths of the feed-forward block, bfloat16 and float32

Both distil; no text is masked. tokens/s counts pieces, never padding. GFLOP/s counts matrix products of pieces; "of the
GEMM rate" divides it by what "gemm" reached in the same type in the same run, which is the ratio to the arithmetic floor.
Lengths and pieces are those of --text in an SPM trained on it, or drawn (log-normal lengths, pieces by Zipf's law).
"""

import argparse
import sys
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Sequence

import common
import numpy as np
from common import Run, System

SIZES = {"12x1024": "student_encoder_laser3", "6x512": "student_encoder", "small": "student_encoder_small"}
VOCABULARY = 8000
MEAN_LENGTH, SPREAD = 28, 0.5  # pieces with EOS of Swahili news in 8,000 pieces; of the logarithm


def text_of(args: argparse.Namespace) -> List[np.ndarray]:
    """int64 ids of each sentence, EOS included."""
    from fairseq_distill.formats.dictionary import EOS, SPECIALS

    if args.text:
        return common.ids_of(common.lines_of(args.text, args.lines, args.seed), VOCABULARY)[2]
    random = np.random.default_rng(args.seed)
    lengths = np.clip(random.lognormal(np.log(MEAN_LENGTH) - SPREAD**2 / 2, SPREAD, args.lines), 2, 200).astype(int)
    shares = 1.0 / np.arange(1, VOCABULARY - len(SPECIALS) + 1)
    drawn = random.choice(len(shares), lengths.sum(), p=shares / shares.sum()) + len(SPECIALS)
    ends = np.cumsum(lengths)
    drawn[ends - 1] = EOS
    return np.split(drawn.astype(np.int64), ends[:-1])


def size_of(name: str) -> Any:
    """The StudentSize of a name in SIZES."""
    from fairseq_distill import defaults

    return defaults.SIZES[SIZES[name]]


# --- ours


def planned_epoch(sentences: List[np.ndarray], dim: int, max_tokens: int, seed: int) -> Any:
    """The first epoch over sentences with random teacher embeddings, as the task plans it."""
    from fairseq_distill import defaults
    from fairseq_distill.data.corpora import Collection, Part
    from fairseq_distill.data.curriculum import Curriculum
    from fairseq_distill.data.fairseq_datasets import PlannedEpoch, TrainingData
    from fairseq_distill.data.mask_units import MaskText, MonolingualText
    from fairseq_distill.data.masking import MaskPolicy
    from fairseq_distill.data.planning import EpochPlanner
    from fairseq_distill.formats.binarised import Sequences
    from fairseq_distill.formats.manifest import Corpus

    lengths = np.array([len(ids) for ids in sentences], dtype=np.int32)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    teacher = np.random.default_rng(seed).standard_normal((len(sentences), dim), np.float32).astype(np.float16)
    corpus = Corpus("drawn", "distil", "train", "swh", len(sentences), "", "")
    part = Part(corpus, Sequences(np.concatenate(sentences).astype(np.uint16), starts, lengths), [teacher])
    word_start = np.ones(VOCABULARY + 8, dtype=bool)
    distil = Collection([part], defaults.MAX_LENGTH_PIECES, word_start)
    mask = MaskText(MonolingualText([], defaults.MAX_LENGTH_PIECES, word_start))
    planner = EpochPlanner(distil, mask, Curriculum(), 1.0, 0.0, seed, 1, [1], max_tokens, 1 << 30)
    data = TrainingData(distil, mask, ["swh"], dim, len(word_start) - 1, MaskPolicy())
    return PlannedEpoch(data, planner.plan(1), 1, (seed, 1))


def make_ours(name: str, precision: str, sentences: List[np.ndarray], args: argparse.Namespace) -> Callable[[], Run]:
    """Updates as ``fairseq-train --task sentence_distillation`` makes them; the batches are made within the time."""
    from fairseq import utils

    from fairseq_distill import defaults
    from fairseq_distill.criterions.sentence_distillation import (
        SentenceDistillationCriterion,
        SentenceDistillationCriterionConfig,
    )
    from fairseq_distill.models.student_encoder import StudentEncoderModel
    from fairseq_distill.modules.transformer import Dropout, EncoderShape, StudentEncoder
    from fairseq_distill.optimizers.fused_adamw import FusedAdamW, FusedAdamWConfig

    device, size = prepare(args), size_of(name)
    epoch = planned_epoch(sentences, size.dim, args.max_tokens, args.seed)
    shape = EncoderShape(
        VOCABULARY + 8, size.dim, size.ffn_dim, size.layers, size.heads, size.dim, "max", size.pre_norm
    )
    model = StudentEncoderModel(StudentEncoder(shape, Dropout(defaults.DROPOUT)), precision).to(device).train()
    cfg = SimpleNamespace(contrastive_queue=0, tlm_share=0.0)
    task = SimpleNamespace(cfg=cfg, languages=["swh"], own_language=None)
    criterion = SentenceDistillationCriterion(SentenceDistillationCriterionConfig(), task)
    optimizer = FusedAdamW(FusedAdamWConfig(lr=[1e-4]), list(model.encoder.parameters()))

    def update(batch: int) -> Dict[str, float]:
        sample = utils.move_to_cuda(epoch[batch]) if device.type == "cuda" else epoch[batch]
        optimizer.zero_grad()
        loss, sample_size, _ = criterion(model, sample)
        optimizer.backward(loss)
        optimizer.multiply_grads(1.0 / sample_size)
        optimizer.clip_grad_norm(defaults.CLIP_NORM)
        optimizer.step()
        lengths = (sample["net_input"]["src_tokens"] != shape.padding).sum(dim=1).cpu().numpy()
        return counts(lengths, sample["net_input"]["src_tokens"].numel(), size)

    lengths = epoch.data.distil.lengths()[epoch.plan.distil.indices].astype(np.int64)
    starts = epoch.plan.distil.starts
    padded = int((np.diff(starts) * np.maximum.reduceat(lengths, starts[:-1])).sum())
    return in_updates(update, range(len(epoch)), args, planned_padding=1 - int(lengths.sum()) / padded)


# --- the peer


def make_peer(name: str, sentences: List[np.ndarray], args: argparse.Namespace) -> Callable[[], Run]:
    """Updates in the earlier implementation's way."""
    import torch
    from fairseq import utils
    from fairseq.data import data_utils
    from fairseq.optim.adam import Adam

    from fairseq_distill.modules.losses import cosine_distillation_loss
    from fairseq_distill.modules.lstm import LstmEncoder, LstmShape

    device, size = prepare(args), size_of(name)
    encoder = common.fairseq_encoder(size, VOCABULARY + 8, dropout=0.3).to(device).train()
    optimizer = Adam(encoder.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-6)
    lstm = LstmEncoder(LstmShape()).to(device).eval() if args.teacher_forward else None
    random = np.random.default_rng(args.seed)
    order = random.permutation(len(sentences))
    sizes = np.array([len(ids) for ids in sentences])
    order = order[np.argsort(sizes[order], kind="stable")]
    batches = data_utils.batch_by_size(
        order, lambda i: sizes[i], sizes, max_tokens=args.peer_max_tokens, required_batch_size_multiple=8
    )
    batches = [batches[number] for number in random.permutation(len(batches))]

    def update(batch: int) -> Dict[str, float]:
        rows = [torch.from_numpy(sentences[index]) for index in batches[batch]]
        tokens = data_utils.collate_tokens(rows, encoder.padding_idx, left_pad=True).to(device)
        lengths = torch.tensor([len(row) for row in rows])
        with torch.no_grad():
            # Its own side would be about as long; LASER2's dictionary is larger, which costs an LSTM nothing.
            teacher = torch.randn(len(rows), size.dim, device=device) if lstm is None else lstm(tokens, lengths)
        embedding = common.max_pooled(encoder, tokens, lengths.to(device))
        loss = cosine_distillation_loss(embedding, teacher[:, : size.dim]).sum()
        optimizer.zero_grad()
        loss.backward()
        for parameter in encoder.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(1.0 / len(rows))
        utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        return counts(lengths.numpy(), tokens.numel(), size)

    return in_updates(update, range(len(batches)), args)


# --- both


def prepare(args: argparse.Namespace) -> Any:
    """The device; threads and seed are set."""
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def counts(lengths: np.ndarray, padded: int, size: Any) -> Dict[str, float]:
    """What an update computed: pieces, padded pieces, and the operations of a forward and a backward pass over the pieces."""
    return {"pieces": float(lengths.sum()), "padded": padded, "flop": 3 * common.encoder_flop(lengths, size)}


def in_updates(
    update: Callable[[int], Dict[str, float]], batches: Sequence[int], args: argparse.Namespace, **fixed: float
) -> Callable[[], Run]:
    """A turn of ``--updates`` updates on the next batches; one has been made before."""

    def endless() -> Iterator[int]:
        while True:
            yield from batches

    numbers = endless()
    update(next(numbers))

    def turn() -> Run:
        seconds, done = common.timed(lambda: [update(next(numbers)) for _ in range(args.updates)], args.cpu_time)
        return {"seconds": seconds, **{name: sum(one[name] for one in done) for name in done[0]}, **fixed}

    return turn


def make_gemm(name: str, dtype: str, args: argparse.Namespace) -> Callable[[], Run]:
    """The machine's rate at the size of ours."""
    prepare(args)
    size = size_of(name)
    return common.gemm_rate(dtype, args.max_tokens, size.dim, size.ffn_dim, 1e11 * args.threads, args.cpu_time)


def report(name: str, runs: Dict[str, List[Run]], precision: List[str]) -> None:
    """The table of one size."""
    for many in runs.values():
        for run in many:
            if "pieces" in run:
                run["speed"], run["gflops"] = run["pieces"] / run["seconds"], 1e-9 * run["flop"] / run["seconds"]
    rate = {dtype: common.median(runs[f"gemm {dtype}"], "gflops") for dtype in ("bfloat16", "float32")}
    print(f"\n{name}: {', '.join(f'{dtype} GEMM {value:,.0f} GFLOP/s' for dtype, value in rate.items())}\n")
    print("| system | tokens/s, median | range | of the peer | GFLOP/s | of the GEMM rate | padding | peak RSS MB |")
    print("|---|---|---|---|---|---|---|---|")
    peer = common.median(runs["peer"], "speed")
    for system, dtype in [("peer", "float32"), *((f"ours {dtype}", dtype) for dtype in precision)]:
        many = runs[system]
        speed, gflops = common.median(many, "speed"), common.median(many, "gflops")
        padding = 1 - sum(run["pieces"] for run in many) / sum(run["padded"] for run in many)
        ratios = f"{speed / peer:.2f} | {gflops:,.0f} | {gflops / rate[dtype]:.2f}"
        memory = max(run["rss"] for run in many)
        print(
            f"| {system} | {speed:,.0f} | {common.spread(many, 'speed')} | {ratios} | {100 * padding:.1f} % | {memory:,.0f} |"
        )
    planned = runs[f"ours {precision[0]}"][0]["planned_padding"]
    print(f"\npadding of our whole planned epoch: {100 * planned:.2f} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="a text to draw lines from; drawn lengths when not given")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--updates", type=int, default=3, help="of a turn")
    parser.add_argument("--precision", nargs="+", default=["bfloat16", "float32"], choices=("bfloat16", "float32"))
    parser.add_argument(
        "--max-tokens", type=int, help="padded pieces of our batch; fairseq_distill's default if not given"
    )
    parser.add_argument("--peer-max-tokens", type=int, default=2000, help="of the peer's: its README's value")
    parser.add_argument("--teacher-forward", action="store_true", help="the peer embeds its targets, as it did")
    common.add_options(parser, repeats=5)
    args = parser.parse_args()

    from fairseq_distill import defaults

    args.max_tokens = args.max_tokens or defaults.TRAIN_MAX_TOKENS
    sentences = text_of(args)
    pieces = sum(len(ids) for ids in sentences)
    print(common.machine(args))
    print(f"{len(sentences):,} sentences, {pieces / len(sentences):.1f} pieces each; {args.updates} updates a turn")
    for name in args.sizes:
        systems = {f"gemm {dtype}": System(make_gemm, (name, dtype, args)) for dtype in ("bfloat16", "float32")}
        systems["peer"] = System(make_peer, (name, sentences, args))
        for precision in args.precision:
            systems[f"ours {precision}"] = System(make_ours, (name, precision, sentences, args))
        report(name, common.in_turns(systems, args.repeats, args.threads), args.precision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
