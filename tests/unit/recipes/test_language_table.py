"""The table of languages: the 50 of LASER3's list, each in a family with a recipe."""

import pytest
from family_config import read_config, shipped_families
from language_table import canonical, find_language, read_table

from fairseq_distill.errors import DataError
from fairseq_distill.languages import parse_language

# The African languages of LASER3's list of encoders, as its README names them; Kanuri's two scripts are one language.
LASER3 = (
    "aka amh bam bem cjk dik dyu ewe fon fuv gaz hau ibo kab kam kbp kea kik kin kmb knc kon lin lua lug luo mos nso nus nya plt "
    "run sag sna som sot ssw swh taq tir tsn tso tum twi tzm umb wol xho yor zul"
).split()


def test_every_language_of_the_laser3_list_has_a_recipe():
    assert len(LASER3) == 50
    for code in LASER3:
        row = find_language(code)
        assert row is not None, code
        assert any(name.startswith(f"{code}_") for name in row.laser3), code
    assert sum(bool(row.laser3) for row in read_table()) == 50


def test_each_family_trains_exactly_the_languages_of_the_table():
    in_table = {}
    for row in read_table():
        in_table.setdefault(row.recipe, []).append(row.code)
    shipped = {folder.name: list(read_config(folder).langs) for folder in shipped_families()}
    assert shipped == in_table


def test_an_alias_is_the_same_language():
    assert [canonical(code) for code in ("dik", "gaz", "swh", "plt", "knc", "din", "xyz")] == [
        "din", "orm", "swa", "mlg", "kau", "din", "xyz",
    ]  # fmt: skip
    assert find_language("dik_Latn") is find_language("din")
    assert find_language("xyz") is None


def test_codes_and_scripts_are_codes_and_scripts():
    for row in read_table():
        for script in row.scripts:
            for code in (row.code, *row.aliases):
                assert parse_language(f"{code}_{script}").script == script
        assert row.pivot is None or find_language(row.pivot) is None or find_language(row.pivot).recipe != row.recipe


@pytest.mark.parametrize(
    "lines, said",
    [
        ("aaa\t-\tA\tLatn\tf\tg\t-\n", "line 1: 7 columns instead of 8"),
        ("aaa\tbbb\tA\tLatn\tf\tg\t-\t-\n# x\nbbb\t-\tB\tLatn\tf\tg\t-\t-\n", "line 3: bbb is already in line 1"),
    ],
)
def test_a_damaged_table(tmp_path, lines, said):
    path = tmp_path / "languages.tsv"
    path.write_text(lines)
    with pytest.raises(DataError, match=said):
        read_table(path)
