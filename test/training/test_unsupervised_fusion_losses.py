"""What VIF-Net and FusionDN learn by, and how FusionDN's tasks follow each other without being forgotten."""

import csv
import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.training.batches.augment import Augmented  # noqa: E402
from vi_fusion_ros.training.batches.patches import PatchConfig  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneConfig  # noqa: E402
from vi_fusion_ros.training.methods import fusiondn, vif_net  # noqa: E402
from vi_fusion_ros.training.methods.consolidation import stage_of  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402


def texture(seed, side=48):
    return torch.rand((2, 1, side, side), generator=torch.Generator().manual_seed(seed))


def test_m_ssim_wants_the_structure_of_the_source_that_is_brighter_in_the_window():
    bright, dark = 0.5 + 0.5 * texture(0), 0.5 * texture(1)
    for pair in ((bright, dark), (dark, bright)):
        assert vif_net.m_ssim(bright, *pair) == pytest.approx(1, abs=1e-3)
        assert vif_net.m_ssim(bright - 0.3, *pair) == pytest.approx(1, abs=1e-3), "brightness is left out"
        assert vif_net.m_ssim(dark, *pair) < 0.2
    left = torch.arange(48) < 24
    visible, thermal = torch.where(left, bright, dark), torch.where(left, dark, bright)
    sides = vif_net.m_ssim(bright, visible, thermal)
    assert sides > 0.8, "each window by itself; those of the seam are of neither"
    assert vif_net.m_ssim(visible, visible, thermal) < 0.7


def test_variation_is_of_what_is_added_to_the_visible_image():
    visible = texture(2)
    assert vif_net.added_variation(visible + 0.2, visible) == pytest.approx(0, abs=1e-9)
    ramp = torch.arange(48) / 100
    assert vif_net.added_variation(visible + ramp, visible) == pytest.approx(1e-4, rel=1e-3)
    terms = vif_net.mixed_loss(visible, visible, visible)
    assert [float(term) for term in terms.values()] == pytest.approx([0, 0], abs=1e-3)


def test_ssim_and_gradients_are_zero_for_an_image_that_is_all_of_its_sources():
    image, task = texture(3), fusiondn.TASKS[0]
    terms = fusiondn.fusion_terms(task, image, image, image, None)
    assert [float(term) for term in terms.values()] == pytest.approx([0, 0], abs=1e-4)
    assert fusiondn.ssim(image, 1 - image).max() < 0
    assert (fusiondn.neighbour_difference(torch.ones(1, 1, 9, 9))[..., 1:-1, 1:-1].abs() < 1e-6).all()


def test_the_source_with_more_in_it_counts_more():
    rich, poor = texture(4), 0.5 + 0.05 * texture(5)
    for task in fusiondn.TASKS:
        of_rich = fusiondn.fusion_terms(task, rich, rich, poor, None)
        of_poor = fusiondn.fusion_terms(task, poor, rich, poor, None)
        assert of_rich["ssim"] < of_poor["ssim"], task.name


def test_the_tasks_make_their_sources_of_the_visible_image():
    visible = texture(6).expand(-1, 3, -1, -1)
    batch = Augmented(visible, texture(7), visible, texture(7), *(torch.ones(2, dtype=torch.bool),) * 3)
    generator = torch.Generator().manual_seed(0)
    luma = texture(6)
    both = fusiondn.sources(fusiondn.TASKS[0], batch, generator)
    means = sorted(float(one.mean()) for one in (luma, texture(7)))
    assert sorted(float(one.mean()) for one in both) == pytest.approx(means)
    dark, bright = sorted(fusiondn.sources(fusiondn.TASKS[1], batch, generator), key=lambda one: float(one.mean()))
    assert (dark <= luma + 1e-6).all()
    assert (bright >= luma - 1e-6).all()
    first, second = fusiondn.sources(fusiondn.TASKS[2], batch, generator)
    assert torch.minimum((first - luma).abs(), (second - luma).abs()).mean() < 0.05


def test_tasks_take_turns_by_their_share_of_the_epochs():
    assert [stage_of(epoch, 9) for epoch in range(9)] == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert [stage_of(epoch, 2) for epoch in range(2)] == [0, 1]


@pytest.fixture
def run_of(config, monkeypatch):
    """A run of seconds with another weight of the consolidation; the rows of its log."""

    monkeypatch.setattr("vi_fusion_ros.training.methods.task._SELECTION_STEPS", 1)

    def run(ewc):
        changed = dataclasses.replace(
            config,
            name=f"ewc{ewc}",
            method="fusiondn",
            scenes=SceneConfig(frames=0),
            patches=PatchConfig(patches=1, size=32),
            optim=dataclasses.replace(config.optim, lr=0.01, ewc=ewc, steps=3),
        )
        train(changed)
        with (changed.runs / changed.name / "csv" / "version_0" / "metrics.csv").open() as file:
            return list(csv.DictReader(file))

    return run


def test_consolidation_ties_the_weights_of_the_task_before(run_of):
    tied, free = run_of(1e6), run_of(0.0)
    penalties = [float(row["train/penalty"]) for row in tied if row["train/penalty"]]
    assert penalties[0] == 0, "the first task is free"
    assert penalties[-1] > 0
    assert not any(float(row["train/penalty"]) for row in free if row["train/penalty"])
    assert {"select/visible-infrared", "select/exposure", "select/focus"} <= set(tied[0])
