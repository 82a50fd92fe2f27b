"""Addresses: what is one, what is a path, and what of them is never repeated."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcrop.addresses import check_path, file_path, has_login, quoted, redacted, server

SECRET = "hunter2"  # noqa: S105  # of these tests
# A mistake in the writing of a camera's or a broker's address.
MISTYPED = (
    "rtsp//me:hunter2@cam/main",
    "rtsp:me:hunter2@cam/main",
    "rtsp;//me:hunter2@cam/main",
    " rtsp://me:hunter2@cam/main",
    "//me:hunter2@cam/main",
    "me:hunter2@10.0.0.1:554/main",
    "rtps://me:hunter2@cam/main",
    "https://me:hunter2@cam/main",
    "rtsp//me:hunter2/x@cam/main",
    "rtsp//cam/main?user=me&password=hunter2",
    "mqtts//me:a:hunter2@broker",
)


@pytest.mark.parametrize("text", MISTYPED)
def test_a_mistyped_address_is_no_path(text: str) -> None:
    """What looks like an address is not taken for a file, and not repeated."""
    with pytest.raises(ValueError, match="scheme") as info:
        check_path(text)
    assert SECRET not in str(info.value)


@pytest.mark.parametrize(
    "text",
    [
        *("clip.mp4", "cam:1.mp4", "a#b.mp4", "a?b.mp4", "50%.mp4", "a b.mp4", "c:\\clip.mp4"),
        *("/data/cam:1@2.mp4", "./me:x@cam/main", "../a:b@c", "/a//b:c@d.mp4", "a@b.mp4", "-"),
        *("rtsp/clip.mp4", "http:video.mp4", "data/10:15:00@gate"),
    ],
)
def test_a_path_has_any_sign(text: str) -> None:
    """A colon, a hash or a question mark make no address, nor anything behind ``./``."""
    check_path(text)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/my%20clip.mp4", "/data/my clip.mp4"),
        ("FILE://localhost/a%23b.mp4", "/a#b.mp4"),
        ("file:///a#b?c.mp4", "/a#b?c.mp4"),
        ("file:a:b.mp4", "a:b.mp4"),
        ("file:/a/%e9.mp4", "/a/\udce9.mp4"),
    ],
)
def test_a_file_url(url: str, path: str) -> None:
    """Escaped signs are read, all others stay; bytes that are no UTF-8 name a file, too."""
    assert file_path(url) == path


@pytest.mark.parametrize("url", ["file:", "file://", "file://data/clip.mp4", "file:///a%00b"])
def test_a_file_url_that_is_none(url: str) -> None:
    """A second slash too few would lose a folder, silently."""
    with pytest.raises(ValueError, match="Expected file:///PATH"):
        file_path(url)


@pytest.mark.parametrize(
    "url",
    [
        *(f"rtsp://cam:p{sign}{SECRET}@127.0.0.1:554/a" for sign in "#/?["),
        *(f"rtsp://cam:1{sign}{SECRET}@127.0.0.1:554/a" for sign in "#/?"),
        *(f"rtsp://c{sign}m:{SECRET}@host/a" for sign in "#/?"),
        *("rtsp:host/a", "rtsp://", "rtsp:///a", "rtsp://me:hunter2@", "rtsp://cam:port/hunter2"),
        *("rtsp://cam:65536/a", f"rtsp://me:{SECRET}@{'a' * 64}/x", "rtsp://me:hunter2\n@host/a"),
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    """Signs that end a name or a password too early are said, and the password is not."""
    with pytest.raises(ValueError, match=r"^Expected rtsp://HOST; signs like / # \?") as info:
        server(url, "rtsp://HOST")
    assert SECRET not in str(info.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("rtsp://cam/main", "cam"),
        ("rtsp://me:p@ss%zz@cam:554/a?b#c", "cam"),
        ("rtsp://[::1]:554/", "::1"),
        ("rtsp://cam:554/live@2", "cam"),
        ("rtsp://cam/user=me&password=x&channel=1", "cam"),
        ("rtsp://my_cam/a b", "my_cam"),
    ],
)
def test_an_address(url: str, host: str) -> None:
    """What works is not refused for its odd signs."""
    assert server(url, "rtsp://HOST").hostname == host


@pytest.mark.parametrize(
    ("text", "left"),
    [
        *((text, "") for text in MISTYPED),
        ("'rtsp://me:hunter2@cam/a': no", "'…@cam/a': no"),
        ('{"url": "rtsp://me:hunter2@cam/a"}', '{"url": "…@cam/a"}'),
        ("Expected mqtt://[USER[:PASSWORD]@]HOST", "Expected mqtt://[USER[:PASSWORD]@]HOST"),
        ("or rtsp://[USER:PASSWORD@]HOST/a", "or rtsp://[USER:PASSWORD@]HOST/a"),
        ("redis://:hunter2@cam", "…@cam"),
        ("(//:hunter2@cam)", "(//…@cam)"),
        ("http://cam/a?token=hunter2&x=1", "http://cam/a?token=…&x=1"),
        ("cam/user=me&Password=hunter2", "cam/user=me&Password=…"),
        ('{"mail": "me@home", "at": "10:15"}', '{"mail": "me@home", "at": "10:15"}'),
        ("12:30:01 the topic a/b@c ended", "12:30:01 the topic a/b@c ended"),
    ],
)
def test_what_is_said_holds_no_login(text: str, left: str) -> None:
    """Of a login in a text its host is left; other signs stay as they are."""
    found = redacted(text)
    assert SECRET not in found
    assert left in {"", found}


WORD = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="@"), min_size=12)
USER = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(USER, WORD, st.sampled_from(["rtsp://", "rtsp//", "//", "", "mqtt:", "open rtsp://"]))
def test_no_password_is_left(user: str, password: str, scheme: str) -> None:
    """Whatever signs it has, and whatever is wrong with the scheme."""
    found = redacted(f"no connection to {scheme}{user}:{password}@host/main, tried again")
    assert password not in found
    assert found.startswith("no connection to ")
    assert found.endswith("@host/main, tried again")


@pytest.mark.parametrize("text", ["@" + "=a:" * 21_000, "//:" * 21_000 + " @", ":" * 63_000 + "@"])
def test_time_grows_with_the_length(text: str) -> None:
    """A topic of 64 KB, as anyone may publish one, does not hold up the others."""
    began = time.thread_time()
    redacted(text)
    assert time.thread_time() - began < 0.3


@pytest.mark.parametrize("text", ["a/b", "site:1/cam@2", "a:b@c", "x//y@z", "/a:b@c", "$share/g/#"])
def test_texts_without_an_address(text: str) -> None:
    """Topics may hold colons and at signs."""
    assert not has_login(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("gif", "'gif'"), ("a b#", "'a b#'"), ("a/b", "'a/b'"), ("x" * 99, f"'{'x' * 79}")),
        *(("me:hunter2", "'…'"), ("hunter2@cam", "'…'")),
    ],
)
def test_what_an_error_quotes(text: str, expected: str) -> None:
    """A text, cut, unless it may be a part of an address."""
    assert quoted(text) == expected


@pytest.mark.parametrize("text", ["mqtt:/me:x@host", "mqtt://me:x@host/a", "x\nrtsp//me:x\n@host"])
def test_texts_with_an_address(text: str) -> None:
    """Slashes before a name and a password make one."""
    assert has_login(text)
