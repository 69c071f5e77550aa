"""The manifest of a finished image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hardware.host.files import digest
from hardware.profile import HardwareProfile
from images.manifest import Artefact, Manifest, Package
from images.recipe import Recipe
from images.steps.rootfs import RootFilesystem
from images.steps.squash import Level, VerifiedRoot


def manifest(
    recipe: Recipe,
    profile: HardwareProfile,
    level: Level,
    version: str,
    rootfs: RootFilesystem,
    root: VerifiedRoot,
    slot: Path,
    raw: Path,
    artefacts: tuple[Path, ...],
) -> Manifest:
    """What the image says of itself; `compatible` is what an update for this box has to say too."""
    described = (raw, root.path, slot, *artefacts)
    with ThreadPoolExecutor() as pool:
        digests = dict(zip(described, pool.map(digest, described), strict=True))
    return Manifest(
        format=1,
        product="postern",
        version=version,
        compatible=f"postern-{profile.id}",
        profile=profile.id,
        suite=recipe.suite,
        level=level.value,
        disk_bytes=raw.stat().st_size,
        disk_sha256=digests[raw],
        root_hash=root.root_hash,
        root_sha256=digests[root.path],
        boot_sha256=digests[slot],
        artefacts=tuple(Artefact(name=a.name, bytes=a.stat().st_size, sha256=digests[a]) for a in artefacts),
        packages=tuple(Package(name=n, version=v, architecture=a) for n, v, a in rootfs.packages),
    )
