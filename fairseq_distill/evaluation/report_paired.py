"""Two or more runs on the same valid sets, sentence by sentence: differences with intervals, and which sentences differ."""

from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.evaluation.paired import Comparison, Estimate, compare, estimate
from fairseq_distill.evaluation.report_neighbours import ValidSet, open_valid_set, text_groups
from fairseq_distill.evaluation.report_runs import Run
from fairseq_distill.evaluation.xsim import found_targets
from fairseq_distill.formats.manifest import Corpus
from fairseq_distill.progress import comparing

SetKey = Tuple[str, str, str]  # valid set, source and target language
MOST_EXAMPLES = 4


class Judged(NamedTuple):
    """A valid set as one run sees it: its texts and vectors, the target that each sentence finds, and whether that is wrong."""

    texts: ValidSet
    found: np.ndarray
    wrong: np.ndarray


class Example(NamedTuple):
    """A sentence that one of two runs finds: its texts, and what the other one finds instead."""

    source: str
    right: str
    instead: str


@dataclass
class Against:
    """A run beside the baseline.

    Attributes:
        sets: valid set -> paired comparison.
        mean: of the differences of all compared sets, in percentage points; None where there is none.
        unpaired: valid sets that both have, but which could not be compared, with the reason.
        mended, broken: valid set -> examples that this run alone finds, and that the baseline alone finds.
    """

    sets: Dict[SetKey, Comparison] = field(default_factory=dict)
    mean: Optional[Estimate] = None
    unpaired: Dict[SetKey, str] = field(default_factory=dict)
    mended: Dict[SetKey, List[Example]] = field(default_factory=dict)
    broken: Dict[SetKey, List[Example]] = field(default_factory=dict)


def judge(run: Run, margin: str, k: int = defaults.NEIGHBOURHOOD) -> Dict[SetKey, Judged]:
    """Every valid set of a run whose vectors are there, searched as xsim does.

    Raises:
        DataError: a file is damaged.
    """
    judged = {}
    for corpus in run.manifest.select("valid", "distil") if run.manifest is not None else ():
        texts = open_valid_set(run.work, corpus)
        if texts is not None:
            with comparing(f"report | xsim of {corpus.id}") as line:
                src, tgt = np.asarray(texts.src, np.float32), np.asarray(texts.tgt, np.float32)
                found = found_targets(src, tgt, (margin,), k, progress=line)[margin]
            groups = text_groups(texts.tgt_text)
            judged[key_of(corpus)] = Judged(texts, found, groups[found] != groups)
    return judged


def key_of(corpus: Corpus) -> SetKey:
    """The valid set with its direction."""
    return corpus.id, corpus.lang, str(corpus.tgt_lang)


def against(run: Dict[SetKey, Judged], baseline: Dict[SetKey, Judged], sets: Sequence[SetKey]) -> Against:
    """Compare a run with the baseline on ``sets``, those that both have in their results."""
    result = Against()
    for key in sets:
        if key not in run or key not in baseline:
            result.unpaired[key] = "its vectors are not there for both"
        elif (run[key].texts.src_text, run[key].texts.tgt_text) != (
            baseline[key].texts.src_text,
            baseline[key].texts.tgt_text,
        ):
            result.unpaired[key] = "the sentences are not the same"
        else:
            one, two = run[key], baseline[key]
            result.sets[key] = compare(one.wrong, two.wrong)
            result.mended[key] = _examples(one.texts, two.found, two.wrong & ~one.wrong)
            result.broken[key] = _examples(one.texts, one.found, one.wrong & ~two.wrong)
    if result.sets:
        cells = [{"": {0: {"/".join(key): judged[key].wrong for key in result.sets}}} for judged in (run, baseline)]
        result.mean = estimate(cells[0], cells[1])
    return result


def _examples(texts: ValidSet, found: np.ndarray, which: np.ndarray) -> List[Example]:
    rows = np.flatnonzero(which)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_EXAMPLES)).round().astype(int))]
    return [Example(texts.src_text[i], texts.tgt_text[i], texts.tgt_text[found[i]]) for i in chosen.tolist()]
