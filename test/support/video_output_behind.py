"""A video output whose encoder is held up: offers images, says what was counted, lets the encoder go on, says it again.

Argument: how many images. They are noise, stamped with their number, and published on ``fused/image/ffmpeg`` as soon as
somebody listens.
"""

import json
import sys
import threading
from dataclasses import asdict

import numpy as np
import rclpy
from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
from harness import wait_until
from rclpy.duration import Duration
from std_msgs.msg import Header

from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.node.outputs.video_output import VideoOutput

rclpy.init()
node = rclpy.create_node("behind")
publisher = node.create_publisher(FFMPEGPacket, "fused/image/ffmpeg", 100)
output = VideoOutput(publisher, 60.0, lambda error: print(error, flush=True))
encode, held, go_on = output._encoder.encode, threading.Event(), threading.Event()


def held_up(*arguments):
    held.set()
    go_on.wait()
    return encode(*arguments)


output._encoder.encode = held_up
images = np.random.default_rng(0).integers(0, 256, (int(sys.argv[1]), 96, 128, 3), np.uint8)
wait_until(publisher.get_subscription_count, "the listener")
for number, image in enumerate(images):
    output.offer(Header(stamp=to_time(number)), image)
    held.wait()  # the first is in hand from here on
print(json.dumps(asdict(output.counts)), flush=True)
go_on.set()
wait_until(lambda: output.counts.sent + output.counts.skipped == len(images), "the end of what was offered")
output.close()
print(json.dumps(asdict(output.counts)), flush=True)
publisher.wait_for_all_acked(Duration(seconds=10))
node.destroy_node()
rclpy.shutdown()
