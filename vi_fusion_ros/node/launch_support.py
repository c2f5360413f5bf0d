"""What the launch files share: from their arguments to parameters, topics and environment of the nodes.

Imports neither launch nor ROS.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vi_fusion_ros.node.parameters.schema import fault, transport_suffixes
from vi_fusion_ros.resources import share_path

CAMERAS = ("visible", "thermal")

_FAST_DDS = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_FAST_DDS_IN_WORKING_FOLDER = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")
_FAST_DDS_2 = ("humble", "iron", "jazzy")
_CYCLONE_DDS = "CYCLONEDDS_URI"


def integer(text: str) -> int:
    """``text`` as an integer; raises ValueError, which says what was expected."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected an integer") from None


def number(text: str) -> float:
    """``text`` as a number; raises ValueError, which says what was expected."""
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected a number") from None


def boolean(text: str) -> bool:
    """``text`` as ROS writes it; raises ValueError, which says what was expected."""
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


# argument: (the parameters it sets, how its text is read)
_PARAMETERS: dict[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "rig": (("rig",), str),
    "model": (("model",), str),
    "threads": (("threads",), integer),
    "backend": (("backend",), str),
    "engine_precision": (("engine.precision",), str),
    "engine_cache": (("engine.cache_dir",), str),
    "visible_transport": (("visible.image_transport",), str),
    "thermal_transport": (("thermal.image_transport",), str),
    "compressed": (tuple(f"{camera}.compressed" for camera in CAMERAS), boolean),
    "autostart": (("autostart",), boolean),
    "use_sim_time": (("use_sim_time",), boolean),
}


def read(arguments: Mapping[str, str], name: str, kind: Callable[[str], Any]) -> Any:
    """An argument's value.

    Raises:
        ValueError: it is not of this kind; one sentence with its name.
    """
    try:
        return kind(arguments[name])
    except ValueError as error:
        raise ValueError(f"argument {name} is '{arguments[name]}'; {error}") from error


def given_parameters(arguments: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of the fusion node that the arguments set; those that are missing or empty set none.

    Raises:
        ValueError: a value cannot be; one sentence with the argument's or the parameter's name.
    """
    values = {
        parameter: read(arguments, argument, kind)
        for argument, (parameters, kind) in _PARAMETERS.items()
        if arguments.get(argument)
        for parameter in parameters
    }
    for name, value in values.items():
        reason = None if name == "use_sim_time" else fault(name, value)
        if reason:
            raise ValueError(reason)
    return values


def file_parameters(path: str, node: str) -> dict[str, Any] | None:
    """What a ROS parameter file sets for a node.

    Args:
        path: of the file.
        node: the node's full name, for example ``/front/fusion_node``.

    Returns:
        Values by name, nested ones joined by dots; None where nothing in the file is for this node.

    Raises:
        ValueError: the file cannot be read; one sentence with its name.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"params_file {path} cannot be read: {' '.join(str(error).split())}") from error
    sections = [values for name, values in _sections(document, "") if _is_for(name, node)]
    if not sections:
        return None
    return {name: value for values in sections for name, value in _flat(values, "")}


def profiles() -> list[str]:
    """Names of the profiles that the package has."""
    return sorted(path.stem for path in (share_path() / "config" / "profiles").glob("*.yaml"))


def parameter_files(profile: str, params_file: str) -> list[str]:
    """The parameter files of a node, later ones win: the profile over the defaults and under the user's file.

    Args:
        profile: one of ``profiles()``; empty: none.
        params_file: the user's, or the package's own with the defaults.

    Raises:
        ValueError: there is no such profile; one sentence.
    """
    if not profile:
        return [params_file]
    if profile not in profiles():
        raise ValueError(f"argument profile is '{profile}'; expected one of {', '.join(profiles())}")
    folder = share_path() / "config"
    file = str(folder / "profiles" / f"{profile}.yaml")
    own = Path(params_file).exists() and Path(params_file).samefile(folder / "fusion.yaml")
    return [params_file, file] if own else [file, params_file]


def files_parameters(paths: Iterable[str], node: str) -> dict[str, Any]:
    """What several parameter files set for a node, later ones win; as ``file_parameters``."""
    return {name: value for path in paths for name, value in (file_parameters(path, node) or {}).items()}


def _sections(document: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(document, Mapping):
        return
    for key, value in document.items():
        if key == "ros__parameters":
            yield name, value
        else:
            yield from _sections(value, f"{name}/{str(key).strip('/')}")


def _is_for(name: str, node: str) -> bool:
    """Whether a section of this name is for the node; ``*`` stands for one part of its name, ``**`` for any."""
    pattern = re.escape(name).replace(r"/\*\*", "(?:/[^/]+)*").replace(r"\*", "[^/]+")
    return re.fullmatch(pattern, node) is not None


def _flat(values: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def camera_topics(arguments: Mapping[str, str], camera: str) -> tuple[str, str]:
    """Image and camera_info topic of a camera, by the arguments ``CAMERA`` (a prefix) and ``CAMERA_image``.

    A prefix is a driver's, which publishes ``image_raw`` below it.
    """
    prefix = arguments[camera]
    image = f"{prefix}/image_raw" if prefix else f"{camera}/image"
    return arguments[f"{camera}_image"] or image, f"{prefix or camera}/camera_info"


def image_remappings(camera: str, topic: str) -> list[tuple[str, str]]:
    """From the node's image topic of a camera, in each transport, to ``topic``."""
    return [(f"{camera}/image{suffix}", topic + suffix) for suffix in transport_suffixes()]


def image_qos(topics: Iterable[str], namespace: str, name: str, reliability: str) -> dict[str, str]:
    """``qos_overrides`` of image topics, raw and compressed: which of both is subscribed to the parameter file may say.

    Args:
        topics: as remapped to, relative ones too.
        namespace: of the node, absolute.
        name: of the node.
        reliability: best_effort, reliable or system_default; empty sets nothing.
    """
    if not reliability:
        return {}
    return {
        f"qos_overrides.{resolved(topic, namespace, name)}{suffix}.subscription.reliability": reliability
        for topic in topics
        for suffix in transport_suffixes()
    }


def resolved(topic: str, namespace: str, name: str) -> str:
    """A topic's full name as seen by a node of this namespace and name."""
    if topic.startswith("/"):
        return topic
    parts = (namespace.strip("/"), name, topic[1:].strip("/")) if topic[:1] == "~" else (namespace.strip("/"), topic)
    return "/" + "/".join(filter(None, parts))


def dds_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to a node's environment so that DDS is set up for large images.

    A robot that has a profile of its own keeps it; for each DDS by itself.
    """
    profiles, added = share_path() / "config" / "dds", {}
    has_own = any(map(environment.get, _FAST_DDS)) or any(Path(name).exists() for name in _FAST_DDS_IN_WORKING_FOLDER)
    if not has_own:
        # Fast DDS 3 (Kilted) warns of the name that Fast DDS 2 needs.
        name = _FAST_DDS[environment.get("ROS_DISTRO", "jazzy") not in _FAST_DDS_2]
        added[name] = str(profiles / "fastdds.xml")
    if not environment.get(_CYCLONE_DDS):
        added[_CYCLONE_DDS] = f"file://{profiles / 'cyclonedds.xml'}"
    return added


def misspelt(given: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is not known but looks like one that is."""
    known = set(known)
    for name in given:
        alike = [] if name in known else difflib.get_close_matches(name, known, 1, 0.8)
        if alike:
            yield f"there is no argument '{name}': did you mean '{alike[0]}'?"
