"""The plugin under the stock fairseq commands: training, validation, resumption, processes, errors."""

import sys

import pytest
import torch
from tiny_data import DIM, REPO, assert_equal_weights, run, train, weights

CURRICULUM = ["--curriculum", "progressive", "--curriculum-increments", "3", "--curriculum-updates", "9"]
CURRICULUM += ["--curriculum-pacing", "linear", "--curriculum-min-words", "1"]
LOSSES = ("loss", "distil_loss", "mlm_loss", "increment", "stage", "distil_loss_aaa", "distil_loss_bbb", "gnorm")


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return (folder, *train(data, folder, 14, *CURRICULUM))


def test_training_learns_and_logs_every_term(unbroken):
    _, _, inner, valid = unbroken
    assert sorted(inner) == list(range(1, 15))
    for key in LOSSES:
        assert key in inner[14], f"{key} is not logged"
    assert [float(inner[update]["increment"]) for update in (1, 4, 5, 8, 10, 14)] == [1, 1, 1, 2, 3, 3]
    assert {
        "valid_xsim",
        "valid_xsim_aaa",
        "valid_xsim_bbb",
        "valid_xsim_ratio",
        "valid_xsim_absolute",
        "valid_mean_cosine",
    } <= valid[-1].keys()
    assert float(valid[-1]["valid_xsim"]) < 60


def test_the_best_checkpoint_is_chosen_by_xsim(unbroken):
    folder, _, _, valid = unbroken
    best = min(float(line["valid_xsim"]) for line in valid)
    state = torch.load(folder / "checkpoint_best.pt", map_location="cpu", weights_only=True)
    assert state["extra_state"]["val_loss"] == pytest.approx(best, abs=0.006)


@pytest.mark.parametrize("stop", [4, 8])
def test_a_resumed_run_equals_an_unbroken_one(unbroken, data, tmp_path, stop):
    """Stopped in mid-epoch, in and after the curriculum; masks, dropout and the next batch go on as they would have."""
    folder, _, inner, _ = unbroken
    train(data, tmp_path, stop, *CURRICULUM)
    _, resumed, _ = train(data, tmp_path, 14, *CURRICULUM)
    for update in range(stop + 1, 15):
        for key in LOSSES:
            assert resumed[update].get(key) == inner[update].get(key), f"{key} differs at update {update}"
    assert_equal_weights(weights(folder / "checkpoint_last.pt"), weights(tmp_path / "checkpoint_last.pt"))


def test_early_stopping_by_xsim(data, tmp_path):
    """With a rate of nothing xsim cannot get better, so the second validation is the last."""
    _, inner, _ = train(data, tmp_path, 60, "--patience", "1", "--lr", "1e-30")
    assert max(inner) == 10


def test_stock_fairseq_loads_the_checkpoint_again(unbroken):
    folder = unbroken[0]
    code = (
        "from argparse import Namespace; from fairseq import checkpoint_utils, utils; "
        f"utils.import_user_module(Namespace(user_dir={str(REPO / 'fairseq_distill')!r})); "
        f"models, cfg, task = checkpoint_utils.load_model_ensemble_and_task([{str(folder / 'checkpoint_best.pt')!r}]); "
        "print(type(models[0]).__name__, type(task).__name__)"
    )
    done = run([sys.executable, "-c", code])
    assert done.stdout.split()[-2:] == ["StudentEncoderModel", "SentenceDistillationTask"], done.stderr[-2000:]


def test_one_file_is_enough_to_encode_and_equals_the_training_model(unbroken, data):
    from fairseq_distill.embedding.student import load_student

    folder = unbroken[0]
    student = load_student(folder / "checkpoint_best.pt", precision="float32")
    lines = (data / "clean/valid.aaa.aaa").read_text().splitlines()
    rows = student.encode(lines)
    assert rows.shape == (30, DIM) and student.space == "test:space" and student.pooling == "mean"
    alone = student.encode(lines[3:4])
    torch.testing.assert_close(torch.from_numpy(alone[0]), torch.from_numpy(rows[3]), atol=1e-5, rtol=1e-4)


def test_hydra_trains_too(data, tmp_path):
    words = [
        sys.executable,
        "-m",
        "fairseq_cli.hydra_train",
        "--config-dir",
        REPO / "recipes/hydra",
        "--config-name",
        "student",
    ]
    words += [
        f"task.data={data}",
        "model.encoder_embed_dim=48",
        "optimization.max_update=3",
        "dataset.max_tokens=160",
    ]
    words += [f"common.user_dir={REPO / 'fairseq_distill'}", f"checkpoint.save_dir={tmp_path / 'ck'}"]
    words += [f"hydra.run.dir={tmp_path / 'hydra'}"]
    done = run(words)
    assert done.returncode == 0, done.stderr[-3000:]
    state = torch.load(tmp_path / "ck/checkpoint_last.pt", map_location="cpu", weights_only=True)
    assert state["cfg"]["task"]["_name"] == "sentence_distillation"
    assert state["model"]["encoder.embed_tokens.weight"].size(1) == 48


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            ["--curriculum", "progressive", "--curriculum-increments", "5", "--curriculum-updates", "9"],
            "--increments 5",
        ),
        (["--curriculum", "progressive", "--curriculum-increments", "1"], "at least 2 increments"),
        (["--mlm-weight", "-1"], "must be 0 or more"),
        (["--encoder-attention-heads", "7"], "divisible by 7 heads"),
    ],
)
def test_contradictions_are_one_sentence(data, tmp_path, options, sentence):
    done, _, _ = train(data, tmp_path, 2, *options, check=False)
    assert done.returncode != 0 and sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_manifest_is_one_sentence(tmp_path):
    done, _, _ = train(tmp_path / "nothing", tmp_path / "ck", 2, check=False)
    assert done.returncode != 0 and "is not a data directory" in done.stderr and "Traceback" not in done.stderr
