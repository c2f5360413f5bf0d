"""A camera that sends packets of ffmpeg_image_transport: one, with its stamp, for each image on thermal/image.

Arguments: a file with packets, each behind its length (little endian, 32 bit); the stamp of the second of them and the
time between two, nanoseconds. Images before that stamp all get the first packet.
"""

import contextlib
import struct
import sys
from pathlib import Path

import rclpy
from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image


def packets(data):
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


waiting = list(packets(Path(sys.argv[1]).read_bytes()))
second_ns, period_ns = int(sys.argv[2]), int(sys.argv[3])
rclpy.init()
node = rclpy.create_node("video_camera")
publisher = node.create_publisher(FFMPEGPacket, "visible/image/ffmpeg", QoSProfile(depth=100))


def send(image):
    stamp_ns = image.header.stamp.sec * 1_000_000_000 + image.header.stamp.nanosec
    number = max(0, 1 + (stamp_ns - second_ns) // period_ns)
    packet = FFMPEGPacket(encoding="libx264", width=128, height=96, data=waiting[number])
    packet.header.stamp, packet.header.frame_id = image.header.stamp, "video_optical_frame"
    publisher.publish(packet)


node.create_subscription(Image, "thermal/image", send, QoSProfile(depth=100))
with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
