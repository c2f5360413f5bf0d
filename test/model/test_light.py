"""The statistics that tell day from night."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.model.light import STATISTICS, LightFeatures, LightStatistics  # noqa: E402


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


@torch.no_grad()
def test_what_is_read_says_which_cameras_are_there_and_is_held_within_its_bounds():
    features = LightFeatures(4)
    visible, thermal, shown = torch.rand(3, 3, 32, 32), torch.rand(3, 1, 32, 32), torch.rand(3, 4, 2, 2)
    there = tuple(torch.tensor(flags).reshape(3, 1, 1, 1) for flags in ((1.0, 1.0, 0.0), (1.0, 0.0, 1.0)))
    both, alone, without = features(visible, thermal, shown, there)
    parts = [row.split(features.parts) for row in (both, alone)]
    for row, of_image in zip(parts, shown, strict=False):
        torch.testing.assert_close(row[0], of_image.mean((1, 2)))
    statistics = features.statistics(visible, thermal)
    torch.testing.assert_close(parts[0][1], statistics[0])
    torch.testing.assert_close(parts[1][2][-1], statistics[1, -1])
    assert not parts[0][2].any()
    assert not parts[1][1].any()
    assert [tuple(row[k].item() for k in (3, 4)) for row in parts] == [(1, 0), (0, 1)]
    assert not without.any()
    features.high.fill_(0.25)
    torch.testing.assert_close(features(visible, thermal, shown, there)[0], both.clamp(max=0.25))
    features.unbind()
    torch.testing.assert_close(features(visible, thermal, shown, there)[0], both)
