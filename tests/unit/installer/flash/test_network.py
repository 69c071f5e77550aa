"""An image that a web server gives out: what arrives, whose certificate counts, and what bad servers come to."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from hardware.host.log import Steps
from installer.flash import image as images
from installer.flash import mark, write
from installer.flash.image import Image
from installer.flash.place import Here
from tests.authority import Authority
from tests.unit.installer.flash.conftest import IMAGE_MIB, MIB, content, image_of
from tests.web import Handler, web

NAME = "image.raw.zst"


def flash(image: Image, disk: Path) -> None:
    here = Here()
    here.write(image, here.look(disk, image).candidates[0].target, "this", Steps(write.STEPS))


def refusal(image: Image, disk: Path) -> str:
    """Why a disk was not written to the end; nothing on it starts then, and it says so."""
    with pytest.raises(Refused) as refused:
        flash(image, disk)
    assert mark.read(disk) == "not finished: this"
    assert disk.read_bytes()[510:512] != b"\x55\xaa"
    return str(refused.value)


def test_what_a_server_gives_out_is_what_a_folder_holds(folder: Path, image: Image, disk: Path) -> None:
    with web(folder) as port:
        there = images.load(folder, f"http://127.0.0.1:{port}/{NAME}")
        for one, other in zip(image.blocks(), there.blocks(), strict=True):
            assert (one.at, one.end, one.data) == (other.at, other.end, other.data)
        flash(there.reached(), disk)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()


def test_a_server_without_the_image_is_seen_before_anything_is_written(folder: Path) -> None:
    with web(folder) as port:
        with pytest.raises(Refused, match=r"absent: cannot be fetched: .*404"):
            images.load(folder, f"http://127.0.0.1:{port}/absent").reached()
        with pytest.raises(Refused, match="is no image of Postern"):
            images.load(folder, f"http://127.0.0.1:{port}/manifest.json").reached()
    with pytest.raises(Refused, match="cannot be fetched: .*connect"):
        images.load(folder, f"http://127.0.0.1:{port}/{NAME}").reached()


def test_another_image_than_the_manifests_never_starts(folder: Path, disk: Path, tmp_path: Path) -> None:
    """One that differs in a byte, and one that ends too early, as an upload that was not finished."""
    other = bytearray(content())
    other[4 * MIB] ^= 1
    image_of(bytes(other), tmp_path)
    with web(tmp_path) as port:
        there = images.load(folder, f"http://127.0.0.1:{port}/{NAME}").reached()
        assert "what was read back is not what was written" in refusal(there, disk)
        whole = (folder / NAME).read_bytes()
        (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
        assert "the image ends too early" in refusal(there, disk)


def test_a_server_that_says_no_more_is_not_waited_for(
    folder: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    class Stuck(Handler):
        def do_GET(self) -> None:  # noqa: N802 - its name in Python
            self.send_response(200)
            self.end_headers()
            self.wfile.write((folder / NAME).read_bytes()[: 8 * MIB])
            over.wait(60)

    monkeypatch.setattr(images, "_SILENCE_SECONDS", 1)
    with web(folder, handler=Stuck) as port:
        try:
            said = refusal(images.load(folder, f"http://127.0.0.1:{port}/{NAME}"), disk)
        finally:
            over.set()
    assert "cannot be fetched: curl: (28)" in said


def test_by_https_only_the_authority_that_was_brought_counts(folder: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    names = "subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"
    signed = authority.sign("a server", authority.root, extensions=names)
    mine = shutil.copytree(folder, tmp_path / "image")
    with web(mine, signed) as port:
        url = f"https://127.0.0.1:{port}/{NAME}"
        with pytest.raises(Refused, match="cannot be fetched: .*certificate"):
            images.load(mine, url).reached()
        (mine / images.CA).write_text(authority.between.text)
        with pytest.raises(Refused, match="cannot be fetched: .*certificate"):
            images.load(mine, url).reached()
        (mine / images.CA).write_text(authority.root.text)
        images.load(mine, url).reached()
