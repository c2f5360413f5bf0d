"""What `vi-fusion doctor` looks at, one part of the machine a module. Free of ROS."""
