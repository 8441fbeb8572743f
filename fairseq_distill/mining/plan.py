"""What a mining run will take, before it is started: a model of the searches, fed with a short measurement of the machine."""

from dataclasses import dataclass
from typing import Dict, List, Tuple

from fairseq_distill import defaults
from fairseq_distill.mining import approximate, clusters, knn, reduction, rows, screen, visits
from fairseq_distill.mining.choice import KINDS
from fairseq_distill.mining.machine import Machine
from fairseq_distill.mining.products import block_sizes
from fairseq_distill.mining.recall import sample_size
from fairseq_distill.mining.search import choose_search
from fairseq_distill.mining.topk import room_for

# Costs that no second of measuring shows; of one thread, from profiles of 16,384 x 16,384 x 1024, k = 4 and 16.
_CANDIDATE_S, _CANDIDATE_K_S = 8e-6, 1.2e-6  # of a row, and for each neighbour: what is kept and sorted until the end
_LINE_S = 4e-6  # of a line: read, hashed, sorted, written
_SCORE_S = 2e-9  # of a cosine to a centroid: converted, compared
_FLOAT32 = 4.0  # times what a multiplication of the fastest product takes
_NARROW = 2.3  # times what a pair takes in blocks as wide as a cluster, against blocks of the exact search
_LOOSE = 2.0  # times as many candidates as in the exact search
_START_S = {"float32": 0.3, "bfloat16": 2.0, "int8": 2.0}  # imports
_LINE_BYTES = 72  # while distinct lines are found: digests, their order and its copies
_TEXT_BYTES = 400  # of a mined pair: two lines as Python strings, scores and numbers
_FIXED_BYTES = 6 << 20  # what the interpreter and the libraries take on while they work
_MEASURED_BYTES = 48  # of a candidate, while it is measured
_SCORED_BYTES = 10  # of a cosine to a centroid, while it is compared
_SHAPES_BYTES = 80 << 20  # what PyTorch keeps of products of many shapes
_TORCH_BYTES = (
    60 << 20
)  # what PyTorch and its threads keep of the exact search's products, and of turning rows for them


@dataclass(frozen=True)
class Cost:
    """Of one search.

    Attributes:
        seconds: by part.
        memory: peak bytes by part, all held at one time.
    """

    seconds: Dict[str, float]
    memory: Dict[str, int]

    @property
    def total_s(self) -> float:
        """Seconds of the run."""
        return sum(self.seconds.values())

    @property
    def peak_bytes(self) -> int:
        """Peak resident memory."""
        return sum(self.memory.values())


@dataclass(frozen=True)
class Plan:
    """Both searches for sides of n and m vectors of width dim, and the one that ``--search`` means."""

    n: int
    m: int
    dim: int
    dtype: str
    k: int
    search: str
    exact: Cost
    approximate: Cost

    @property
    def chosen(self) -> Cost:
        """Of the search that will be used."""
        return self.exact if self.search == "exact" else self.approximate


def plan_mining(n: int, m: int, dim: int, dtype: str, k: int, max_memory: int, search: str, machine: Machine) -> Plan:
    """Predict a run of :func:`fairseq_distill.mining.pairs.mine` for both searches.

    Args:
        n, m: lines of the sources and of the targets; dim, dtype: of their vectors.
        k, max_memory, search: as for the run.
        machine: see :func:`fairseq_distill.mining.machine.measure_machine`.
    """
    sizes = (n, m, dim, dtype, min(k, n, m), max_memory, machine)
    chosen = choose_search(search, n, m, dim)
    return Plan(n, m, dim, dtype, k, chosen, exact_cost(*sizes), approximate_cost(*sizes))


def exact_cost(n: int, m: int, dim: int, dtype: str, k: int, max_memory: int, machine: Machine) -> Cost:
    """Of :func:`fairseq_distill.mining.knn.knn_both`, with the texts around it."""
    kind = KINDS[machine.kind]
    height, width = block_sizes(kind, dim, max_memory, knn._HEIGHT, knn._WIDTH)
    height, width = min(height, n), min(width, m)
    stripes = -(-m // width)
    seconds = _common_seconds(n, m, dim, dtype, k, machine)
    seconds["product"] = n * m * dim * machine.multiply_s
    seconds["screening"] = n * m * machine.screen_s + _candidates_s(n + m, k, machine)
    seconds["loading"] = (stripes * n + m) * dim * machine.load_s
    seconds["measuring"] = _measuring_s(n + m, k, machine)
    memory = _common_bytes(n, m, dim, dtype, k, machine)
    memory["blocks"] = kind.lane_bytes(height, width, dim, max_memory, machine.threads)
    memory["candidates"] = 8 * room_for(_capacity(k, machine)) * (n + width)
    memory["mapped"] = sum(_mapped_bytes(n, m, dim, dtype))  # candidates are measured between all rows of both
    if machine.kind != "float32":
        memory["blocks"] += _TORCH_BYTES
    return Cost(seconds, memory)


def approximate_cost(n: int, m: int, dim: int, dtype: str, k: int, max_memory: int, machine: Machine) -> Cost:
    """Of :func:`fairseq_distill.mining.approximate.knn_both_approximate`, with the texts around it.

    How many dimensions count and how many pairs have to be compared depends on the text and is known only in the run, from its
    sample; here these are PLAN_WIDTH and PLAN_SHARE of the defaults.
    """
    width = min(defaults.PLAN_WIDTH, reduction.widest(dim) or dim)
    counts = clusters.cluster_count(n), clusters.cluster_count(m)
    samples = sample_size(n) * m + sample_size(m) * n
    scored = sum(
        defaults.CLUSTER_ROUNDS * min(size, defaults.CLUSTER_SAMPLE * count) * count + 3 * size * count
        for size, count in zip((n, m), counts)
    )
    compared = defaults.PLAN_SHARE * n * m
    seconds = _common_seconds(n, m, dim, dtype, k, machine)
    seconds["sample"] = samples * (dim * machine.multiply_s + machine.screen_s) + 3 * (n + m) * dim * machine.load_s
    if width < dim:
        tried = _FLOAT32 * (samples * width + (n + m) * dim * reduction.widest(dim)) * machine.multiply_s
        seconds["reduction"] = 3 * (tried + samples * machine.screen_s) + (n + m) * dim * machine.load_s
    seconds["clusters"] = scored * (width * machine.multiply_s + _SCORE_S / machine.threads)
    seconds["product"] = _NARROW * compared * width * machine.multiply_s
    seconds["screening"] = _NARROW * compared * machine.screen_s + _LOOSE * _candidates_s(n + m, k, machine)
    seconds["measuring"] = _LOOSE * _measuring_s(n + m, k, machine)
    return Cost(seconds, _approximate_bytes(n, m, dim, dtype, k, max_memory, width, machine))


def _approximate_bytes(
    n: int, m: int, dim: int, dtype: str, k: int, max_memory: int, width: int, machine: Machine
) -> Dict[str, int]:
    kind, counts = KINDS[machine.kind], (clusters.cluster_count(n), clusters.cluster_count(m))
    height, wide = block_sizes(kind, width, max_memory // 2, approximate._HEIGHT, approximate._WIDTH)
    item, most = kind.row_bytes(width), max(n, m)
    memory = _common_bytes(n, m, dim, dtype, k, machine)
    # Only what clusters and their visitors fill of the buffers is ever touched.
    height = min(height, int(defaults.PLAN_SHARE * most / machine.threads) + 1)
    memory["blocks"] = machine.threads * kind.bytes_needed(height, min(wide, 2 * most // max(counts) + 1), width)
    if machine.kind != "float32":
        memory["blocks"] += _SHAPES_BYTES
    memory["clusters"] = sum(count * width * 4 for count in counts) + 24 * (n + m)
    scores = max(min(clusters._at_once(count), size) * count for count, size in zip(counts, (n, m)))
    memory["tables"] = max(memory["tables"], _FIXED_BYTES + _SCORED_BYTES * scores)  # one after the other
    if width < dim:
        sides = [2 * size * (width + reduction.widest(dim)) for size in (n, m)]
        memory["reduced"] = sum(min(side, 2 * max_memory) for side in sides)
    at_once = min(n, max_memory // 2 // (item + visits.BAND))
    memory["visitors"] = at_once * (item + visits.BAND) + (item * most if item * most <= max_memory else 0)
    kept = reduction.capacity_for(k) if width < dim else _capacity(k, machine)
    memory["candidates"] = 8 * room_for(kept) * (at_once + most)
    return memory


def describe(plan: Plan, machine: Machine, max_memory: int) -> str:
    """The plan as the lines that ``fairseq-mine --plan`` prints."""
    work = float(plan.n) * plan.m * plan.dim
    reading = "" if machine.read_bytes_s is None else f", {machine.read_bytes_s / 1e6:,.0f} MB/s from the files"
    lines = [
        f"{plan.n:,} x {plan.m:,} sentences of width {plan.dim:,}, {plan.dtype}, k={plan.k}, --max-memory {max_memory >> 20:,}M",
        f"this machine: {2e-9 / machine.multiply_s:,.0f} GFLOP/s in {machine.kind} on {machine.threads} threads{reading}",
        "",
        "search       time        peak memory  of it",
    ]
    for name, cost in (("exact", plan.exact), ("approximate", plan.approximate)):
        most = sorted(cost.seconds.items(), key=lambda item: -item[1])[:3]
        parts = ", ".join(f"{part} {clock(seconds)}" for part, seconds in most)
        lines.append(f"{name:<12} {clock(cost.total_s):<11} {cost.peak_bytes / 2**20:>8,.0f} MB  {parts}")
    relation = "not above" if work <= defaults.EXACT_WORK else "above"
    lines += [
        "",
        f"--search auto takes the {choose_search('auto', plan.n, plan.m, plan.dim)} one: {work:.2g} multiplications are "
        f"{relation} {defaults.EXACT_WORK:.2g}.",
        f"approximate: for {100 * defaults.PLAN_SHARE:g} % of the pairs in {defaults.PLAN_WIDTH:,} dimensions; the run finds out from "
        "a sample how many its text needs.",
    ]
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """12.3 s, 4 min 05 s, or 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60:02d} min"


def _common_seconds(n: int, m: int, dim: int, dtype: str, k: int, machine: Machine) -> Dict[str, float]:
    seconds = {"start": _START_S[machine.kind], "texts": _LINE_S * (n + m)}
    seconds["lengths"] = (n + m) * dim * (machine.norm_s + (0 if machine.kind == "float32" else machine.load_s))
    if machine.read_bytes_s is not None:
        seconds["files"] = sum(_file_bytes(n, m, dim, dtype)) / machine.read_bytes_s
    return seconds


def _common_bytes(n: int, m: int, dim: int, dtype: str, k: int, machine: Machine) -> Dict[str, int]:
    """What every search holds; the texts' share is held before or after it, and counts where it is larger."""
    results = 12 * k * (n + m) + 56 * (n + m)  # neighbours; lengths, scales, bounds
    texts = max(0, max(_LINE_BYTES * max(n, m), _TEXT_BYTES * min(n, m)) - results)
    return {
        "process": machine.resident,
        "results": results,
        "texts": texts,
        "mapped": max(_mapped_bytes(n, m, dim, dtype)),
        "tables": _FIXED_BYTES + _MEASURED_BYTES * min(screen._TABLE, max(n, m) * _capacity(k, machine)),
    }


def _mapped_bytes(n: int, m: int, dim: int, dtype: str) -> List[int]:
    """Of each file, what is in memory at most: a large one is let go often."""
    return [min(size, rows._LARGE) for size in _file_bytes(n, m, dim, dtype)]


def _file_bytes(n: int, m: int, dim: int, dtype: str) -> Tuple[int, int]:
    item = 2 if dtype == "float16" else 4
    return n * dim * item, m * dim * item


def _capacity(k: int, machine: Machine) -> int:
    return {"float32": k + 8, "bfloat16": 3 * k + 16, "int8": 4 * k + 24}[machine.kind]


def _candidates_s(count: int, k: int, machine: Machine) -> float:
    return count * (_CANDIDATE_S + _CANDIDATE_K_S * k) / machine.threads


def _measuring_s(count: int, k: int, machine: Machine) -> float:
    return count * (1.5 * k + 2) * machine.cosine_s
