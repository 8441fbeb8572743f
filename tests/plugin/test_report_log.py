"""The log reader against fairseq's own writer of logs."""

import logging
from collections import OrderedDict

import pytest

from fairseq_distill.evaluation.training_log import EPOCH, INNER, VALID, read_training_log

progress_bars = pytest.importorskip("fairseq.logging.progress_bar")


def test_what_fairseq_writes_is_read(tmp_path):
    path = tmp_path / "train.json.log"
    writer = progress_bars.logger
    handlers, level = list(writer.handlers), writer.level
    writer.setLevel(logging.INFO)
    try:
        for epoch in (1, 2):
            bar = progress_bars.progress_bar(range(10), "json", log_interval=5, log_file=str(path), epoch=epoch)
            for i, _ in enumerate(bar):
                update = 10 * (epoch - 1) + i + 1
                numbers = OrderedDict(loss=1 / update, bsz=8, ups=0.5, num_updates=update, lr=3e-05, train_wall=1.0)
                bar.log(numbers, tag="train_inner", step=update)
            bar.print(OrderedDict(loss=0.5, xsim=45.25, num_updates=update), tag="valid", step=update)
            bar.print(OrderedDict(loss=0.25, num_updates=update, train_wall=2.0), tag="train", step=update)
    finally:
        for handler in [handler for handler in writer.handlers if handler not in handlers]:
            writer.removeHandler(handler)
            handler.close()
        writer.setLevel(level)
    log = read_training_log(path)
    assert log.n_lines == 4 + 2 * 4, "each handler of fairseq's writes: the second epoch's lines stand twice"
    assert (log.n_broken, log.n_rewinds) == (0, 0)
    assert log.curve(INNER, "loss") == pytest.approx({5: 1 / 5, 10: 1 / 10, 15: 1 / 15, 20: 1 / 20}, rel=1e-5)
    assert log.curve(INNER, "lr") == dict.fromkeys((5, 10, 15, 20), 3e-05)
    assert log.curve(VALID, "xsim") == {10: 45.25, 20: 45.25}
    assert log.curve(EPOCH, "train_wall") == {10: 2.0, 20: 2.0}
