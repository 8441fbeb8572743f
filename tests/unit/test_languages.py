"""Language codes are kept as they were typed, what is none is refused, and what stands for no language is warned of."""

import sys
from pathlib import Path

import pytest

from fairseq_distill.errors import ConfigError
from fairseq_distill.language_codes import suggestions, warn_of_unknown
from fairseq_distill.languages import known_codes, parse_language, parse_pair, script_of


@pytest.mark.parametrize(
    "code, iso, script",
    [
        ("swa", "swa", None),
        ("sw", "sw", None),
        ("swh_Latn", "swh", "Latn"),
        ("taq_Tfng", "taq", "Tfng"),
        ("zho-Hans", "zho", "Hans"),
    ],
)
def test_a_code_and_its_parts(code, iso, script):
    language = parse_language(code)
    assert (language.code, language.iso, language.script) == (code, iso, script)


@pytest.mark.parametrize(
    "code",
    ["", "s", "swah", "SWA", "Swa", "swh_latn", "swh_LATN", "swh_Lat", "swh_Latn_x", "swa\n", " swa", "sw4", "s/a"],
)
def test_what_is_no_code(code):
    with pytest.raises(ConfigError, match="is not a language code; write ISO 639-3"):
        parse_language(code)


def test_a_pair():
    first, second = parse_pair("eng-swh_Latn")
    assert (first.code, second.code) == ("eng", "swh_Latn")
    assert [language.code for language in parse_pair("taq_Latn-taq_Tfng")] == ["taq_Latn", "taq_Tfng"]


@pytest.mark.parametrize(
    "pair, said",
    [
        ("eng", "is not a language pair; write two codes"),
        ("eng_swa", "is not a language pair"),
        ("eng-swa-fra", "is not a language pair"),
        ("eng-", "is not a language code"),
        ("eng-Swahili", "is not a language code"),
        ("eng-eng", "names the same language twice"),
        ("", "is not a language pair"),
    ],
)
def test_what_is_no_pair(pair, said):
    with pytest.raises(ConfigError, match=said):
        parse_pair(pair)


@pytest.mark.parametrize(
    "code, unspaced",
    [
        ("swa", False),
        ("tha", True),
        ("khm", True),
        ("zho_Hans", True),
        ("zho_Latn", False),
        ("kab_Tibt", True),
        ("kor", False),
    ],
)
def test_a_script_without_spaces_overrules_the_language(code, unspaced):
    assert parse_language(code).unspaced is unspaced


@pytest.mark.parametrize(
    "code, scripts",
    [
        ("swa", {"Latn"}),
        ("amh", {"Ethi"}),
        ("jpn", {"Hira", "Kana", "Hani"}),
        ("zho_Hans", {"Hani"}),
        ("kab_Tfng", {"Tfng"}),
        ("taq", set()),  # written in three scripts: only the text can tell
        ("qqq", set()),
    ],
)
def test_the_scripts_that_a_languages_text_may_be_in(code, scripts):
    assert parse_language(code).scripts == scripts


@pytest.mark.parametrize(
    "character, script",
    [
        ("a", "Latn"), ("Ɓ", "Latn"), ("ß", "Latn"), ("я", "Cyrl"), ("ሰ", "Ethi"), ("ⵣ", "Tfng"), ("ع", "Arab"),
        ("ﷺ", "Arab"), ("中", "Hani"), ("ក", "Khmr"), ("א", "Hebr"), ("\u0301", "Zyyy"), ("ª", "Zyyy"),
        ("1", None), (" ", None), ("!", None), ("😀", None), ("\u200d", None),
    ],
)  # fmt: skip
def test_the_script_of_a_character(character, script):
    assert script_of(character) == script


@pytest.mark.parametrize("installed", [True, False])
def test_the_codes_of_the_recipes_stand_for_languages(installed, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "mtdata.iso.iso639", None)
    table = Path(__file__).parents[2] / "recipes" / "languages.tsv"
    rows = [line.split("\t")[:2] for line in table.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    codes = {code for row in rows for code in [row[0], *row[1].split(",")] if code != "-"}
    assert len(codes) > 90 and [code for code in codes if suggestions(code) is not None] == []
    assert suggestions("swh_Latn") is None and suggestions("taq_Tfng") is None


def test_what_may_have_been_meant(monkeypatch, caplog):
    assert "swa" in suggestions("sw") and suggestions("qqq") == []
    assert suggestions("mhr") is None  # Meadow Mari: of no table here, but of ISO 639-3
    warn_of_unknown(["swa", "sw", "sw", "qqq"])
    assert caplog.messages == [
        "'sw' stands for no language in ISO 639-3 and is taken as it is; did you mean swa?",
        "'qqq' stands for no language in ISO 639-3 and is taken as it is.",
    ]
    monkeypatch.setitem(sys.modules, "mtdata.iso.iso639", None)
    assert suggestions("swz") == ["szl", "swh", "swe"] and suggestions("mhr") is not None and len(known_codes()) > 200
    with pytest.raises(ConfigError, match="is not a language code"):
        warn_of_unknown(["Swahili"])
