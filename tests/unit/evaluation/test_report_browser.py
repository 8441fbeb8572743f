"""The report in a real browser: opened, clicked, typed into; light and dark, narrow and wide, with hostile text."""

import json

import numpy as np
import pytest

from fairseq_distill.evaluation.report import report
from fairseq_distill.evaluation.report_comparison import compare_runs
from fairseq_distill.formats.leakage import NAME as LEAKAGE
from fairseq_distill.formats.leakage import Leakage, NearDuplicate, write_leakage
from fairseq_distill.formats.lines import read_lines, write_lines
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs
from tests.browser import Browser, find_browser
from tests.unit.evaluation.report_example import make_leakage, make_run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")]
HOSTILE = '</script><script>window.hit=1</script><img src=x onerror="window.hit=1"> \'" & ${title} \\u003c'
HEBREW = "המשפט הזה נקרא מימין לשמאל."


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    work = make_run(tmp_path_factory.mktemp("browser") / "run", ["swa", "zul"], n_updates=400, n_mined=100)
    for lang in ("swa", "eng"):
        lines = read_lines(work / "data" / f"valid.{lang}")
        lines[3], lines[4] = f"{HOSTILE} {lang}", f"{HEBREW} {lang}"
        write_lines(work / "data" / f"valid.{lang}", lines)
    pairs = [MinedPair(1.5 - i / 500, f"chanzo {i}", f"source {i}") for i in range(60)]
    pairs[1] = MinedPair(1.499, HOSTILE, HEBREW)
    write_mined_pairs(work / "mined.tsv", pairs)
    audit = make_leakage(["swa", "zul"])
    audit[2].found = Leakage(
        40_500, 0, 2, 1012, 2, 0.7, [NearDuplicate(1, 2, 0.9, f"{HOSTILE} {i}", HEBREW) for i in range(20)]
    )
    write_leakage(work / LEAKAGE, audit[:3])
    return report(work)


@pytest.fixture
def opened(browser, page):
    browser.resize(1280, 900)
    browser.scheme("light")
    browser.open(page)
    yield browser
    assert browser.problems == [] and browser.run("window.hit") is None
    assert browser.requests == [page.resolve().as_uri()], "the page fetches nothing"


def embedded(page):
    text = page.read_text(encoding="utf-8").partition('id="neighbour-data">')[2].partition("</script>")[0]
    return json.loads(text)


def test_picking_a_sentence_shows_what_it_finds(opened, page):
    one = embedded(page)["sets"][0]
    assert opened.count("#n-list li") == 60
    opened.click("#n-list li", 7)
    row = one["ways"][0]["rows"][7]
    assert opened.text(".asked") == one["texts"][0]["7"]
    hits = [one["texts"][1][str(row[at])] for at in range(3, len(row), 4)]
    assert opened.run("[...document.querySelectorAll('.hits')][0].children.length") == 4
    assert (
        opened.run("[...document.querySelectorAll('.hits')[0].querySelectorAll('.text')].map(x => x.textContent)")
        == hits
    )
    said = opened.run("[...document.querySelectorAll('.hits')[0].querySelectorAll('.verdict')].map(x => x.textContent)")
    assert said == ["right" if row[at + 3] else "wrong" for at in range(3, len(row), 4)]
    assert f"cosine {row[5]:.3f}" in opened.text(".hits li") and f"score {row[4]:.3f}" in opened.text(".hits li")


def test_a_missed_translation_is_shown_with_its_place(opened, page):
    one = embedded(page)["sets"][0]
    lost = next(row for row in one["ways"][0]["rows"] if not any(row[6::4]))
    opened.click("#n-list li", lost[0])
    shown = opened.run("document.querySelectorAll('.hits')[1].innerText")
    assert one["texts"][1][str(lost[0])] in shown and f"place {lost[1]}" in shown and lost[1] > 4


def test_typing_filters_and_marks_without_regard_to_case_and_accents(opened):
    opened.click("#n-find")
    opened.type("(5) MVÙA")
    assert opened.count("#n-list li") == 1 and opened.text("#n-list mark") == "Mvua"
    assert opened.text("#n-status").startswith("1 sentence of 60.")
    opened.type(" nothing like it")
    assert opened.text("#n-list") == "No sentence holds that." and opened.text("#n-detail") == ""


def test_only_those_not_found(opened, page):
    way = embedded(page)["sets"][0]["ways"][0]
    missed = [row[0] for row in way["rows"] if not row[6]]
    opened.click("#n-wrong")
    assert opened.count("#n-list li") == way["wrong"] == len(missed) > 0
    assert opened.run("[...document.querySelectorAll('#n-list li')].map(x => +x.id.slice(2))") == missed


def test_arrow_keys_move_and_keep_the_choice_in_sight(opened):
    opened.run("document.querySelector('#n-list').focus()")
    opened.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert opened.run("document.querySelector('#n-list').getAttribute('aria-activedescendant')") == "n-1"
    opened.press("End")
    assert (
        opened.count("[aria-selected=true]") == 1
        and opened.run("document.querySelector('[aria-selected=true]').id") == "n-59"
    )
    seen = "(() => { const l = document.querySelector('#n-list'), i = document.querySelector('[aria-selected=true]');"
    assert opened.run(seen + "return i.offsetTop >= l.scrollTop && i.offsetTop < l.scrollTop + l.clientHeight })()")


def test_every_control_is_reached_with_the_tabulator(opened):
    opened.press("Tab")
    assert opened.run("document.activeElement.className") == "skip"
    reached = []
    while "n-list" not in reached and len(reached) < 60:
        opened.press("Tab")
        reached.append(opened.run("document.activeElement.id"))
    assert reached[-4:] == ["n-set", "n-find", "n-wrong", "n-list"]


def test_looking_a_neighbour_up_turns_to_the_other_side(opened, page):
    one = embedded(page)["sets"][0]
    found = one["ways"][0]["rows"][0][3]
    opened.click("#n-detail button")
    assert opened.run("document.querySelector('#n-set').value") == "0/1"
    assert opened.text(".asked") == one["texts"][1][str(found)]
    assert opened.text("#n-command") == one["look_up"]
    opened.choose("#n-set", "1/0")
    assert opened.text("#n-command") == embedded(page)["sets"][1]["look_up"]
    assert opened.text(".asked") == embedded(page)["sets"][1]["texts"][0]["0"]


def test_paging_and_filtering_pairs(opened):
    assert opened.text("#p-status") == "1 to 12 of 60" and opened.count("#p-list li") == 12
    assert opened.run("document.querySelector('#p-back').disabled") is True
    opened.click("#p-next")
    assert opened.text("#p-status") == "13 to 24 of 60" and "chanzo 12" in opened.text("#p-list li")
    for _ in range(3):
        opened.click("#p-next")
    assert (
        opened.text("#p-status") == "49 to 60 of 60"
        and opened.run("document.querySelector('#p-next').disabled") is True
    )
    opened.choose("#p-order", "lowest")
    assert "chanzo 59" in opened.text("#p-list li")
    opened.click("#p-find")
    opened.type("source 4")
    assert opened.text("#p-status") == "1 to 12 of 15 that fit, of 60"  # 4, 14, 24, 34, 40 to 49, 54
    opened.click("#p-high")
    opened.type("1.405")
    assert opened.text("#p-status") == "1 to 3 of 3 that fit, of 60"  # 48, 49, 54: scores of 1.404 and less
    opened.type("9")
    opened.choose("#p-order", "shuffled")
    numbers = opened.run("[...document.querySelectorAll('#p-list .other')].map(x => +x.textContent.split(' ')[1])")
    assert sorted(numbers) != numbers and len(set(numbers)) == len(numbers)


def test_hostile_text_stays_text(opened):
    opened.click("#n-list li", 3)
    assert opened.text(".asked").startswith(HOSTILE)
    assert HOSTILE in opened.run("document.querySelectorAll('#p-list .text')[2].textContent")
    assert opened.count("img") == 0 and opened.count("script") == 4


def test_the_audit_is_shown_before_the_numbers(opened):
    assert opened.text("#summary p").startswith("6 of 3,036 evaluation lines are in the training text")
    assert opened.run("document.querySelector('main section:nth-of-type(2)').id") == "leakage"
    opened.click("#summary a")
    assert opened.run("location.hash") == "#leakage"
    cells = opened.run("[...document.querySelectorAll('#leakage tbody tr')].map(r => r.children[4].innerText)")
    assert cells == ["3 lines, 0.3 %", "1 line, 0.1 %", "2 lines, 0.2 %", "not audited"]
    seen = "document.querySelector('#leakage li:not(.head)').checkVisibility({contentVisibilityAuto: true})"
    assert opened.run(seen) is False
    opened.click("#leakage summary")
    line = "[...document.querySelectorAll('#leakage .pairs')].pop().querySelectorAll('.text')"
    assert opened.run(f"{line}[1].innerText") == f"{HOSTILE} 0" and opened.run(seen) is True
    assert opened.run(f"getComputedStyle({line}[0]).direction") == "rtl"
    opened.resize(360, 800, True)
    assert opened.run("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_the_audit_says_is_easy_to_read(opened, scheme):
    opened.scheme(scheme)
    for selector in ("#summary .warning", "#summary a", "#leakage .worse", "#leakage .note"):
        colour, ground = (
            [int(x) for x in opened.run(f"getComputedStyle(document.querySelector('{name}')).{what}")[4:-1].split(",")]
            for name, what in ((selector, "color"), ("body", "backgroundColor"))
        )
        light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector


def luminance(colour):
    """Relative luminance of an sRGB colour, as WCAG 2 defines it."""
    linear = [x / 255 / 12.92 if x / 255 <= 0.04045 else ((x / 255 + 0.055) / 1.055) ** 2.4 for x in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_right_to_left_text_runs_from_the_right(opened):
    opened.click("#n-list li", 4)
    assert opened.run("getComputedStyle(document.querySelector('.asked')).direction") == "rtl"
    assert opened.run("document.querySelector('.asked').lang") == "swa"
    opened.click("#n-list li", 5)
    assert opened.run("getComputedStyle(document.querySelector('.asked')).direction") == "ltr"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(opened, width):
    opened.resize(width, 800, width < 600)
    assert opened.run("document.documentElement.scrollWidth") == width
    too_small = "[...document.querySelectorAll('.controls input, .controls select, button.step')].filter(x => x.type != 'checkbox' && x.offsetHeight < 38)"
    assert opened.run(f"{too_small}.length") == 0


def test_dark_follows_the_system(opened, tmp_path):
    light = opened.run("getComputedStyle(document.body).backgroundColor")
    opened.screenshot(tmp_path / "light.png")
    opened.scheme("dark")
    assert (
        light == "rgb(255, 255, 255)"
        and opened.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    )
    opened.screenshot(tmp_path / "dark.png")
    light, dark = ((tmp_path / f"{name}.png").read_bytes() for name in ("light", "dark"))
    assert light[:4] == b"\x89PNG" and light != dark


def test_the_policy_of_the_page_stops_any_other_script(browser, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    other = tmp_path / "other.html"
    other.write_text(text.replace("<main>", "<main><script>window.hit = 1</script>"), encoding="utf-8")
    browser.open(other)
    assert browser.run("window.hit") is None and any("Content Security Policy" in said for said in browser.problems)
    assert browser.count("#n-list li") == 60, "the page's own script runs"


def test_a_page_without_vectors_and_pairs_has_no_broken_controls(browser, page, tmp_path):
    work = make_run(tmp_path / "run", ["swa"], n_updates=100, n_mined=20)
    (work / "mined.tsv").unlink()
    (work / "embeddings" / "student" / "valid.mafand.eng-swa.swa.npy").unlink()
    browser.open(report(work))
    assert browser.problems == [] and browser.count(".app") == 0
    assert "no sentence can be looked up" in browser.text("#neighbours")


def test_numbers_of_vectors_that_are_not_finite_are_refused(tmp_path):
    from fairseq_distill.errors import DataError

    work = make_run(tmp_path / "run", ["swa"], n_updates=100, n_mined=20)
    path = work / "embeddings" / "student" / "valid.mafand.eng-swa.swa.npy"
    rows = np.load(path)
    rows[5, 0] = np.nan
    np.save(path, rows)
    with pytest.raises(DataError, match="row 6|row 5"):
        report(work)


def test_a_comparison_in_the_browser(browser, tmp_path):
    runs = [
        make_run(tmp_path / name, ["swa"], n_updates=n, n_mined=20) for name, n in (("first", 200), ("second", 100))
    ]
    page = compare_runs([str(run) for run in runs], tmp_path / "compared.html")
    browser.resize(1280, 900)
    browser.open(page)
    assert browser.text("h1") == "first and second compared" and browser.count(".run") == 2
    colours = browser.run("[...document.querySelectorAll('.run .value')].map(x => getComputedStyle(x).color)")
    curves = browser.run(
        "['c1', 'c2'].map(c => getComputedStyle(document.querySelector(`#curves path.line.${c}`)).stroke)"
    )
    assert colours == curves and len(set(colours)) == 2, "a run has one colour throughout"
    browser.resize(360, 800, True)
    assert browser.run("document.documentElement.scrollWidth") == 360
    assert browser.problems == [] and browser.requests == [page.resolve().as_uri()]
