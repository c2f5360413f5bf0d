"""What each camera contributes: that of the pipeline with the other one left out."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros.contributions import contributions
from vi_fusion_ros.pipeline import load_pipeline


def test_it_is_the_difference_to_the_result_with_the_camera_left_out(object_model):
    visible = np.zeros((96, 128, 3), np.uint8)
    visible[40:48, 48:56] = 255
    thermal = np.full((96, 128), 100, np.uint8)
    pipeline, alone = load_pipeline(object_model, threads=1), load_pipeline(object_model, threads=1)
    result = pipeline(visible, thermal)
    rows = {row.label: row for row in contributions(result, alone)}
    assert list(rows) == [score.label for score in result.scores]
    without_visible, without_thermal = pipeline(None, thermal).probabilities, pipeline(visible, None).probabilities
    for label, row in rows.items():
        assert row.probability == result.probabilities[label]
        assert (row.without_visible, row.without_thermal) == (without_visible[label], without_thermal[label])
        assert row.visible == pytest.approx(row.probability - without_visible[label])
        assert row.thermal == pytest.approx(row.probability - without_thermal[label])
    dark = {row.label: row for row in contributions(pipeline(np.zeros_like(visible), thermal), alone)}
    assert rows["bright"].visible > dark["bright"].visible  # what only the visible camera sees is its contribution


def test_a_deep_thermal_image_is_explained_as_the_network_saw_it(model):
    rng = np.random.default_rng(0)
    visible, thermal = rng.integers(0, 256, (96, 128, 3)).astype(np.uint8), rng.integers(28000, 31000, (96, 128))
    pipeline = load_pipeline(model, threads=1)
    result = pipeline(visible, thermal.astype(np.uint16))
    rows = contributions(result, load_pipeline(model, threads=1))
    expected = load_pipeline(model, threads=1)(None, result.thermal_grey).probabilities
    assert {row.label: row.without_visible for row in rows} == expected


def test_a_result_of_one_camera_is_refused(model):
    pipeline = load_pipeline(model, threads=1)
    with pytest.raises(ValueError, match="a result of one camera"):
        contributions(pipeline(None, np.full((96, 128), 90, np.uint8)), pipeline)
