"""The spread of embeddings against all pairs; the alarm, which waits, and remembers."""

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.collapse import CollapseAlarm, relative_variance, spread


@pytest.mark.parametrize("n", [2, 3, 40])
def test_the_spread_equals_all_pairs(n):
    rows = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32) + 0.7
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [float(unit[i] @ unit[j]) for i in range(n) for j in range(n) if i != j]
    found = spread(rows)
    assert found.mean_cosine == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found.variance == pytest.approx(float(unit.var(axis=0).mean()), rel=1e-5)


def test_one_point_has_no_variance_and_a_zero_row_no_nan():
    rows = np.ones((5, 4), dtype=np.float32) * np.arange(1, 6, dtype=np.float32)[:, None]
    found = spread(rows)
    assert found.variance == pytest.approx(0, abs=1e-9) and found.mean_cosine == pytest.approx(1, abs=1e-6)
    rows[2] = 0
    assert np.isfinite(spread(rows).variance)
    assert relative_variance(found, spread(np.eye(4, dtype=np.float32))) == pytest.approx(0, abs=1e-8)
    assert relative_variance(found, spread(rows[:1])) == 1.0


def trained(alarm, rates=(2.0, 1.0)):
    for rate in rates:
        alarm.saw_update(rate)
    return alarm


def test_the_alarm_rings_at_the_last_of_its_validations_in_a_row():
    alarm = trained(CollapseAlarm(3))
    for variance in (0.001, 0.001, 0.5, 0.001, 0.001):
        alarm.saw_validation(variance, 0.99)
    with pytest.raises(DataError, match="3 validations in a row.*0.40%.*0.9912.*--collapse-patience 0"):
        alarm.saw_validation(0.004, 0.99123)


def test_validations_of_the_warm_up_do_not_count():
    alarm = CollapseAlarm(2)
    for rate in (0.1, 0.2, 0.3, 0.4):
        alarm.saw_update(rate)
        alarm.saw_validation(0.0, 1.0)
    alarm.saw_update(0.4)
    alarm.saw_validation(0.0, 1.0)
    alarm.saw_update(0.3)
    with pytest.raises(DataError):
        alarm.saw_validation(0.0, 1.0)


def test_no_patience_never_rings():
    alarm = trained(CollapseAlarm(0))
    for _ in range(50):
        alarm.saw_validation(0.0, 1.0)


def test_a_resumed_alarm_goes_on_where_it_stopped():
    alarm = trained(CollapseAlarm(3))
    alarm.saw_validation(0.0, 1.0)
    alarm.saw_validation(0.0, 1.0)
    resumed = CollapseAlarm(3)
    resumed.load_state_dict(alarm.state_dict())
    resumed.saw_update(1.0)  # the rate has not risen against the last one before the stop
    with pytest.raises(DataError):
        resumed.saw_validation(0.0, 1.0)
