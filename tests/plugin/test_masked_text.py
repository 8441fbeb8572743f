"""MLM over blocks and whole words, TLM and self distillation under fairseq-train: learning, resumption, processes, errors."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import DIM, assert_equal_weights, make_data, train, train_on_two, weights

import fairseq_distill.tasks  # noqa: F401  registers everything
from fairseq_distill.data.corpora import Collection, open_part
from fairseq_distill.data.curriculum import Curriculum
from fairseq_distill.data.fairseq_datasets import PlannedEpoch, TrainingData
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.manifest import read_manifest
from fairseq_distill.tasks.masked_text import mask_policy_of, mask_text_of, masked_apart
from fairseq_distill.tasks.options import SentenceDistillationConfig

EVERYTHING = ["--mask-unit", "blocks", "--mask-block-pieces", "40", "--mask-whole-words", "--tlm-share", "0.2"]
EVERYTHING += ["--self-share", "0.3"]
LOSSES = ("loss", "distil_loss", "mlm_loss", "tlm_loss", "distil_loss_aaa", "distil_loss_eng", "gnorm")
NORMS = ("gnorm_distil", "gnorm_self", "gnorm_mlm", "gnorm_tlm", "weight_self", "weight_mlm", "weight_tlm")


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


@pytest.mark.parametrize("weights_of", [[], ["--corpus-weights", "mono=2.5,train.bbb=0.5"]], ids=["plain", "weights"])
def test_two_processes_equal_one_with_two_micro_batches(english, tmp_path, weights_of):
    """Also where the number of masked pieces is known on average only, and masked text comes in few long pieces."""
    plain = [*EVERYTHING, "--dropout", "0", "--lexical-dropout", "0", "--autocast", "float32", "--clip-norm", "0"]
    plain += ["--gradient-norm-interval", "2", *weights_of]
    _, one, _ = train(english, tmp_path / "one", 10, *plain, "--update-freq", "2")
    _, two, _ = train_on_two(english, tmp_path / "two", 10, *plain)
    for update in range(1, 11):
        assert LOSSES[1] in one[update] and one[update].keys() == two[update].keys()
        for key in (*LOSSES, *(NORMS if update % 2 == 0 else ())):
            expected = pytest.approx(float(one[update].get(key) or 0), rel=1e-3, abs=2e-3)
            assert float(two[update].get(key) or 0) == expected, f"{key} at {update}"
    for key in (*LOSSES, *NORMS):
        assert any(float(one[update].get(key) or 0) for update in one), f"{key} is never logged"
    first, second = weights(tmp_path / "one/checkpoint_last.pt"), weights(tmp_path / "two/checkpoint_last.pt")
    assert_equal_weights(first, second, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options, at_most",
    [
        (["--mask-share", "0.5"], 0.6),
        (["--mask-share", "0.5", "--mask-unit", "blocks", "--mask-block-pieces", "48", "--mask-whole-words"], 0.6),
        (["--mask-share", "0", "--tlm-share", "0.5"], 0.9),
    ],
    ids=["sentences", "blocks of whole words", "TLM"],
)
def test_masked_text_is_learned(english, tmp_path, options, at_most):
    """Two sentences are soon known by heart; random words beside their translation take longer."""
    options = [*options, "--mlm-weight", "1", "--dropout", "0", "--disable-validation", "--no-save"]
    _, inner, _ = train(english, tmp_path, 80, *options)
    key = "tlm_loss" if "--tlm-share" in options else "mlm_loss"
    losses = [float(inner[update][key]) for update in sorted(inner) if key in inner[update]]
    first, last = sum(losses[:5]) / 5, sum(losses[-10:]) / 10
    assert last < at_most * first, f"{first} to {last}"


def test_the_lexical_path_is_fitted_to_the_teachers_own_language_too(unbroken):
    _, _, inner, _ = unbroken
    assert float(inner[1]["distil_loss_eng"]) < 0.1


def test_checkpoints_hold_no_trace_of_how_text_was_masked(unbroken):
    state = torch.load(unbroken[0] / "checkpoint_best.pt", map_location="cpu", weights_only=True)
    assert set(state["task_state"]) == {"student", "collapse"}


def test_a_contradiction_is_one_sentence(data, tmp_path):
    done, _, _ = train(data, tmp_path, 2, "--tlm-share", "0.2", check=False)
    assert done.returncode != 0 and "was prepared without --tlm; prepare it again" in done.stderr, done.stderr[-2000:]
    assert "Traceback" not in done.stderr


def config(**options):
    return SentenceDistillationConfig(**{"max_length_pieces": 256, **options})


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"mask_share": 0.7, "tlm_share": 0.3}, "below 1 together"),
        ({"mask_share": -0.1}, "must be 0 or more"),
        ({"self_share": 1.0}, r"--self-share 1.0 must lie in \[0, 1\)"),
        ({"mask_unit": "blocks", "mask_block_pieces": 300}, "between 2 and --max-length-pieces 256"),
        ({"mask_unit": "blocks", "mask_block_pieces": 1}, "--mask-block-pieces 1 must"),
        ({"mask_probability": 1.5}, r"--mask-probability 1.5 must lie in \(0, 1\)"),
        ({"mask_random": 0.6, "mask_leave_unmasked": 0.6}, "together at most 1"),
    ],
)
def test_shares_out_of_range_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        mask_policy_of(config(**options))
        mask_text_of(config(**options), [], np.empty(0, bool), Path("data"))


def test_a_lost_line_of_the_teachers_side_is_found(english):
    first, second, *_ = read_manifest(english).corpora
    with pytest.raises(DataError, match=r"train.bbb.eng.idx holds 60 sentences, the manifest says 150"):
        open_part(english, dataclasses.replace(first, tgt=second.tgt), DIM, 1)


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_batches_know_how_many_pieces_their_update_masks(english, whole_words, apart):
    """The announced number is the masked number, of blocks and pairs too; with whole words on average."""
    parts = [open_part(english, corpus, DIM, 1) for corpus in read_manifest(english).select("train")]
    options = {"tlm_share": 0.3, "mask_unit": "blocks", "mask_block_pieces": 40} if apart else {}
    cfg = config(mask_whole_words=whole_words, **options)
    pieces = read_dictionary(english / "dict.txt").symbols
    word_start = np.array([piece.startswith("\u2581") for piece in [*pieces, "<mask>"]])
    distil = Collection([part for part in parts if part.corpus.kind != "mask"], 256, word_start)
    mask = mask_text_of(cfg, parts, word_start, english)
    data = TrainingData(distil, mask, ["aaa", "bbb", "eng"], DIM, len(pieces), mask_policy_of(cfg), masked_apart(cfg))
    planner = EpochPlanner(distil, mask, Curriculum(), 2.0, 0.25, 7, 2, [2], 160, 1 << 30, cfg.tlm_share, 0.2)
    announced, counted = [], []
    for epoch in (1, 2):
        items = PlannedEpoch(data, planner.plan(epoch), 1, (7, epoch))
        for number in range(len(items)):
            item = items[number]
            text = item["net_input"].get("masked_tokens", item["net_input"]["src_tokens"]).reshape(-1)
            positions, targets = item["net_input"]["masked_positions"], item["mlm_targets"]
            assert ("masked_tokens" in item["net_input"]) == (apart and len(items.plan.mask[number]) > 0)
            assert (targets >= 3).all() and (text[positions] >= 4).all()
            if number % 4 == 0:
                announced.append(item["masked_total"])
                counted.append(0)
            counted[-1] += len(targets)
    if whole_words:
        assert sum(counted) == pytest.approx(sum(announced), rel=0.1) and (counted != announced or not apart)
    else:
        assert counted == announced
