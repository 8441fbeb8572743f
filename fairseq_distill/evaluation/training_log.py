"""Curves from fairseq's training log (``--log-format json``, from ``--log-file`` or a captured stderr)."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import parse_json
from fairseq_distill.formats.lines import open_bytes
from fairseq_distill.formats.numbers import LARGEST, LARGEST_WHOLE

INNER, EPOCH, VALID = "train_inner", "train", "valid"
_COUNTER = "num_updates"
_OBJECT = '{"epoch"'  # fairseq writes the epoch first in every line of numbers
_MAX_LINE_BYTES = 1 << 20

Curve = Dict[int, float]  # update -> value, in rising order of updates


@dataclass
class TrainingLog:
    """The numbers of a log.

    Attributes:
        curves: tag (``train_inner`` between validations, ``train`` per epoch, ``valid`` and further valid
            subsets) -> name without its tag (``loss``, ``xsim_swa``) -> curve.
        n_lines: lines that held numbers, repeated ones included.
        n_broken: lines of numbers that could not be read (a killed run leaves half a line).
        not_finite: tag, name and update of values that were NaN, infinite, or too large to draw; they are not in the curves.
        n_rewinds: how often the run went on from an earlier update; what it had logged after that is dropped.
        last_update: the highest update.
    """

    curves: Dict[str, Dict[str, Curve]] = field(default_factory=dict)
    n_lines: int = 0
    n_broken: int = 0
    not_finite: Set[Tuple[str, str, int]] = field(default_factory=set)
    n_rewinds: int = 0
    last_update: int = 0

    def curve(self, tag: str, name: str) -> Curve:
        """One curve; empty when the log does not have it."""
        return self.curves.get(tag, {}).get(name, {})

    def names(self, *tags: str) -> List[str]:
        """The names in any of the tags, in order of first appearance."""
        return list(dict.fromkeys(name for tag in tags for name in self.curves.get(tag, {})))


def read_training_log(path: PathLike) -> TrainingLog:
    """The curves of a log file.

    fairseq's ``--log-file`` adds one more handler each epoch, so a line of epoch 3 stands there three times; a
    resumed run appends to the file and repeats updates: for an update, the later line wins. Bytes that are not
    UTF-8 do not stop the reading: a machine that lost its power leaves such blocks.

    Raises:
        DataError: the file does not exist or cannot be opened.
    """
    with open_bytes(path) as stream:
        return parse_training_log(
            raw.decode("utf-8", errors="replace") for raw in iter(lambda: stream.readline(_MAX_LINE_BYTES), b"")
        )


def parse_training_log(lines: Iterable[str]) -> TrainingLog:
    """The curves of a log's lines; see :func:`read_training_log`."""
    log = TrainingLog()
    for line in lines:
        start = line.rfind(_OBJECT)
        if start < 0:
            continue
        # A run that was killed while writing leaves half an object; the next run goes on in the same line.
        log.n_broken += line.count(_OBJECT) - 1
        try:
            numbers = parse_json(line[start:])
        except ValueError:
            log.n_broken += 1
            continue
        tagged = _tag(numbers)
        if tagged is not None:
            log.n_lines += 1
            _add(log, *tagged, numbers)
    for curves in log.curves.values():
        for name, curve in curves.items():
            curves[name] = dict(sorted(curve.items()))
    return log


def _tag(numbers: Dict[str, Any]) -> Optional[Tuple[str, int]]:
    """Tag and update of a line of numbers; None when it does not say its update."""
    if _COUNTER in numbers:
        tag, key = INNER, _COUNTER
    else:
        found = [key for key in numbers if key.endswith("_" + _COUNTER)]
        if len(found) != 1:
            return None
        key = found[0]
        tag = key[: -len(_COUNTER) - 1]
    update = _number(numbers[key])
    return None if update is None or not 0 <= update <= LARGEST_WHOLE else (tag, int(update))


def _add(log: TrainingLog, tag: str, update: int, numbers: Dict[str, Any]) -> None:
    """Put the numbers of one line into the curves."""
    if update < log.last_update:
        log.n_rewinds += 1
        for curves in log.curves.values():
            for curve in curves.values():
                for later in [x for x in curve if x > update]:
                    del curve[later]
        log.not_finite = {value for value in log.not_finite if value[2] <= update}
    log.last_update = update
    prefix = "" if tag == INNER else tag + "_"
    curves = log.curves.setdefault(tag, {})
    for key, value in numbers.items():
        name = key[len(prefix) :]
        if not key.startswith(prefix) or name in ("epoch", "update", _COUNTER):
            continue
        number = _number(value)
        if number is None:
            continue
        log.not_finite.discard((tag, name, update))
        curve = curves.setdefault(name, {})
        if abs(number) <= LARGEST:
            curve[update] = number
        else:
            log.not_finite.add((tag, name, update))
            curve.pop(update, None)


def _number(value: Any) -> Optional[float]:
    """A logged value as a number; fairseq writes them as strings."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf


def thin(curve: Curve, most: int) -> Curve:
    """A curve of at most ``most`` points: means of equal groups of neighbours, at each group's last update."""
    if len(curve) <= most:
        return curve
    updates, values = list(curve), list(curve.values())
    bounds = [round(i * len(curve) / most) for i in range(most + 1)]
    return {updates[high - 1]: math.fsum(values[low:high]) / (high - low) for low, high in zip(bounds, bounds[1:])}


def sentences_per_second(log: TrainingLog) -> Curve:
    """Sentences per second over updates: sentences an update times updates a second; empty when not logged."""
    size, rate = log.curve(INNER, "bsz"), log.curve(INNER, "ups")
    return {update: size[update] * rate[update] for update in size if update in rate}
