"""Every row that a report may have is explained."""

import pytest

from skunlearn.evaluation._showing.explained import EXPLAINED, explain
from skunlearn.evaluation.figures import DIRECTIONS
from skunlearn.robustness._condition_figures import DIRECTIONS as UNDER_CONDITIONS


@pytest.mark.parametrize("metric", [*DIRECTIONS, *UNDER_CONDITIONS, "AUC difference", "BWT"])
def test_every_row_of_a_report_is_explained(metric):
    found = explain(metric)
    assert found.name
    assert found.text.endswith(".")
    assert len(found.text) < 300  # fits into a tooltip


def test_attacks_are_explained_by_their_score():
    assert explain("AUC modified entropy").name == "attack by modified entropy"
    assert "by the modified entropy" in explain("AUC modified entropy").text
    with pytest.raises(KeyError):
        explain("beauty")


def test_no_two_explanations_have_one_name():
    names = [found.name for key, found in EXPLAINED.items() if "MSE" not in key]
    assert len(names) == len(set(names))
