"""What aiortc leaves undone: reassembly, loss, decoding."""

import random
from collections.abc import Iterator
from fractions import Fraction

import av
import pytest
from aiortc.rtp import RtpPacket
from peers import number_in, numbered
from webrtc_peers import UUID_OF_TESTS, pictures, sei

from streamcrop.core.values import Frame, Reason
from streamcrop.sources import rtp as module
from streamcrop.sources.rtp import Decoder, Encoded, Reassembly


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


def _packets(chance: random.Random) -> Iterator[tuple[int, RtpPacket]]:
    """Pictures of random sizes as packets, with the number of the picture."""
    number, timestamp = chance.randrange(2**16), chance.randrange(2**32)
    for picture in range(150):
        for part in range(size := chance.choice([1, 1, 3, 10, 40])):
            packet = RtpPacket(sequence_number=number, timestamp=timestamp)
            packet._data = b"%d/%d/%d " % (picture, part, size)
            number = (number + 1) % 2**16
            yield picture, packet
        timestamp = (timestamp + 3000) % 2**32


@pytest.mark.parametrize("seed", range(40))
def test_reassembly_says_what_is_missing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is not flagged is whole and follows the one before; nothing waits for long.

    Packets are lost, come late and in another order; numbers and times wrap.
    """
    chance, clock = random.Random(seed), [0.0]  # no secret
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    loss, jitter = chance.choice([0, 0.01, 0.1]), chance.choice([0, 0.01])
    sent = [(n * 0.002, picture, packet) for n, (picture, packet) in enumerate(_packets(chance))]
    begins = {picture: at for at, picture, _ in reversed(sent)}
    came = []
    for at, _, packet in sent:
        repaired = chance.random() < loss
        if not repaired or chance.random() < 0.7:
            late = chance.uniform(0, 0.7) if repaired else chance.uniform(0, jitter)
            came.append((at + late, packet))
    if seed % 4 == 0:
        del came[len(came) // 2 : len(came) // 2 + 30]
    reassembly, found = Reassembly(), []
    for now, packet in sorted(came, key=lambda each: each[0]):
        clock[0] = now
        reassembly.add(packet)
        found += [(now, *picture) for picture in reassembly.complete]
        reassembly.complete.clear()
    assert len(found) > 10
    first = previous = int(found[0][1].split(b"/")[0])
    # The very first may lack its beginning, which nobody can know: it has to be a key picture.
    for now, data, pts, lost in found[1:]:
        parts = [tuple(map(int, part.split(b"/"))) for part in data.split()]
        picture, _, size = parts[0]
        if not lost:
            assert parts == [(picture, part, size) for part in range(size)]
            assert picture == previous + 1
        assert pts == (picture - first) * 3000
        assert now - begins[picture] < 0.5 + 0.7 + 0.2
        previous = picture
