"""Networks of the fusion methods of the literature: as torch modules, from their authors' files, and to ONNX.

What runs them is ``vi_fusion_ros.methods``, without torch. No author's weights are in this repository.
"""
