"""Fuse a visible and a thermal camera: pairing, registration, a compiled dual-branch network, ROS 2 nodes."""

from pkgutil import extend_path

# The generated messages (vi_fusion_ros.msg) are built into another folder than these sources. Whichever of the two
# Python finds first, both are one package.
__path__ = extend_path(__path__, __name__)
