"""``python -m vi_fusion_ros.cli``: the same as ``vi-fusion``."""

import sys

from vi_fusion_ros.cli import main

sys.exit(main())
