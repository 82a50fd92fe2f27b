"""From pictures as they came to frames."""

from fractions import Fraction

import av
import pytest
from peers import number_in, numbered
from webrtc_peers import UUID_OF_TESTS, pictures, sei

from streamcrop.core.values import Frame, Reason
from streamcrop.sources.rtp import Decoder, Encoded


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_nothing_is_handed_out_before_a_key_picture(codec: str) -> None:
    """Who joins in the middle, or gets nonsense, gets `corrupt` until the next key picture."""
    decoder = Decoder(read_sei=False, sei_uuid=None)
    found = []
    for number, packet in zip(range(60), pictures(codec, gop=20), strict=False):
        data = b"nonsense" if number == 45 else bytes(packet)
        if number >= 5:
            found.append(decoder(Encoded(codec.lower(), data, number, 0, 0), after_loss=False))
    right = [*range(20, 45)]
    assert [n for n, item in enumerate(found, 5) if isinstance(item, Frame)] == right
    assert {item for item in found if not isinstance(item, Frame)} == {Reason.CORRUPT}
    shown = [number_in(item.pixels.bgr()) for item in found if isinstance(item, Frame)]
    assert shown == right


def test_pictures_that_a_decoder_holds_back_are_never_taken_for_others() -> None:
    """With B-frames, which WebRTC does not know, a frame is right or `corrupt`."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base, encoder.gop_size = Fraction(1, 25), 20
    encoder.options = {"bf": "2", "b-pyramid": "none"}
    coded = []
    for number in range(60):
        picture = av.VideoFrame.from_ndarray(numbered(number, 320, 240), format="bgr24")
        picture.pts = number
        coded += encoder.encode(picture.reformat(format="yuv420p"))
    decoder = Decoder(read_sei=True, sei_uuid=UUID_OF_TESTS)
    items = [
        decoder(Encoded("h264", sei(b"%d" % packet.pts) + bytes(packet), n, 0, 0), after_loss=False)
        for n, packet in enumerate(coded)
    ]
    for item in items:
        if isinstance(item, Frame):
            assert number_in(item.pixels.bgr()) == int(item.sei or -1)
    assert len(items) == len(coded)
