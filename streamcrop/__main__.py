"""``python -m streamcrop``."""

from streamcrop.cli import main

main()
