"""What is released lies between what a run has learned and what its backbone began with."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.model.network import FusionNet  # noqa: E402
from vi_fusion_ros.training.checkpoints import checkpoint_weights  # noqa: E402
from vi_fusion_ros.training.release.released import released_network  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402
from vi_fusion_ros.training.warm_start import start_from  # noqa: E402

BACKBONE = "perception.branches.backbone."


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_backbone_goes_back_by_the_share_and_nothing_else_does(config, share):
    optim = dataclasses.replace(config.optim, pretrained_share=share, frozen_blocks=-1)
    last = train(dataclasses.replace(config, optim=optim)).last
    learned, began = checkpoint_weights(last)[1], FusionNet(config.network)
    began.perception.branches.load_pretrained()
    start = began.state_dict()
    found, network = released_network(last)
    assert found.optim.pretrained_share == share
    assert not network.training
    moved = 0
    for name, tensor in network.state_dict().items():
        if name.startswith(BACKBONE) and tensor.is_floating_point():
            torch.testing.assert_close(tensor, (1 - share) * learned[name] + share * start[name])
            moved += not torch.equal(learned[name], start[name])
        else:
            assert torch.equal(tensor, learned[name]), name
    assert moved, "the run has trained its backbone"
    goes_on = FusionNet(config.network)
    start_from(goes_on, last)
    for name, tensor in goes_on.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), f"{name}: a run goes on from what is released"
