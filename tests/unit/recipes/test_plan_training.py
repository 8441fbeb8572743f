"""The training command of recipes/student.sh: what the user gives overrules, and nothing is left that fairseq would refuse."""

import sys

import pytest
from plan_training import Pace, contrast, make_plan, pace_of, training_command

from fairseq_distill import defaults
from fairseq_distill.errors import DataError

OWN = (defaults.STUDENT_CONTRASTIVE_WEIGHT, defaults.STUDENT_CONTRASTIVE_QUEUE)


@pytest.mark.parametrize(
    "extra, weight, queue",
    [
        ([], *OWN),
        (["--mask-share", "0"], *OWN),
        (["--contrastive-weight", "0.5"], 0.5, OWN[1]),
        (["--contrastive-weight", "0"], 0.0, 0),
        (["--contrastive-weight=0"], 0.0, 0),
        (["--contrastive-weight", "1", "--contrastive-weight", "0"], 0.0, 0),
        (["--online-teacher"], OWN[0], 0),
    ],
)
def test_the_queue_goes_with_its_loss(extra, weight, queue):
    assert contrast(extra) == {"contrastive-weight": weight, "contrastive-queue": queue}


def test_the_users_words_come_last(tmp_path):
    extra = ["--contrastive-queue", "100", "--lr", "0.1"]
    command = training_command(tmp_path, make_plan(100, "student_encoder_small", 7), extra)
    assert command[-4:] == extra
    assert command[command.index("--contrastive-queue") + 1] == str(OWN[1])
    assert command[command.index("--seed") + 1] == "7"


def test_validations_take_their_share_of_the_budget():
    seconds = 600 * defaults.BUDGET_SHARE
    assert Pace(0.1, 0.0).updates_in(10) == int(seconds / 0.1)
    assert Pace(0.1, 5.0).updates_in(10) == int((seconds - 5 * defaults.VALIDATIONS) / 0.1)
    assert Pace(0.1, 5.0).updates_in(0.1) == defaults.TRIAL_UPDATES


TRAIN = """\
import sys, time
words = sys.argv
log = open(dict(zip(words, words[1:]))["--log-file"], "w")  # the last one
if {broken}:
    sys.exit("no such option")
for update in range(10, {updates} + 1, 10):
    line = '2026-01-01 00:00:00 | INFO | train_inner | {{"epoch": 1, "num_updates": "%d", "wall": "%g"}}' % (update, 0.25 * update + (update < 40) * 9)
    print(line, file=log)
    print(line, flush=True)
time.sleep(0.4)
print("2026-01-01 00:00:00 | INFO | fairseq.checkpoint_utils | Saved checkpoint x", flush=True)
time.sleep(0.4)
"""


def trial(tmp_path, monkeypatch, broken=False, updates=defaults.TRIAL_UPDATES):
    command = tmp_path / "bin" / "fairseq-train"
    command.parent.mkdir()
    program = tmp_path / "train.py"
    program.write_text(TRAIN.format(broken=broken, updates=updates))
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')  # no "#!" takes a path with spaces
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    (tmp_path / "data").mkdir()
    return pace_of(tmp_path, "student_encoder_small", 1, ["--lexical-path", "none"])


def test_the_trial_times_updates_after_the_first_and_one_validation(tmp_path, monkeypatch):
    pace = trial(tmp_path, monkeypatch)
    assert pace.update == pytest.approx(0.25)
    assert 0.3 < pace.validation < 0.75


def test_a_trial_that_fails_says_why(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="(?s)ended with code 1; its last lines:\nno such option"):
        trial(tmp_path, monkeypatch, broken=True)


def test_a_trial_that_logs_nothing_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="too little to read a pace from"):
        trial(tmp_path, monkeypatch, updates=10)
