"""What VIF-Net and FusionDN learn by, and how FusionDN's tasks follow each other without being forgotten."""

import csv
import dataclasses
import json

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.training.batches.augment import Augmented  # noqa: E402
from vi_fusion_ros.training.batches.patches import PatchConfig  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneConfig  # noqa: E402
from vi_fusion_ros.training.methods import forgetting, fusiondn, gan, vif_net  # noqa: E402
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
    """A run of seconds with a weight of the consolidation; its folder."""

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
        return changed.runs / changed.name

    return run


def test_consolidation_ties_the_weights_of_the_task_before(run_of, tmp_path):
    run = run_of(1e6)
    with (run / "csv" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    penalties = [float(row["train/penalty"]) for row in rows if row["train/penalty"]]
    assert penalties[0] == 0, "the first task is free"
    assert penalties[-1] > 0
    assert forgetting.main([str(run), "--json", f"{tmp_path}/out.json"]) == 0
    told = json.loads((tmp_path / "out.json").read_text())["runs"][run.name]
    assert told["ewc"] == 1e6
    assert list(told["after"]) == ["visible-infrared", "exposure"], "two epochs have room for two tasks"
    last = [row for row in rows if row["select/score"]][-1]
    assert told["after"]["exposure"]["focus"] == pytest.approx(float(last["select/focus"]), abs=1e-4)


def test_runs_that_say_nothing_are_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.csv is missing; expected the folder of a run of fusiondn"):
        forgetting.losses_after_tasks(tmp_path)
    (tmp_path / "csv" / "version_0").mkdir(parents=True)
    (tmp_path / "csv" / "version_0" / "metrics.csv").write_text("epoch,select/score\n0,-1\n")
    (tmp_path / "config.yaml").write_text("optim: {epochs: 9, ewc: 0.0}")
    with pytest.raises(ValueError, match="has had 1 of its 9 epochs; expected all"):
        forgetting.losses_after_tasks(tmp_path)


def test_brightening_keeps_black_and_white_and_structure_counts_where_there_is_some():
    network = gan.GanFusion()
    ends = torch.cat((torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)))
    assert torch.equal(network.enhanced(ends), ends)
    image = texture(8)
    assert gan.structure_loss(0.3 * image + 0.5, image) == pytest.approx(0, abs=1e-3), (
        "brightness and contrast are free"
    )
    assert gan.structure_loss(1 - image, image) == pytest.approx(2, abs=1e-3)
    assert gan.structure_loss(image, torch.full_like(image, 0.5)) == 0
    dark = gan.darken(image, torch.Generator().manual_seed(0))
    assert (dark.mean((1, 2, 3)) < image.mean((1, 2, 3))).all()


def test_content_of_an_adversarial_fusion_is_thermal_intensity_and_visible_detail():
    visible, thermal = texture(9), texture(10)
    assert gan.content_loss(thermal, thermal, thermal) == 0
    smooth = torch.full_like(visible, 0.4)
    assert gan.content_loss(smooth, visible, smooth) > gan.content_loss(visible, visible, smooth)
