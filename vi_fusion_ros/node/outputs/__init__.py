"""What becomes of a result: the messages on each topic, video, and explanations.

Nothing here takes an image in or pairs it.
"""
