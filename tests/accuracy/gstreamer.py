"""GStreamer's reading of an RTSP stream, which shares nothing with the node's, not even a decoder.

Runs in the system's Python, where Debian puts GStreamer's bindings. Says a line of JSON for each
picture: the number in its pixels, its width and height, its capture time by the camera's clock
(``ntp``, nanoseconds since 1900, from the session's own sender reports; null before the first), and
its media time (``pts``, nanoseconds). Ends when the stream does.
"""

import argparse
import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from accuracy import pattern  # noqa: E402  # as above
from gi.repository import Gst, GstApp, GstVideo  # noqa: E402, F401  # as above

_DECODERS = {
    "h264": "rtph264depay ! h264parse ! avdec_h264",
    "h265": "rtph265depay ! h265parse ! avdec_h265",
}
_PATIENCE = 5 * Gst.SECOND


def says(sample: Gst.Sample, clock: Gst.Caps) -> dict[str, int | None]:
    """What is to be said of a picture."""
    buffer = sample.get_buffer()
    info = GstVideo.VideoInfo.new_from_caps(sample.get_caps())
    layout = GstVideo.buffer_get_video_meta(buffer)
    offset, stride = (layout or info).offset[0], (layout or info).stride[0]
    mapped, plane = buffer.map(Gst.MapFlags.READ)
    number = pattern.read_plane(plane.data[offset:], stride, info.width) if mapped else None
    buffer.unmap(plane)
    # It travels with the picture, so that nothing has to be looked up by times.
    taken = buffer.get_reference_timestamp_meta(clock)
    return {
        "number": number,
        "width": info.width,
        "height": info.height,
        "ntp": taken.timestamp if taken else None,
        "pts": buffer.pts,
    }


def main() -> None:
    """Read until the stream ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--transport", choices=["tcp", "udp"], default="tcp")
    parser.add_argument("--codec", choices=_DECODERS, default="h264")
    options = parser.parse_args()
    Gst.init(None)
    pipeline = Gst.parse_launch(
        f"rtspsrc location={options.url} protocols={options.transport} "
        f"add-reference-timestamp-meta=true ! {_DECODERS[options.codec]} "
        "! appsink name=sink sync=false"
    )
    sink = pipeline.get_by_name("sink")
    clock = Gst.Caps.from_string("timestamp/x-ntp")
    pipeline.set_state(Gst.State.PLAYING)
    while sample := sink.try_pull_sample(_PATIENCE):
        print(json.dumps(says(sample, clock)), flush=True)
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    if message:
        print(message.parse_error(), file=sys.stderr)
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
