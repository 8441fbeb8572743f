"""Every objective under the stock fairseq commands: the same on one process and on two, and after a stop."""

import pytest
import torch
from tiny_data import assert_equal_weights, train, train_on_two, weights

PLAIN = ["--dropout", "0", "--lexical-dropout", "0", "--autocast", "float32", "--gradient-norm-interval", "2"]
QUEUE = ["--contrastive-weight", "0.3", "--contrastive-queue", "70"]
LOSSES = ("loss", "distil_loss", "mlm_loss", "distil_loss_aaa", "distil_loss_bbb", "gnorm", "bsz", "wpb")
NORMS = ("gnorm_distil", "gnorm_mlm", "weight_distil", "weight_mlm")


def last_weights(folder):
    return weights(folder / "checkpoint_last.pt")


@pytest.mark.parametrize(
    "options, more",
    [
        ([], NORMS),
        (["--distil-loss", "mse", "--corpus-weights", "train.bbb=2.5"], NORMS),
        (["--distil-loss", "smooth_l1", *QUEUE], (*NORMS, "contrastive_loss", "gnorm_contrastive")),
        (
            ["--contrastive-weight", "0.3", "--corpus-weights", "train.aaa=0.5"],
            ("contrastive_loss", "gnorm_contrastive"),
        ),
    ],
    ids=["cosine", "mse and corpus weights", "smooth L1 and queue", "in-batch and corpus weights"],
)
def test_two_processes_equal_one(data, tmp_path, options, more):
    """Losses, norms and weights, with two micro-batches each against four; no epoch fills its last update."""
    _, one, _ = train(data, tmp_path / "one", 8, *PLAIN, *options, "--update-freq", "4")
    _, two, _ = train_on_two(data, tmp_path / "two", 8, *PLAIN, *options, "--update-freq", "2")
    sizes = [float(one[update]["wpb"]) for update in range(1, 9)]
    assert min(sizes) < 0.6 * max(sizes), "every update is full: the test must have an uneven one"
    for update in range(1, 9):
        for key in (*LOSSES, *(more if update % 2 == 0 else ())):
            same = pytest.approx(float(one[update][key]), rel=2e-4, abs=2e-4)
            assert float(two[update][key]) == same, f"{key} at {update}"
    assert_equal_weights(last_weights(tmp_path / "one"), last_weights(tmp_path / "two"), rtol=1e-3, atol=1e-4)


def test_a_resumed_run_has_the_same_queue_across_an_epoch_and_the_same_alarm(data, tmp_path):
    """Stopped one update into the second epoch, where most of the queue is of the first."""
    options = [*QUEUE, "--gradient-norm-interval", "3"]
    _, unbroken, _ = train(data, tmp_path / "unbroken", 16, *options)
    assert unbroken[13]["epoch"] == 1 and unbroken[14]["epoch"] == 2
    train(data, tmp_path / "resumed", 14, *options)
    _, resumed, _ = train(data, tmp_path / "resumed", 16, *options)
    for update in (15, 16):
        for key in (*LOSSES, "contrastive_loss", "gnorm_contrastive"):
            assert resumed[update][key] == unbroken[update][key], f"{key} at {update}"
    assert_equal_weights(last_weights(tmp_path / "unbroken"), last_weights(tmp_path / "resumed"))
    assert alarm_state(tmp_path / "unbroken") == alarm_state(tmp_path / "resumed")


def alarm_state(folder):
    return torch.load(folder / "checkpoint_last.pt", map_location="cpu", weights_only=True)["task_state"]["collapse"]


def test_a_collapsed_training_stops_with_one_sentence(data, tmp_path):
    options = ["--lexical-path", "none", "--lr", "30", "--clip-norm", "0", "--warmup-updates", "1", "--mask-share", "0"]
    options += ["--validate-interval-updates", "2", "--collapse-patience", "2"]
    done, _, valid = train(data, tmp_path, 40, *options, check=False)
    assert done.returncode != 0 and "The student's space has collapsed: in 2 validations in a row" in done.stderr
    assert "Traceback" not in done.stderr
    assert [float(line["valid_relative_variance"]) < 0.02 for line in valid[-1:]] == [True]
