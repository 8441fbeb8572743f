"""Language codes are kept as they were typed, and what is none is refused."""

import pytest

from fairseq_distill.errors import ConfigError
from fairseq_distill.languages import parse_language, parse_pair, script_of


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
