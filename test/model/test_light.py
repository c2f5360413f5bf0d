"""The statistics that tell day from night."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.model.light import STATISTICS, LightStatistics  # noqa: E402


@torch.no_grad()
def test_shares_of_an_image_say_how_bright_it_is_and_nothing_of_where():
    statistics = LightStatistics()
    dark, lit, thermal = (
        torch.full((1, 3, 64, 96), 0.1),
        torch.full((1, 3, 64, 96), 0.6),
        torch.full((1, 1, 64, 96), 0.3),
    )
    night, day = statistics(dark, thermal)[0], statistics(lit, thermal)[0]
    levels = statistics.levels.numel()
    assert night.shape == (STATISTICS,)
    assert (day[1:levels] >= night[1:levels]).all()
    assert day[3] > 7.9 > 0.1 > night[3]  # a share of 1 and of 0 above 3/8, at the pace of training
    torch.testing.assert_close(day[levels:-1], night[levels:-1])
    half = dark.clone()
    half[..., :48] = 0.6
    torch.testing.assert_close(statistics(half, thermal), statistics(half.flip(3), thermal))
    torch.testing.assert_close(statistics(half, thermal)[0], (night + day) / 2)


@torch.no_grad()
def test_color_counts_for_the_visible_camera():
    thermal, grey = torch.zeros(1, 1, 32, 32), torch.full((1, 3, 32, 32), 0.5)
    red = grey.clone()
    red[:, 1:] = 0.1
    assert LightStatistics()(grey, thermal)[0, -1] == 0
    assert LightStatistics()(red, thermal)[0, -1] > 1
