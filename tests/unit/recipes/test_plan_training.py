"""The training command of recipes/student.sh: what the user gives overrules, and nothing is left that fairseq would refuse."""

import pytest
from plan_training import contrast, make_plan, training_command

from fairseq_distill import defaults

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
