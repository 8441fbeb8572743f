"""Options that ask for what cannot be are refused in a sentence that says what could."""

from types import SimpleNamespace

import pytest

from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.manifest import read_manifest
from fairseq_distill.tasks.options import check_watching, corpus_weights_of


def test_corpus_weights_by_id(data):
    cfg = SimpleNamespace(corpus_weights="train.aaa=2, mono=0.5")
    assert corpus_weights_of(cfg, read_manifest(data)) == {"train.aaa": 2.0, "mono": 0.5}
    assert corpus_weights_of(SimpleNamespace(corpus_weights=""), read_manifest(data)) == {}


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("train.ccc=2", "'train.ccc'; there are train.aaa, train.bbb, mono"),
        ("valid.aaa=2", "'valid.aaa'; there are train.aaa"),
        ("train.aaa=0", "'train.aaa=0' is not ID=WEIGHT"),
        ("train.aaa=nan", "is not ID=WEIGHT"),
        ("train.aaa", "is not ID=WEIGHT"),
        ("=3", "is not ID=WEIGHT"),
    ],
)
def test_corpus_weights_that_fit_nothing(data, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        corpus_weights_of(SimpleNamespace(corpus_weights=text), read_manifest(data))


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"contrastive_queue": -1}, "--contrastive-queue must be 0 or more, but is -1"),
        ({"collapse_patience": -2}, "--collapse-patience must"),
        ({"gradient_norm_interval": -1}, "--gradient-norm-interval must"),
        ({"contrastive_queue": 64, "online_teacher": True}, "--contrastive-queue 64 needs stored teacher embeddings"),
    ],
)
def test_queue_alarm_and_norms_that_cannot_be(changed, sentence):
    options = {"contrastive_queue": 0, "gradient_norm_interval": 0, "collapse_patience": 0, "online_teacher": False}
    check_watching(SimpleNamespace(**options))
    with pytest.raises(ConfigError, match=sentence):
        check_watching(SimpleNamespace(**{**options, **changed}))
