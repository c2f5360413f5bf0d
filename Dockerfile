# fusion_node on the CPU: docker build -t vi_fusion_ros . && docker run --rm --network host --ipc host vi_fusion_ros
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base
ARG ROS_DISTRO

WORKDIR /ws
COPY package.xml src/vi_fusion_ros/package.xml
# pip into the distribution's Python: the image is nobody's system. Up to Kilted its OpenCV is built for numpy<2.
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-pip \
 && rosdep update --rosdistro "$ROS_DISTRO" \
 && PIP_BREAK_SYSTEM_PACKAGES=1 rosdep install --from-paths src --ignore-src -y --dependency-types=build \
      --dependency-types=buildtool --dependency-types=build_export --dependency-types=exec \
 && case "$ROS_DISTRO" in humble|jazzy|kilted) \
      PIP_BREAK_SYSTEM_PACKAGES=1 pip install --no-cache-dir "numpy<2" ;; esac \
 && rm -rf /var/lib/apt/lists/*

COPY . src/vi_fusion_ros
RUN . "/opt/ros/$ROS_DISTRO/setup.sh" && colcon build --packages-select vi_fusion_ros

RUN printf '#!/bin/bash\nset -e\nsource /opt/ros/%s/setup.bash\nsource /ws/install/setup.bash\nexec "$@"\n' "$ROS_DISTRO" \
      >/entrypoint.sh && chmod +x /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "vi_fusion_ros", "fusion.launch.py"]
