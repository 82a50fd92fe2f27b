"""What pytest is not to import: it needs atheris, which instruments what is imported."""

collect_ignore = ["one.py"]
