"""The criterion's arithmetic on batches made by hand, and the totals that planned batches bring."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import fairseq_distill.tasks  # noqa: F401  registers everything
from fairseq_distill.criterions.sentence_distillation import (
    SentenceDistillationCriterion,
    SentenceDistillationCriterionConfig,
)
from fairseq_distill.data.batching import EpochPlan, Grouping
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.fairseq_datasets import PlannedEpoch, TrainingData
from fairseq_distill.data.mask_units import MaskText, MonolingualText
from fairseq_distill.data.masking import MaskPolicy
from fairseq_distill.errors import ConfigError
from tests.unit.data.test_corpora import STARTS, part

EMPTY = Grouping(np.empty(0, np.int64), np.zeros(6, np.int64))


def criterion(queue=0, tlm=0.0, own=None, **options):
    cfg = SimpleNamespace(contrastive_queue=queue, tlm_share=tlm)
    task = SimpleNamespace(languages=["aaa", "bbb"], own_language=own, cfg=cfg)
    return SentenceDistillationCriterion(SentenceDistillationCriterionConfig(**options), task)


def epoch(weights, processes=1):
    """Five batches, two of them an update, over a corpus of 20 sentences and one of 9."""
    distil = Collection([part("aaa", 20, 1), part("bbb", 9, 2)], 10, STARTS)
    data = TrainingData(
        distil, MaskText(MonolingualText([], 10, STARTS)), ["aaa", "bbb"], 3, 49, MaskPolicy(), corpus_weights=weights
    )
    order = np.random.default_rng(5).permutation(29)
    plan = EpochPlan(
        Grouping(order, np.array([0, 3, 10, 12, 20, 29])),
        np.ones(29, np.int16),
        EMPTY,
        np.empty(0, np.int16),
        np.ones(5, np.int64),
        2,
    )
    return PlannedEpoch(data, plan, 1, (7, 1), processes)


def student(sample):
    rows = torch.sin(7 * sample["teacher"]) + 0.1
    return {"embedding": rows, "mlm_logits": None}


@pytest.mark.parametrize("weights", [{}, {"c2": 2.5}, {"c1": 0.25, "c2": 3}])
def test_the_loss_of_an_update_is_the_weighted_mean_over_its_sentences(weights):
    planned = epoch(weights)
    judge = criterion(contrastive_weight=0.3, contrastive_temperature=0.2)
    plain = criterion()
    for update in ([0, 1], [2, 3], [4]):
        samples = [planned[batch] for batch in update]
        found = [judge(lambda **_: student(sample), sample) for sample in samples]  # noqa: B023
        loss = sum(float(each[0]) for each in found) / sum(each[1] for each in found)
        total = over = contrast = 0.0
        for sample in samples:
            for row, distance in enumerate(plain.distance(student(sample)["embedding"], sample["teacher"])):
                weight = weights.get("c1" if sample["language"][row] == 0 else "c2", 1.0)
                total, over = total + weight * float(distance), over + weight
            contrast += float(judge._contrastive(student(sample)["embedding"], sample))
        assert loss == pytest.approx((total + 0.3 * contrast) / over, rel=1e-5)
        assert all(sample["update_total"] == pytest.approx(over) for sample in samples)


@pytest.mark.parametrize("tlm", [0.0, 0.2])
def test_masked_pairs_are_a_term_of_their_own_in_the_same_mean(tlm):
    sample = {**epoch({})[0], "masked_total": 8.0, "mlm_targets": torch.tensor([4, 1, 0, 3])}
    sample["mlm_paired"] = torch.tensor([False, True, True, False]) & bool(tlm)
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    losses = -logits.log_softmax(-1)[range(4), sample["mlm_targets"]]
    judge = criterion(tlm=tlm, distil_weight=0.0, mlm_weight=0.5)
    loss, _, log = judge(lambda **_: {**student(sample), "mlm_logits": logits}, sample)
    assert float(loss) == pytest.approx(0.5 * sample["update_total"] / 8 * float(losses.sum()), rel=1e-5)
    expected = float(losses[1:3].sum()) if tlm else 0.0
    assert float(log["tlm_sum"]) == pytest.approx(expected, rel=1e-5) and int(log["n_tlm"]) == 2 * bool(tlm)
    assert float(log["mlm_sum"]) == pytest.approx(float(losses.sum()) - expected, rel=1e-5)
    assert ("tlm" in judge.weights()) == bool(tlm)


@pytest.mark.parametrize("weights", [{}, {"c3": 2.5}, {"c3": 0.5, "c4": 3.0, "c1": 2.0}])
@pytest.mark.parametrize("distilled", [True, False])
def test_the_masked_mean_of_an_update_is_weighted_by_corpus(weights, distilled):
    """Two batches an update, with masked text of two corpora; also where nothing is distilled."""
    distil = Collection([part("aaa", 20, 1)], 10, STARTS)
    mask = MaskText(MonolingualText([part("aaa", 12, 3), part("bbb", 8, 4)], 10, STARTS))
    data = TrainingData(distil, mask, ["aaa", "bbb"], 3, 49, MaskPolicy(probability=0.5), corpus_weights=weights)
    order = np.random.default_rng(6).permutation(20)
    text = Grouping(order, np.array([0, 5, 14, 16, 20]))
    some = (
        Grouping(np.arange(20), np.array([0, 3, 10, 12, 20]))
        if distilled
        else Grouping(EMPTY.indices, np.zeros(5, np.int64))
    )
    ones = np.ones(20, np.int16)
    plan = EpochPlan(some, ones[: len(some.indices)], text, ones, np.ones(4, np.int64), 2)
    planned, judge = PlannedEpoch(data, plan, 1, (7, 1)), criterion(distil_weight=0.0, mlm_weight=0.5)
    for update in ([0, 1], [2, 3]):
        loss = size = total = over = 0.0
        for sample in (planned[batch] for batch in update):
            targets = sample["mlm_targets"]
            logits = torch.randn(len(targets), 50, generator=torch.Generator().manual_seed(len(targets)))
            rows = torch.zeros(len(sample["teacher"]), 3) + 0.1
            found = judge(lambda **_: {"embedding": rows, "mlm_logits": logits}, sample)  # noqa: B023
            loss, size = loss + float(found[0]), size + float(found[1])
            shown = plan.mask[sample["id"]][
                (
                    sample["net_input"]["masked_positions"].numpy()
                    - sample["net_input"]["src_tokens"][: len(rows)].numel()
                )
                // sample["net_input"]["src_tokens"].shape[1]
            ]
            by_piece = [weights.get("c3" if unit < 12 else "c4", 1.0) for unit in shown]
            losses = -logits.log_softmax(-1)[range(len(targets)), targets]
            total += sum(weight * float(one) for weight, one in zip(by_piece, losses))
            over += sum(by_piece)
            assert sample["masked_total"] == pytest.approx(
                sum(
                    float(planned[batch].get("mlm_weight", torch.ones(len(planned[batch]["mlm_targets"]))).sum())
                    for batch in update
                )
            )
        assert loss / size == pytest.approx(0.5 * total / over, rel=1e-5)


def test_gradients_of_uneven_micro_batches_are_those_of_one_batch():
    """Seven sentences and four masked pieces at once, and as five with one and two with three."""
    whole = {**epoch({"c2": 2.5})[1], "masked_total": 4.0}
    draw = torch.Generator().manual_seed(2)
    rows, targets = torch.randn(4, 3, generator=draw), torch.tensor([4, 1, 0, 3])
    judge = criterion(tlm=0.2, distil_weight=0.7, mlm_weight=0.5)

    def gradient(parts):
        path, head = torch.eye(3).requires_grad_(), torch.ones(3, 6).requires_grad_()
        sizes = 0.0
        for sentences, pieces in parts:
            sample = {name: whole[name][sentences] for name in ("teacher", "language", "weight")}
            sample = {**whole, **sample, "mlm_targets": targets[pieces], "mlm_paired": torch.arange(4)[pieces] > 1}
            sample["distil_weight"] = float(sample["weight"].sum())
            output = {
                "embedding": torch.sin(7 * sample["teacher"] @ path),
                "mlm_logits": torch.cos(rows[pieces] @ head),
            }
            loss, size, _ = judge(lambda **_: output, sample)  # noqa: B023
            loss.backward()
            sizes += size
        return path.grad / sizes, head.grad / sizes

    one = gradient([(slice(0, 7), slice(0, 4))])
    two = gradient([(slice(0, 5), slice(0, 1)), (slice(5, 7), slice(1, 4))])
    for first, second in zip(one, two):
        assert first.abs().max() > 1e-3 and torch.allclose(first, second, rtol=1e-4, atol=1e-7)


def test_self_distillation_is_measured_as_a_part_of_the_distillation_term():
    sample, measured = epoch({"c2": 3.0})[1], {}
    judge = criterion(own="bbb", distil_weight=0.5)
    judge.gradients = SimpleNamespace(add=measured.update)
    loss = judge(lambda **_: student(sample), sample)[0]
    distances = judge.distance(student(sample)["embedding"], sample["teacher"])
    own = [3.0 * float(distance) for distance, language in zip(distances, sample["language"]) if language == 1]
    assert 0 < len(own) < len(distances) and float(measured["self"]) == pytest.approx(0.5 * sum(own), rel=1e-5)
    assert float(loss) == pytest.approx(float(measured["distil"])), "it is no further term"
    assert judge.weights()["self"] == 0.5 and "self" not in criterion().weights()


def test_fillers_make_the_processes_equal_and_bring_the_total_of_the_last_update():
    planned = epoch({"c2": 2.0}, processes=2)
    assert len(planned) == 6 and len(epoch({}, processes=5)) == 5
    assert [planned[batch]["filler"] for batch in range(6)] == [False] * 5 + [True]
    assert planned[5]["update_total"] == planned[4]["update_total"] != planned[0]["update_total"]


def test_a_queue_without_contrast_is_refused():
    with pytest.raises(ConfigError, match="--contrastive-queue 4096 needs --contrastive-weight"):
        criterion(queue=4096)
