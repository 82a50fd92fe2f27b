"""What pytest is not to import: the camera runs in the system's Python."""

collect_ignore = ["camera.py"]
