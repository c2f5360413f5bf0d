"""What the node says of itself: counts and times, diagnostics, and checks of the graph around it.

Nothing here touches a frame.
"""
