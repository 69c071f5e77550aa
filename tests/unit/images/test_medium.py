"""The slot taken out of an image, and what a medium is made of as files. That it starts is for the machine tests."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.host import run
from hardware.host.errors import Refused
from images import manifest, recipe
from images.manifest import Artefact, Manifest
from images.steps import layout, media, unpack
from images.steps.unpack import Unpacked
from images.tools import Tools

Program = Callable[[str, str], None]
IMAGES = Path(media.__file__).parents[1]
TABLE = layout.layout(recipe.load("appliance").layout)
SLOT, ROOT = b"slot" * 3000 + bytes(288), b"root" * 5000 + bytes(480)


@pytest.fixture
def image(tmp_path: Path, described: Manifest, tools: Tools, program: Program) -> Path:
    """An image's folder; its tools unpack a disk with a slot and a root on it, and both unsquash to three files."""
    folder = tmp_path / "out/vm-bios"
    folder.mkdir(parents=True)
    raw = tmp_path / "raw"
    with raw.open("wb") as disk:
        for name, content in (("boot-a", SLOT), ("root-a", ROOT)):
            disk.seek(TABLE[name].start)
            disk.write(content)
        disk.truncate(TABLE["boot-b"].start)
    program("zstd", f"exec cat {raw}")
    program(
        "unsquashfs", 'while [ "$1" != -dest ]; do shift; done; mkdir -p "$2"; cd "$2"; touch vmlinuz initrd slot.cfg'
    )
    names = ("image.raw.zst", "image.raw.bmap")
    for name in names:
        (folder / name).touch()
    digests = {"boot_sha256": hashlib.sha256(SLOT).hexdigest(), "root_sha256": hashlib.sha256(ROOT).hexdigest()}
    artefacts = tuple(Artefact(name=name, bytes=0, sha256="") for name in names)
    found = described.model_copy(update={**digests, "artefacts": artefacts})
    (folder / manifest.NAME).write_text(manifest.write(found))
    return folder


def test_the_slot_is_what_was_put_into_the_image(image: Path, tools: Tools, tmp_path: Path) -> None:
    found = unpack.unpack(image, manifest.load(image), TABLE, tmp_path, tools)
    assert found.root.read_bytes() == ROOT
    assert sorted(path.name for path in found.boot.iterdir()) == ["initrd", "slot.cfg", "vmlinuz"]
    (found.boot / "slot.cfg").write_text('set version="1.2.3"\nset arguments="quiet console=tty0"\n')
    assert found.facts == {"version": "1.2.3", "arguments": "quiet console=tty0"}


def test_an_image_that_is_not_the_manifests_is_refused(image: Path, tools: Tools, tmp_path: Path) -> None:
    other = manifest.load(image).model_copy(update={"root_sha256": "0" * 64})
    with pytest.raises(Refused, match=r"image.raw.zst: is not what the manifest says"):
        unpack.unpack(image, other, TABLE, tmp_path, tools)


def test_what_a_network_serves(tools: Tools, program: Program, tmp_path: Path) -> None:
    """The initrd has what was brought along; both scripts say the same of the kernel, and no mark is left in them."""
    top, boot = tmp_path / "tree", tmp_path / "slot"
    for name in ("root.img", "image/image.raw.zst", "boot/vmlinuz", "boot/initrd", "start", "console"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    for name in ("code", "bin", "system", "boot/grub"):
        (top / name).mkdir()
    (top / "boot/grub/console.cfg").write_text("terminal_output serial\n")
    boot.mkdir()
    (boot / "slot.cfg").write_text('set roothash="12"\nset hashoffset="34"\nset arguments="quiet"\n')
    program("cpio", "cat")  # the names
    program("curl", "")
    program("grub-mkimage", 'while [ "$1" != -o ]; do shift; done; echo "$*" >"$2"')
    for brought in ("rules", "ca"):
        (tmp_path / brought).touch()
    inside = media.Brought(rules=tmp_path / "rules", ca=tmp_path / "ca")
    made = media.network(tmp_path, top, Unpacked(tmp_path / "root", boot), inside, tmp_path / "network", tools)
    names = ["boot.ipxe", "grub.0", "grub.cfg", "grubx64.efi", "image.raw.zst", "initrd", "vmlinuz"]
    assert sorted(path.name for path in made.iterdir()) == names
    packed = (made / "initrd").read_text().splitlines()
    assert {"medium/install.yaml", "medium/image/ca.pem", "medium/root.img", "storage"} <= set(packed)
    for name in ("boot.ipxe", "grub.cfg"):
        text = (made / name).read_text()
        assert "roothash=12 hashoffset=34 quiet postern.image=" in text
        assert "@" not in text
    assert "\nterminal_output serial\n" in (made / "grub.cfg").read_text()
    assert {"efinet", "tftp", "http", "linux", "regexp"} <= set((made / "grubx64.efi").read_text().split())
    assert {"pxe", "tftp", "http", "linux", "regexp"} <= set((made / "grub.0").read_text().split())


def test_the_code_on_the_medium_is_all_that_it_runs(tmp_path: Path) -> None:
    """Nothing is wanted of what else lies in this folder."""
    media.copy(media.CODE, tmp_path)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    program += "from installer.medium import console\n"
    program += "from installer.wizard.console import choose; choose('full'); choose('plain')\n"
    program += "from hardware import profile; profile.load_all()"
    run.run([sys.executable, "-I", "-c", program])


def test_the_initrd_has_what_the_mediums_file_wants_of_it() -> None:
    """It is read in by an `init` that was written for a disk's, among the few programs that a disk's takes."""
    initrd = IMAGES / "elements/initrd"
    packed = (initrd / "post-install.d/50-initrd").read_text()
    folders = (initrd, IMAGES / "media/initrd", IMAGES / "media/network/initrd")
    scripts = [(folder / "storage").read_text() for folder in folders]
    called = set(re.findall(r"^\w+$", (initrd / "init").read_text(), re.MULTILINE))
    for script in scripts:
        assert called & set(re.findall(r"^(\w+)\(\) \{", script, re.MULTILINE)) == {"find_root", "mount_data"}
    for name in ("blkid", "cat", "cp", "losetup", "mkdir", "modprobe", "mount", "rm", "sort", "usleep", "xargs"):
        assert re.search(rf"\b{name}\b", "".join(scripts[1:]))
        assert re.search(rf"\b{name}\b", packed)
