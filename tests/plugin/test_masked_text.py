"""MLM over blocks and whole words, TLM and self distillation under fairseq-train: learning, resumption, processes, errors."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_data import assert_equal_weights, free_port, make_data, train, weights

EVERYTHING = ["--mask-unit", "blocks", "--mask-block-pieces", "40", "--mask-whole-words", "--tlm-share", "0.2"]
EVERYTHING += ["--self-share", "0.3"]
LOSSES = ("loss", "distil_loss", "mlm_loss", "distil_loss_aaa", "distil_loss_eng", "gnorm")


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    """Data whose student reads the teacher's language; its monolingual text says the same two sentences again and again."""
    mono = ["lala kufi moso tene wiru basha", "samaki jua mvua shamba pepo kitu"] * 40
    return make_data(tmp_path_factory.mktemp("english") / "data", mono, read_english=True)


@pytest.fixture(scope="module")
def unbroken(english, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return (folder, *train(english, folder, 14, *EVERYTHING))


def test_a_resumed_run_equals_an_unbroken_one(unbroken, english, tmp_path):
    folder, _, inner, _ = unbroken
    train(english, tmp_path, 6, *EVERYTHING)
    _, resumed, _ = train(english, tmp_path, 14, *EVERYTHING)
    for update in range(7, 15):
        for key in LOSSES:
            assert resumed[update].get(key) == inner[update].get(key), f"{key} differs at update {update}"
    assert all(key in inner[14] for key in LOSSES)
    assert_equal_weights(weights(folder / "checkpoint_last.pt"), weights(tmp_path / "checkpoint_last.pt"))


def test_two_processes_equal_one_with_two_micro_batches(english, tmp_path):
    """Also where the number of masked pieces is known on average only, and masked text comes in few long pieces."""
    plain = [*EVERYTHING, "--dropout", "0", "--lexical-dropout", "0", "--autocast", "float32"]
    _, one, _ = train(english, tmp_path / "one", 10, *plain, "--update-freq", "2")
    gloo = ["--cpu", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp", "--distributed-no-spawn"]
    gloo += ["--distributed-world-size", "2", "--distributed-init-method", f"tcp://127.0.0.1:{free_port()}"]
    with ThreadPoolExecutor(2) as pool:
        ranks = [
            pool.submit(train, english, tmp_path / "two", 10, *plain, *gloo, "--distributed-rank", rank)
            for rank in (0, 1)
        ]
        _, two, _ = [rank.result() for rank in ranks][0]
    for update in (1, 5, 10):
        for key in ("loss", "distil_loss", "mlm_loss"):
            assert float(two[update][key]) == pytest.approx(float(one[update][key]), abs=2e-3), f"{key} at {update}"
    first, second = weights(tmp_path / "one/checkpoint_last.pt"), weights(tmp_path / "two/checkpoint_last.pt")
    assert_equal_weights(first, second, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        ["--mask-share", "0.5"],
        ["--mask-share", "0.5", "--mask-unit", "blocks", "--mask-block-pieces", "48", "--mask-whole-words"],
        ["--mask-share", "0", "--tlm-share", "0.5"],
    ],
    ids=["sentences", "blocks of whole words", "TLM"],
)
def test_masked_text_is_learned(english, tmp_path, options):
    """The two sentences are learned by heart; a translated word can be told from its partner, or its own repetition."""
    options = [*options, "--mlm-weight", "1", "--dropout", "0", "--disable-validation", "--no-save"]
    _, inner, _ = train(english, tmp_path, 80, *options)
    losses = [float(inner[update]["mlm_loss"]) for update in sorted(inner) if "mlm_loss" in inner[update]]
    first, last = sum(losses[:5]) / 5, sum(losses[-10:]) / 10
    assert last < (0.75 if "--tlm-share" in options else 0.6) * first


def test_the_teachers_own_language_is_learned(unbroken):
    _, _, inner, _ = unbroken
    assert float(inner[14]["distil_loss_eng"]) < 0.5 * float(inner[1]["distil_loss_eng"])


def test_checkpoints_hold_no_trace_of_how_text_was_masked(unbroken):
    state = torch.load(unbroken[0] / "checkpoint_best.pt", map_location="cpu", weights_only=True)
    assert set(state["task_state"]) == {"student"}


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--tlm-share", "0.2"], "was prepared without --tlm; prepare it again"),
        (["--mask-share", "0.7", "--tlm-share", "0.3"], "below 1 together"),
        (["--self-share", "1"], r"--self-share 1.0 must lie in [0, 1)"),
        (["--mask-unit", "blocks", "--mask-block-pieces", "300"], "between 2 and --max-length-pieces 256"),
        (["--mask-probability", "1.5"], "--mask-probability 1.5 must lie in (0, 1)"),
    ],
)
def test_contradictions_are_one_sentence(data, tmp_path, options, sentence):
    done, _, _ = train(data, tmp_path, 2, *options, check=False)
    assert done.returncode != 0 and sentence in done.stderr, done.stderr[-2000:]
    assert "Traceback" not in done.stderr


def test_a_lost_line_of_the_teachers_side_is_found(english, tmp_path):
    shutil.copytree(english, tmp_path / "data")
    manifest = json.loads((english / "manifest.json").read_text())
    manifest["corpora"][0]["tgt"] = manifest["corpora"][1]["tgt"]
    (tmp_path / "data/manifest.json").write_text(json.dumps(manifest))
    done, _, _ = train(tmp_path / "data", tmp_path / "ck", 2, "--tlm-share", "0.2", check=False)
    assert done.returncode != 0 and "holds 60 sentences, the manifest says 150" in done.stderr
    assert "Traceback" not in done.stderr
