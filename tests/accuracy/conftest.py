"""What pytest is not to import: camera and GStreamer's reader run in the system's Python."""

collect_ignore = ["gstreamer.py", "mounts.py", "server.py"]
