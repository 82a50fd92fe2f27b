"""Settings of the whole process."""

import gc
import sys

import cv2

from streamcrop import process


def test_what_is_set() -> None:
    """One thread for OpenCV, quick turns, seldom a search for cycles; said once, in one place."""
    before = cv2.getNumThreads(), sys.getswitchinterval(), gc.get_threshold()
    try:
        process.prepare()
        assert (cv2.getNumThreads(), sys.getswitchinterval()) == (1, 0.001)
        assert gc.get_threshold() == (10_000, 20, 50)
        assert gc.get_freeze_count() > 0
    finally:
        cv2.setNumThreads(before[0])
        sys.setswitchinterval(before[1])
        gc.set_threshold(*before[2])
        gc.unfreeze()
