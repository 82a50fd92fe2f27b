"""Settings of the whole process, which a node makes for all that runs in it."""

import gc
import sys

import cv2

_SWITCH_AFTER = 0.001
_COLLECT_AFTER = 10_000, 20, 50


def prepare() -> None:
    """Set what is the process's own: threads of OpenCV, the interpreter's switches, collection.

    Each stream has its threads; OpenCV's own would only fight them for the cores. Nor shall a
    thread that computes hold up the event loop for longer than a millisecond, nor a search for
    cycles of objects, of which no frame leaves any.
    """
    cv2.setNumThreads(1)
    sys.setswitchinterval(_SWITCH_AFTER)
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
