"""The ROS 2 that is sourced, and how its DDS is set up for images: environment variables and files, no node."""

from __future__ import annotations

import importlib.util
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from vi_fusion_ros.doctor.findings import Finding, Level
from vi_fusion_ros.resources import share_path

DISTROS = ("humble", "iron", "jazzy", "kilted", "lyrical", "rolling")
DEFAULT_RMW = "rmw_fastrtps_cpp"
IMAGE_BYTES = 640 * 480 * 3
WANTED_SHM_BYTES = 128 * 2**20
WANTED_SOCKET_BYTES = 4 * 2**20
# Fast DDS 2 reads the first name, Fast DDS 3 (Kilted and later) the second.
FAST_DDS_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_FAST_DDS_2 = ("humble", "iron", "jazzy")
_RCLPY_OF_KILTED = 9


def distribution(environment: Mapping[str, str] = os.environ) -> str:
    """The ROS 2 in use, lower case: the one that is sourced, else that of the wheels."""
    named = environment.get("ROS_DISTRO", "")
    if named:
        return named
    try:
        major = int(metadata.version("ros-rclpy").partition(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return "jazzy"
    return "jazzy" if major < _RCLPY_OF_KILTED else "kilted"


def ros(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Distribution, messages and discovery."""
    if importlib.util.find_spec("rclpy") is None:
        advice = "Source a ROS 2, or run scripts/setup and source .ros_ws/env.sh; until then there are no nodes."
        yield Finding("ROS 2", "rclpy", Level.WARNING, "not found", advice)
        return
    distro = environment.get("ROS_DISTRO", "")
    if not distro:
        says = f"{distribution(environment).capitalize()} from wheels (ROS_DISTRO is not set)"
        yield Finding("ROS 2", "distribution", Level.OK, says)
    elif distro in DISTROS:
        yield Finding("ROS 2", "distribution", Level.OK, distro)
    else:
        advice = f"Made for {', '.join(DISTROS)}."
        yield Finding("ROS 2", "distribution", Level.WARNING, distro, advice)
    if importlib.util.find_spec("vi_fusion_ros.msg") is None:
        advice = "Build the package (colcon build --packages-select vi_fusion_ros) and source its workspace."
        yield Finding("ROS 2", "messages", Level.ERROR, "not built, or not sourced", advice)
    else:
        yield _messages()
    yield from _discovery(environment)


def _messages() -> Finding:
    """Whether the built messages are those of the sources; after an update they may be of before."""
    from vi_fusion_ros import msg

    for source in sorted((share_path() / "msg").glob("*.msg")):
        built = getattr(msg, source.stem, None)
        fields = set() if built is None else set(built.get_fields_and_field_types())
        missing = _fields(source) - fields
        if missing:
            says = f"{source.stem} was built without {', '.join(sorted(missing))}: the build is older than the sources"
            advice = "Build again: scripts/setup, or colcon build --packages-select vi_fusion_ros."
            return Finding("ROS 2", "messages", Level.ERROR, says, advice)
    return Finding("ROS 2", "messages", Level.OK, "built")


def _fields(source: Path) -> set[str]:
    """The fields of a ``.msg`` file, constants left out."""
    lines = (line.partition("#")[0] for line in source.read_text(encoding="utf-8").splitlines())
    return {line.split()[1] for line in lines if line.strip() and "=" not in line}


def _discovery(environment: Mapping[str, str]) -> Iterator[Finding]:
    yield Finding("ROS 2", "ROS_DOMAIN_ID", Level.OK, environment.get("ROS_DOMAIN_ID", "0 (not set)"))
    if environment.get("ROS_LOCALHOST_ONLY") == "1":
        advice = "Cameras on other hosts are not seen."
        yield Finding("ROS 2", "ROS_LOCALHOST_ONLY", Level.NOTE, "1", advice)
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    if reach.upper() in ("OFF", "LOCALHOST"):
        advice = "Cameras on other hosts are not seen." if reach.upper() == "LOCALHOST" else "No other process is seen."
        yield Finding("ROS 2", "ROS_AUTOMATIC_DISCOVERY_RANGE", Level.NOTE, reach, advice)


def dds(
    environment: Mapping[str, str] = os.environ, proc: Path = Path("/proc"), shm: Path = Path("/dev/shm")
) -> Iterator[Finding]:
    """The middleware, its profile for large images, shared memory and socket buffers."""
    rmw = environment.get("RMW_IMPLEMENTATION", DEFAULT_RMW)
    yield Finding(
        "DDS", "RMW_IMPLEMENTATION", Level.OK, rmw if "RMW_IMPLEMENTATION" in environment else f"{rmw} (default)"
    )
    if "fastrtps" in rmw:
        yield _fast_dds_profile(environment)
        yield from _shared_memory(shm)
    elif "cyclonedds" in rmw:
        yield _cyclone_profile(environment)
    else:
        advice = "The package has profiles for Fast DDS and Cyclone DDS only; see to large messages yourself."
        yield Finding("DDS", "profile", Level.NOTE, f"none for {rmw}", advice)
    yield from _socket_buffers(proc)


def _fast_dds_profile(environment: Mapping[str, str]) -> Finding:
    variable = FAST_DDS_VARIABLES[0 if distribution(environment) in _FAST_DDS_2 else 1]
    advice = f"export {variable}={share_path() / 'config' / 'dds' / 'fastdds.xml'} for the cameras' processes too."
    name = environment.get(variable, "")
    if not name:
        says = f"{variable} is not set: shared memory holds no {IMAGE_BYTES // 1000} kB image, so images get lost"
        return Finding("DDS", "profile", Level.WARNING, says, advice)
    try:
        root = ElementTree.parse(name).getroot()
    except (OSError, ElementTree.ParseError) as error:
        return Finding("DDS", "profile", Level.ERROR, f"{name} cannot be read: {error}", advice)
    segments = [int(e.text or 0) for e in root.iter() if e.tag.endswith("}segment_size") or e.tag == "segment_size"]
    if max(segments, default=0) < 2 * IMAGE_BYTES:
        says = f"{name}: no shared-memory segment holds two {IMAGE_BYTES // 1000} kB images"
        return Finding("DDS", "profile", Level.WARNING, says, advice)
    return Finding("DDS", "profile", Level.OK, f"{name}, segments of {max(segments) // 2**20} MB")


def _cyclone_profile(environment: Mapping[str, str]) -> Finding:
    uri = environment.get("CYCLONEDDS_URI", "")
    if uri:
        return Finding("DDS", "profile", Level.OK, uri)
    advice = f"export CYCLONEDDS_URI=file://{share_path() / 'config' / 'dds' / 'cyclonedds.xml'} for the cameras too."
    return Finding("DDS", "profile", Level.WARNING, "CYCLONEDDS_URI is not set", advice)


def _shared_memory(folder: Path) -> Iterator[Finding]:
    try:
        status = os.statvfs(folder)
    except OSError as error:
        yield Finding("DDS", str(folder), Level.WARNING, str(error.strerror), "Without it every image goes over UDP.")
        return
    size = status.f_frsize * status.f_blocks
    says = f"{size // 2**20} MB, {status.f_frsize * status.f_bavail // 2**20} MB free"
    if size < WANTED_SHM_BYTES:
        advice = "Each process takes 32 MB of it: docker run --shm-size=512m, or --ipc=host."
        yield Finding("DDS", str(folder), Level.WARNING, says, advice)
    else:
        yield Finding("DDS", str(folder), Level.OK, says)


def _socket_buffers(proc: Path) -> Iterator[Finding]:
    for name in ("net.core.rmem_max", "net.core.wmem_max"):
        try:
            size = int((proc / "sys" / name.replace(".", "/")).read_text())
        except (OSError, ValueError):
            continue
        if size < WANTED_SOCKET_BYTES:
            advice = f"Where cameras are on another host: sysctl -w {name}={16 * 2**20}"
            yield Finding("DDS", name, Level.NOTE, f"{size} bytes", advice)
        else:
            yield Finding("DDS", name, Level.OK, f"{size} bytes")
