"""Images as messages, bytes and files: encodings, the wire format, headers, image files of any depth.

Nothing here imports ROS, and nothing here knows what an image is for.
"""
