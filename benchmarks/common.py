"""What the benchmarks share: systems in processes of their own that take turns, the machine's rates, text of real lengths."""

import argparse
import contextlib
import io
import itertools
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

Run = Dict[str, float]


def add_options(parser: argparse.ArgumentParser, repeats: int) -> None:
    """The options that every benchmark has."""
    parser.add_argument("--repeats", type=int, default=repeats, help="turns of each system")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU seconds, not wall time: for a busy machine, with --threads 1"
    )
    parser.add_argument("--seed", type=int, default=1)


def machine(args: argparse.Namespace) -> str:
    """One line about where and how it is measured."""
    import torch

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    clock = "CPU seconds" if args.cpu_time else "wall time"
    load = os.getloadavg()[0]
    return f"{where} | {args.threads} threads | {clock} | torch {torch.__version__} | numpy {np.__version__} | load {load:.1f}"


# --- turns


class System(NamedTuple):
    """A function of this module or of the script that makes a system, and its arguments; both travel to its process.

    What ``make`` returns is called once a turn, and returns numbers of that turn.
    """

    make: Callable[..., Callable[[], Run]]
    arguments: Tuple[Any, ...] = ()


def _serve(connection: Any, system: System) -> None:
    try:
        turn = system.make(*system.arguments)
        connection.send({})
        while connection.recv():
            connection.send({**turn(), "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
    except Exception:
        connection.send({"error": traceback.format_exc()})


def in_turns(systems: Dict[str, System], repeats: int, threads: int) -> Dict[str, List[Run]]:
    """Runs of each system, in turns, so that a drift of the machine meets all of them.

    Each lives in a process of its own: ``rss`` of a run is the peak of that process so far, in MB.

    Raises:
        SystemExit: a system failed; with its traceback.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # read when a new process loads its libraries
    context = multiprocessing.get_context("spawn")
    processes, lines = {}, {}
    runs: Dict[str, List[Run]] = {name: [] for name in systems}

    def answer(name: str) -> Run:
        try:
            received = lines[name].recv()
        except EOFError:
            raise SystemExit(f"{name} ended without a word; was memory short?") from None
        if "error" in received:
            raise SystemExit(f"{name} failed:\n{received['error']}")
        return received

    try:
        for name, system in systems.items():
            lines[name], end = context.Pipe()
            process = context.Process(target=_serve, args=(end, system), daemon=True)
            process.start()
            processes[name] = process
            end.close()
            answer(name)
        for turn in range(repeats):
            for name in systems:
                lines[name].send(True)
                runs[name].append(answer(name))
                print(f"turn {turn + 1}: {name} {runs[name][-1]['seconds']:.3f} s", file=sys.stderr)
    finally:
        for name, process in processes.items():
            with contextlib.suppress(OSError):
                lines[name].send(False)
            process.join(timeout=5)
            process.kill()
            process.join()
    return runs


def timed(work: Callable[[], Any], cpu_time: bool) -> Tuple[float, Any]:
    """Seconds of one call and what it gave; a GPU is waited for."""
    clock = time.process_time if cpu_time else time.perf_counter
    _wait()
    start = clock()
    result = work()
    _wait()
    return clock() - start, result


def _wait() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def median(runs: Sequence[Run], name: str) -> float:
    """The median of one number over the runs."""
    return statistics.median(run[name] for run in runs)


def spread(runs: Sequence[Run], name: str) -> str:
    """Least and greatest of one number over the runs."""
    values = [run[name] for run in runs]
    return f"{min(values):.3g}-{max(values):.3g}"


# --- the machine's rate


def gemm_rate(dtype: str, rows: int, inner: int, outer: int, flop: float, cpu_time: bool) -> Callable[[], Run]:
    """A system that multiplies [rows, inner] with [inner, outer] by torch, as often as ``flop`` asks for.

    Its runs have ``gflops``, 10^9 floating-point operations a second. ``dtype`` is bfloat16 or float32.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    left = torch.randn(rows, inner, device=device).to(getattr(torch, dtype))
    weight = torch.randn(outer, inner, device=device).to(getattr(torch, dtype))
    times = max(1, round(flop / (2 * rows * inner * outer)))

    def turn() -> Run:
        def multiply() -> None:
            for _ in range(times):
                torch.nn.functional.linear(left, weight)

        with torch.inference_mode():
            torch.nn.functional.linear(left, weight)
            seconds, _ = timed(multiply, cpu_time)
        return {"seconds": seconds, "gflops": 2e-9 * times * rows * inner * outer / seconds}

    return turn


def encoder_flop(lengths: np.ndarray, size: Any) -> float:
    """Floating-point operations of one forward pass over sentences of these lengths; a backward pass takes twice as many.

    Linear layers and attention's two products, 2 for each multiplication and addition; nothing for padding, and nothing
    for what is not a matrix product.

    Args:
        size: a :class:`fairseq_distill.defaults.StudentSize`.
    """
    lengths = np.asarray(lengths, dtype=np.float64)
    linear = 2 * lengths.sum() * (4 * size.dim**2 + 2 * size.dim * size.ffn_dim)
    return float(size.layers * (linear + 4 * size.dim * np.square(lengths).sum()))


# --- text


def lines_of(text: Optional[str], n: int, seed: int) -> List[str]:
    """n lines: drawn from a file, in its order (all where there are fewer), or generated with the lengths of news text."""
    from fairseq_distill.formats.lines import read_lines

    random = np.random.default_rng(seed)
    if text:
        lines = read_lines(text)
        if len(lines) <= n:
            return lines
        return [lines[index] for index in np.sort(random.choice(len(lines), n, replace=False))]
    syllables = [a + b for a, b in itertools.product("b d f g k l m n p r s t w z".split(), "a e i o u".split())]
    words = np.array(["".join(random.choice(syllables, random.integers(1, 4))) for _ in range(5000)])
    lengths = np.clip(random.lognormal(2.3, 0.6, n), 1, 60).astype(int)
    return [" ".join(random.choice(words, length)) for length in lengths]


def trained_spm(lines: Iterator[str], pieces: int) -> bytes:
    """A SentencePiece model of at most so many pieces, serialised."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=model, vocab_size=pieces, hard_vocab_limit=False, minloglevel=2
    )
    return model.getvalue()


def ids_of(lines: List[str], pieces: int) -> Tuple[bytes, Any, List[np.ndarray]]:
    """A SentencePiece model trained on the lines, its dictionary, and int64 ids of each line, EOS included."""
    import sentencepiece

    from fairseq_distill.formats.dictionary import SPECIALS, Dictionary
    from fairseq_distill.text import StudentTokenizer

    spm = trained_spm(iter(lines), pieces)
    processor = sentencepiece.SentencePieceProcessor(model_proto=spm)
    symbols = [processor.id_to_piece(number) for number in range(3, processor.get_piece_size())]
    dictionary = Dictionary([*SPECIALS, *symbols])
    return spm, dictionary, StudentTokenizer(spm, dictionary).encode(lines)


# --- fairseq's encoder


def fairseq_encoder(size: Any, vocabulary: int, dropout: float = 0.0) -> Any:
    """fairseq's own TransformerEncoder in LASER3's layout: after-norm, sinusoidal positions, embeddings scaled.

    Args:
        size: a :class:`fairseq_distill.defaults.StudentSize`; its ``pre_norm`` is not looked at.
        vocabulary: V, special symbols included.
    """
    from fairseq.data import Dictionary
    from fairseq.models.transformer import TransformerConfig, TransformerEncoder
    from torch import nn

    dictionary = Dictionary()
    for number in range(vocabulary - len(dictionary)):
        dictionary.add_symbol(f"piece{number}")
    config = TransformerConfig()
    config.dropout, config.max_source_positions = dropout, 1024
    config.encoder.embed_dim, config.encoder.ffn_embed_dim = size.dim, size.ffn_dim
    config.encoder.layers, config.encoder.attention_heads = size.layers, size.heads
    embedding = nn.Embedding(vocabulary, size.dim, dictionary.pad())
    nn.init.normal_(embedding.weight, std=size.dim**-0.5)
    nn.init.zeros_(embedding.weight[dictionary.pad()])
    return TransformerEncoder(config, dictionary, embedding)


def max_pooled(encoder: Any, tokens: Any, lengths: Any) -> Any:
    """[B, D], the maximum over a sentence's positions of what fairseq's encoder gives for padded ids [B, T]."""
    hidden = encoder(tokens, lengths)["encoder_out"][0]  # [T, B, D]
    padding = tokens.eq(encoder.padding_idx).t().unsqueeze(-1)
    return hidden.float().masked_fill(padding, float("-inf")).amax(dim=0)
