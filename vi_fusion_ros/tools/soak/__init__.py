"""``vi-fusion soak``: the fusion node under faults for as long as asked, the node that fails, and what has to hold."""
