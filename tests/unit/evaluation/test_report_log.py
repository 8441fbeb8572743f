"""Reading fairseq's log: repeated lines, resumed runs, broken lines."""

import json
import math

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_training import (
    group_names,
    plan_charts,
    stage_changes,
    training_section,
    use_log_x,
)
from fairseq_distill.evaluation.training_log import (
    EPOCH,
    INNER,
    VALID,
    parse_training_log,
    read_training_log,
    sentences_per_second,
    thin,
)


def inner(update, **numbers):
    return json.dumps(
        {"epoch": 1, "update": 0.1, **{k: str(v) for k, v in numbers.items()}, "num_updates": str(update)}
    )


def valid(update, **numbers):
    return json.dumps(
        {"epoch": 1, **{f"valid_{k}": str(v) for k, v in numbers.items()}, "valid_num_updates": str(update)}
    )


def test_the_three_kinds_of_lines_and_what_is_none():
    # As fairseq-fixed 0.12.3.1 wrote them: bare in --log-file, behind time and tag on stderr.
    log = parse_training_log(
        [
            "{'_name': None, 'common': {'log_interval': 10}}\n",
            'begin validation on "valid" subset\n',
            '{"epoch": 1, "update": 0.4, "loss": "4.544", "ups": "54.72", "bsz": "16", "num_updates": "10", '
            '"lr": "0.001", "train_wall": "0", "wall": "3"}\n',
            '2026-11-23 11:55:12 | INFO | train_inner | {"epoch": 1, "update": 0.8, "loss": "1.122", "ups": "66.96", '
            '"bsz": "16", "num_updates": "20", "lr": "0.001", "train_wall": "0", "wall": "4"}\n',
            '{"epoch": 1, "valid_loss": "0.238", "valid_xsim": "45.2", "valid_num_updates": "20", '
            '"valid_best_xsim": "45.2"}\n',
            '{"epoch": 1, "train_loss": "2.315", "train_num_updates": "25", "train_train_wall": "0", '
            '"train_wall": "4"}\n',
        ]
    )
    assert log.curve(INNER, "loss") == {10: 4.544, 20: 1.122}
    assert log.curve(INNER, "train_wall") == {10: 0.0, 20: 0.0}, "train_wall of an inner line is no number of an epoch"
    assert log.curve(VALID, "xsim") == {20: 45.2}
    assert log.curve(EPOCH, "loss") == {25: 2.315} and log.curve(EPOCH, "train_wall") == {25: 0.0}
    assert (log.n_lines, log.n_broken, log.n_rewinds, log.last_update) == (4, 0, 0, 25)
    assert sentences_per_second(log) == pytest.approx({10: 16 * 54.72, 20: 16 * 66.96})
    assert log.curve("valid1", "loss") == {}


def test_a_line_that_fairseq_repeats_counts_once():
    once = [inner(10, loss=3), valid(10, xsim=50), inner(20, loss=2)]
    repeated = [line for line in once for _ in range(3)]
    assert parse_training_log(repeated).curves == parse_training_log(once).curves
    assert parse_training_log(repeated).n_rewinds == 0


def test_the_later_line_wins_after_a_resume_and_what_was_undone_is_dropped():
    log = parse_training_log(
        [
            *[inner(u, loss=u) for u in (10, 20, 30, 40, 50)],
            valid(50, xsim=33),
            *[inner(u, loss=-u) for u in (30, 40)],  # the checkpoint was that of update 20
            valid(40, xsim=44),
        ]
    )
    assert log.curve(INNER, "loss") == {10: 10, 20: 20, 30: -30, 40: -40}
    assert log.curve(VALID, "xsim") == {40: 44}, "the validation at 50 belongs to the part that was undone"
    assert log.n_rewinds == 1 and log.last_update == 40


def test_the_update_that_is_resumed_from_keeps_its_numbers():
    log = parse_training_log([inner(10, loss=3), inner(20, loss=2), inner(30, loss=1), valid(20, xsim=40)])
    assert log.curve(INNER, "loss") == {10: 3, 20: 2} and log.curve(VALID, "xsim") == {20: 40}


def test_a_resumed_run_equals_an_unbroken_one():
    lines = [line for u in range(10, 200, 10) for line in (inner(u, loss=math.sin(u)), valid(u, xsim=u / 3))]
    broken = lines[:25] + lines[14:]  # killed after update 130, resumed after update 70
    resumed, unbroken = parse_training_log(broken), parse_training_log(lines)
    assert resumed.curves == unbroken.curves and resumed.n_rewinds == 1


@pytest.mark.parametrize("cut_at", [12, 30, 60])
def test_half_a_line_is_counted_and_the_line_behind_it_is_read(cut_at):
    half = inner(20, loss=2.5, ups=3, bsz=4)[:cut_at]
    log = parse_training_log([inner(10, loss=3), half + inner(20, loss=2), half])
    assert log.curve(INNER, "loss") == {10: 3, 20: 2}
    assert log.n_broken == 2


def test_not_finite_values_are_named_and_not_drawn():
    log = parse_training_log(
        [inner(10, loss="nan", gnorm=1), inner(20, loss=2, gnorm="inf"), inner(10, loss=1, gnorm=1)]
    )
    assert log.curve(INNER, "loss") == {10: 1} and log.not_finite == set()
    log = parse_training_log([inner(10, loss=3), inner(10, loss="nan"), inner(10, loss="nan"), inner(20, loss="None")])
    assert log.curve(INNER, "loss") == {} and log.not_finite == {(INNER, "loss", 10)}


def test_bytes_that_are_no_text_do_not_stop_the_reading(tmp_path):
    path = tmp_path / "train.json.log"
    path.write_bytes(b"\0" * 5000 + b"\n\xff\xfe\n" + inner(10, loss=3).encode() + b"\n[1, 2]\n" + b'{"epoch": 1}\n')
    log = read_training_log(path)
    assert log.curve(INNER, "loss") == {10: 3}
    with pytest.raises(DataError, match="does not exist"):
        read_training_log(tmp_path / "absent.log")


@pytest.mark.parametrize("n, most", [(10, 3), (7, 7), (1000, 300), (301, 300), (3, 300)])
def test_thin_keeps_the_sum_of_equal_groups_and_the_ends(n, most):
    curve = {10 * i: float(i % 7) for i in range(1, n + 1)}
    thinned = thin(curve, most)
    assert len(thinned) == min(n, most) and list(thinned)[-1] == 10 * n
    assert min(curve.values()) <= min(thinned.values()) and max(thinned.values()) <= max(curve.values())
    if n % most == 0:
        assert math.fsum(thinned.values()) / len(thinned) == pytest.approx(math.fsum(curve.values()) / n)


def test_names_are_grouped_by_language_and_margin():
    names = [
        "loss",
        "mlm_loss",
        "mlm_loss_swh_Latn",
        "xsim",
        "xsim_swh_Latn",
        "xsim_swh_Latn_ratio",
        "xsim_ratio",
        "spread",
    ]
    groups = group_names([*names, "cosine_zul"], ["swh_Latn", "zul", "ss"])
    assert groups == {
        "loss": ["loss"],  # "ss" is the end of no word here: mlm_loss stays whole
        "mlm_loss": ["mlm_loss", "mlm_loss_swh_Latn"],
        "xsim": ["xsim", "xsim_swh_Latn", "xsim_swh_Latn_ratio", "xsim_ratio"],
        "spread": ["spread"],
        "cosine": ["cosine_zul"],
    }


def charts_of(lines, languages):
    return {
        (chart.root, chart.suffix): [label for label, _, _ in chart.lines]
        for chart in plan_charts(parse_training_log(lines), languages)
    }


def test_charts_of_several_languages():
    lines = [
        inner(10, loss=3, mlm_loss=5, mlm_loss_swa=5, mlm_loss_zul=6, lr=0.1, wps=100),
        valid(10, loss=4, xsim=50, xsim_swa=40, xsim_zul=60, xsim_ratio=49, best_xsim=50),
    ]
    assert charts_of(lines, ["swa", "zul"]) == {
        ("xsim", "by language"): ["mean", "swa", "zul"],
        ("xsim", "by margin"): ["ratio"],
        ("loss", ""): ["training", "validation"],
        ("mlm_loss", ""): ["training"],
        ("mlm_loss", "by language"): ["swa", "zul"],
        ("lr", ""): ["training"],
    }


def test_a_single_language_is_not_drawn_twice():
    lines = [inner(10, loss=3), valid(10, xsim=50, xsim_swa=50)]
    assert charts_of(lines, ["swa"]) == {("xsim", ""): ["validation"], ("loss", ""): ["training"]}


def test_epoch_numbers_stand_in_when_the_log_interval_was_never_reached():
    line = {"epoch": 1, "train_loss": "2.5", "train_num_updates": "25"}
    assert charts_of([json.dumps(line)], []) == {("loss", ""): ["training"]}


def test_log_axis_where_most_happens_early():
    updates = range(10, 2001, 10)
    assert use_log_x([{u: math.exp(-u / 40) for u in updates}])
    assert not use_log_x([{u: 1 - u / 2000 for u in updates}])
    assert not use_log_x([])


def test_the_stages_of_a_curriculum_stand_where_they_begin():
    stages = [1, 1, 1.4, 2, 2, 3, 3]
    lines = [inner(10 * n, loss=1 / n, increment=stage, stage=stage) for n, stage in enumerate(stages, start=1)]
    log = parse_training_log(lines)
    # Within update 30's interval stage 2 began; from 40 on all is stage 2.
    assert stage_changes(log) == [(40.0, "stage 2"), (60.0, "stage 3")]
    page = training_section(log, None, [])
    drawn = {figure.partition("</h3>")[0]: figure.partition("</svg>")[0] for figure in page.split("<h3>")[1:]}
    assert {title: figure.count("grid stage") for title, figure in drawn.items()} == {
        "All on one axis": 2, "Loss, all terms": 2, "Curriculum: mean part shown": 0, "Curriculum: stage": 0,
    }  # fmt: skip
    assert ">stage 3<" in drawn["Loss, all terms"]


def test_without_a_curriculum_no_stage_is_drawn():
    lines = [inner(10 * n, loss=1 / n, increment=1, stage=1) for n in range(1, 5)]
    log = parse_training_log(lines)
    assert stage_changes(log) == []
    assert "Curriculum" not in training_section(log, None, []) and "grid stage" not in training_section(log, None, [])


def test_an_objective_that_the_run_does_not_have_is_not_drawn():
    def lines(mlm):
        return [
            inner(10 * n, loss=1 / n, mlm_loss=mlm, gnorm=2 / n, gnorm_distil=1 / n, gnorm_mlm=mlm) for n in (1, 2, 3)
        ]

    drawn = charts_of(lines(0), [])
    assert ("mlm_loss", "") not in drawn and ("gnorm", "by objective") not in drawn and ("gnorm", "") in drawn
    drawn = charts_of(lines(4), [])
    assert drawn["gnorm", "by objective"] == ["distil", "mlm"] and ("mlm_loss", "") in drawn
    assert "MLM loss" not in training_section(parse_training_log(lines(0)), None, [])


def test_xsim_losses_and_curriculum_stand_over_one_axis():
    lines = []
    for n in range(1, 7):
        stage = min(n, 3)
        numbers = {
            "loss": 1 / n,
            "distil_loss": 0.5 / n,
            "increment": stage,
            "stage": stage,
            "lr": 0.1 * n,
            "wall": 5 * n,
        }
        lines.append(inner(10 * n, **numbers))
        if n % 2 == 0:
            lines.append(valid(10 * n, loss=2 / n, xsim=80 / n))
    page = training_section(parse_training_log(lines), 40, [])
    picture = page.partition("All on one axis</h3>")[2].partition("</svg>")[0]
    titles = ["xsim error in %", "Loss, all terms", "Distillation loss", "Curriculum: mean part shown", "Learning rate"]
    assert [title for title in titles if f">{title}</text>" in picture] == titles
    assert [picture.index(f">{title}<") for title in titles] == sorted(picture.index(f">{title}<") for title in titles)
    assert ">update 40, 20 s<" in picture and ">0.25, 0.5<" in picture, "training and validation loss at update 40"
    assert ">best</text>" in picture and "No curriculum" not in page
    alone = parse_training_log([inner(10 * n, loss=1 / n, distil_loss=1 / n, increment=1, lr=n) for n in (1, 2)])
    picture = training_section(alone, None, []).partition("All on one axis</h3>")[2].partition("</svg>")[0]
    assert ">Distillation loss<" not in picture and "Curriculum" not in picture
