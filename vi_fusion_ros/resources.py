"""Where the package's files that are not Python lie: models, messages, configuration."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def share_path() -> Path:
    """The folder that holds ``models/``, ``msg/`` and ``config/``.

    The source tree where this module runs from one, so that a checkout never mixes with an installed version; else the
    folder inside the package, where pip installed it; else the share folder of the ROS package.

    Raises:
        FileNotFoundError: if there is neither.
    """
    source = Path(__file__).resolve().parents[1]
    if (source / "package.xml").exists() and (source / "msg").is_dir():
        return source
    installed = Path(__file__).resolve().parent / "share"
    if installed.is_dir():
        return installed
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory("vi_fusion_ros"))
    except (ImportError, LookupError) as error:
        raise FileNotFoundError(
            "the share folder of vi_fusion_ros (models, msg, config) is not found; install the package with pip, or "
            "source the workspace's setup.bash"
        ) from error


def default_model() -> Path:
    """The model that the package ships; its manifest lies beside it."""
    return share_path() / "models" / "default.onnx"
