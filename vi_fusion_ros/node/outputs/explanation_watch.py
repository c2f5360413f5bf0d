"""~/explanation beside the frame path: a thread with an engine of its own; it works only while somebody subscribes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rclpy.publisher import Publisher

from vi_fusion_ros.contributions import Contribution, contributions
from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.msg import Explanation, LabelContribution
from vi_fusion_ros.node.messages import to_header
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.novelty import Novelty
from vi_fusion_ros.pipeline import FusionPipeline, build_pipeline
from vi_fusion_ros.types import FusionResult

_PERIOD_NS = 1_000_000_000


class ExplanationWatch:
    """Explains a result a second.

    Args:
        publisher: of ``~/explanation``.
        load: an engine with the model of the node; called on the thread when the first result is explained.
        on_error: takes exceptions; must not raise.
    """

    def __init__(self, publisher: Publisher, load: Callable[[], Engine], on_error: Callable[[Exception], None]) -> None:
        self._publisher, self._load = publisher, load
        self._engine: Engine | None = None
        self._pipeline: FusionPipeline | None = None
        self._novelty: Novelty | None = None
        self._due_ns = 0
        self._stale = False
        self._worker: Worker[FusionResult] = Worker(self._explain, lambda: None, on_error, depth=1)
        self._worker.start()

    def offer(self, result: FusionResult) -> None:
        """Give a result of the frame path; costs next to nothing, and nothing else while nobody subscribes."""
        now = time.monotonic_ns()
        both = result.pair.visible is not None and result.thermal_grey is not None
        # Fusion methods that are no network have no labels.
        if both and result.scores and now >= self._due_ns and self._publisher.get_subscription_count():
            self._due_ns = now + _PERIOD_NS
            self._worker.submit(result)

    def forget_model(self) -> None:
        """Load the model again before the next result is explained."""
        self._stale = True

    def close(self) -> None:
        """Finish the result in hand and end the thread."""
        self._worker.stop()
        if self._engine is not None:
            self._engine.close()

    def _explain(self, result: FusionResult) -> None:
        if self._engine is None or self._pipeline is None or self._stale:
            self._stale = False
            old, self._engine = self._engine, self._load()
            if old is not None:
                old.close()
            self._pipeline = build_pipeline(self._engine)
            calibration = self._engine.manifest.novelty
            self._novelty = Novelty(calibration) if calibration else None
        message = Explanation(header=to_header(result.pair.reference), model_id=self._engine.manifest.model_id)
        message.labels = [_message(row) for row in contributions(result, self._pipeline)]
        message.novelty = math.nan if self._novelty is None else self._novelty.of_result(result)
        message.unfamiliar = message.novelty > 1
        self._publisher.publish(message)


def _message(row: Contribution) -> LabelContribution:
    return LabelContribution(
        label=row.label,
        probability=row.probability,
        without_visible=row.without_visible,
        without_thermal=row.without_thermal,
        visible_contribution=row.visible,
        thermal_contribution=row.thermal,
    )
