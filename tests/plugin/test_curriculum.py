"""The progressive curriculum under the stock fairseq commands: a run stopped anywhere goes on as it would have, on one process and on two."""

from types import SimpleNamespace

import pytest
from tiny_data import assert_equal_weights, train, train_on_two, weights

from fairseq_distill.tasks.options import is_scheduled_validation

LOSSES = ("loss", "distil_loss", "mlm_loss", "increment", "stage", "distil_loss_aaa", "distil_loss_bbb", "gnorm")
PROGRESSIVE = ["--curriculum", "progressive", "--curriculum-increments", "3"]
# A rate at which xsim does not move within so few updates: every validation but the first finds a plateau.
PLATEAU = [*PROGRESSIVE, "--curriculum-pacing", "plateau", "--curriculum-updates", "60", "--lr", "1e-7"]
PLATEAU += ["--lr-scheduler", "fixed"]
EVERYTHING = [
    *PROGRESSIVE,
    "--curriculum-pacing",
    "epoch",
    "--curriculum-unit",
    "pieces",
    "--curriculum-min-words",
    "4",
]
EVERYTHING += ["--curriculum-full-share", "0.3", "--curriculum-mlm", "--curriculum-updates", "19"]


@pytest.fixture(scope="module")
def plateau(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plateau")
    return (folder, *train(data, folder, 30, *PLATEAU))


def changes(inner):
    """The updates (from 0) at which another stage began."""
    stages = [float(inner[update]["stage"]) for update in sorted(inner)]
    return [at for at in range(1, len(stages)) if stages[at] != stages[at - 1]]


def assert_goes_on_alike(data, folder, whole_folder, whole, stops, options):
    """Run with a stop at each of some updates, and compare each logged number and the last weights bit by bit."""
    seen = {}
    for stop in stops:
        _, inner, _ = train(data, folder, stop, *options)
        seen.update(inner)
    for update in whole:
        for key in LOSSES:
            assert seen[update].get(key) == whole[update].get(key), f"{key} differs at update {update}"
    assert_equal_weights(weights(whole_folder / "checkpoint_last.pt"), weights(folder / "checkpoint_last.pt"))


def test_plateau_goes_through_its_stages_at_the_beginnings_of_epochs(plateau):
    _, done, inner, _ = plateau
    stages = [float(inner[update]["stage"]) for update in sorted(inner)]
    assert stages == sorted(stages) and set(stages) == {1, 2, 3}
    epochs = [inner[update]["epoch"] for update in sorted(inner)]
    for change in changes(inner):
        assert epochs[change] == epochs[change - 1] + 1
        assert f"from update {change:,}, the next epoch" in done.stdout + done.stderr


def test_plateau_goes_on_exactly_from_every_stage(plateau, data, tmp_path):
    folder, _, inner, _ = plateau
    second, third = changes(inner)
    # In mid-epoch in the first stage, at a change, right after it, in mid-epoch in the last stage.
    stops = sorted({3, second, second + 2, third + 1, 30})
    assert_goes_on_alike(data, tmp_path, folder, inner, stops, PLATEAU)


def test_all_other_policies_go_on_exactly(data, tmp_path):
    _, inner, _ = train(data, tmp_path / "whole", 24, *EVERYTHING)
    shown = [float(inner[update]["increment"]) for update in range(1, 20)]
    assert len({round(each, 2) for each in shown}) > 3 and max(shown) < 3.01
    assert [float(inner[update]["increment"]) for update in (20, 24)] == [3, 3]
    assert_goes_on_alike(data, tmp_path / "broken", tmp_path / "whole", inner, [8, 24], EVERYTHING)


def test_two_processes_go_through_the_same_stages_as_one(data, tmp_path):
    plain = ["--dropout", "0", "--lexical-dropout", "0", "--autocast", "float32", "--curriculum-full-share", "0.3"]
    _, one, _ = train(data, tmp_path / "one", 20, *PLATEAU, *plain, "--update-freq", "2")
    _, two, _ = train_on_two(data, tmp_path / "two", 20, *PLATEAU, *plain)
    assert changes(one) == changes(two) and len(changes(one)) == 2
    for update in range(1, 21):
        for key in ("stage", "increment"):
            assert two[update][key] == one[update][key], f"{key} at {update}"
        for key in ("loss", "distil_loss", "mlm_loss"):
            assert float(two[update][key]) == pytest.approx(float(one[update][key]), abs=2e-3), f"{key} at {update}"


def test_another_curriculum_cannot_go_on_by_mistake(plateau, data, tmp_path):
    folder = plateau[0]
    (tmp_path / "checkpoint_last.pt").write_bytes((folder / "checkpoint_last.pt").read_bytes())
    done, _, _ = train(data, tmp_path, 40, *PLATEAU, "--curriculum-pacing", "linear", check=False)
    assert done.returncode != 0 and "pacing plateau there, linear here" in done.stderr
    assert "--reset-dataloader" in done.stderr and "Traceback" not in done.stderr


def test_plateau_without_validation_is_one_sentence(data, tmp_path):
    done, _, _ = train(data, tmp_path, 2, *PLATEAU, "--disable-validation", check=False)
    assert done.returncode != 0 and "goes by validation xsim" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "update, end_of_epoch, epoch, scheduled",
    [
        (10, False, 1, True),  # --save-interval-updates 5
        (7, False, 1, False),  # told to stop there
        (7, True, 2, True),  # --validate-interval 2
        (7, True, 3, False),
        (10, True, 3, False),  # fairseq saves there in mid-epoch only
        (21, True, 3, True),  # --validate-interval-updates 7
        (21, False, 3, True),
    ],
)
def test_only_validations_that_the_intervals_ask_for_are_counted(update, end_of_epoch, epoch, scheduled):
    every = 7 if update == 21 else 0
    cfg = SimpleNamespace(save_interval_updates=5, validate_interval=2, validate_interval_updates=every)
    assert is_scheduled_validation(cfg, update, end_of_epoch, epoch) == scheduled
