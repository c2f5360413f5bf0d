"""Which Lightning module trains the network of a method."""

from __future__ import annotations

import lightning

from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.data import Splits
from vi_fusion_ros.training.methods.adversarial import AdversarialTask
from vi_fusion_ros.training.methods.consolidation import ConsolidatedTask
from vi_fusion_ros.training.methods.detection import DetectionTask
from vi_fusion_ros.training.methods.task import MethodTask

_OWN = {"fusiondn": ConsolidatedTask, "gan": AdversarialTask, "mlf-cnn": DetectionTask}


def task_of(config: TrainConfig, splits: Splits) -> lightning.LightningModule:
    """The task of the configuration's method.

    Raises:
        ValueError: the method is not trained here, or there are no patches, of a detector no frames.
    """
    return _OWN.get(config.method or "", MethodTask)(config, splits)
