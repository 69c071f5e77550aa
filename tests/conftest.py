"""What the lanes share: the cache, the archive, and what a build makes: the root file system, and whole images."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

from hardware import profile as profiles
from hardware.host.files import default_cache
from hardware.host.log import Steps
from images import archive as archive_module
from images import pipeline, recipe, tools
from images.archive import Archive
from images.steps import rootfs as rootfs_step
from images.steps import tree as tree_step
from images.steps.rootfs import RootFilesystem
from images.steps.squash import Level
from images.steps.tree import Tree
from images.store import Store
from images.tools import Tools
from tests.peers import Peers, browser_tree, libvirt_tree, peers_tree

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

# Minutes each, most of it waiting for one box: begun first, so that no core idles at the end of a run.
LONGEST = (
    *("machine/test_power.py", "machine/test_setup.py", "machine/test_medium_uefi.py", "machine/test_medium.py"),
    *("machine/test_transparent.py", "machine/test_boot.py", "machine/test_flash_ssh.py"),
    *("machine/test_network_boot.py", "container/test_hardening.py", "container/test_conformance.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((at for at, name in enumerate(LONGEST) if item.path.match(name)), len(LONGEST)))


class Mixed(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Half of the workers take emulated boxes first, which keep a core busy; the others what mostly waits."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._with_boxes: set[WorkerController] = set()

    def _assign_work_unit(self, node: WorkerController) -> None:
        self._with_boxes &= set(self.nodes)
        if len(self._with_boxes) < max(1, self.numnodes // 2):
            self._with_boxes.add(node)
        wanted = node in self._with_boxes
        scope = next((one for one in self.workqueue if ("/machine/" in one) is wanted), next(iter(self.workqueue)))
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Mixed:
    return Mixed(config, log)


def pytest_configure() -> None:
    """A shell that starts us in the background has us ignore Ctrl-C, and what we start inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mirror", default=os.environ.get("POSTERN_MIRROR", ""), help="the Debian archive")
    parser.addoption(
        "--security-mirror", default=os.environ.get("POSTERN_SECURITY_MIRROR", ""), help="its security one"
    )


@pytest.fixture(scope="session")
def store() -> Store:
    """The builder's own cache: what a build made is not made again."""
    return Store(default_cache())


@pytest.fixture(scope="session")
def archive(request: pytest.FixtureRequest) -> Archive:
    mirrors = (str(request.config.getoption(option)) for option in ("--mirror", "--security-mirror"))
    return archive_module.reached(recipe.load("appliance").suite, *mirrors)


@pytest.fixture(scope="session")
def toolbox(store: Store, archive: Archive) -> Tools:
    """The tools tree: the emulator and the assembly tools."""
    return tools.tools_tree(store, archive)


@pytest.fixture(scope="session")
def rootfs(store: Store, archive: Archive) -> RootFilesystem:
    """The root file system before ours is laid over it."""
    return rootfs_step.root_filesystem(store, recipe.load("appliance"), archive)


@pytest.fixture(scope="session")
def tree(store: Store, rootfs: RootFilesystem) -> Tree:
    """The complete root as a folder. Read it only: its files are hard links shared with the cache."""
    return tree_step.tree(store, rootfs, pipeline.product_version())


@pytest.fixture(scope="session")
def peers(store: Store, archive: Archive) -> Peers:
    """The programs that the box is tested with."""
    return peers_tree(store, archive)


@pytest.fixture(scope="session")
def virtinst(store: Store, archive: Archive) -> Peers:
    """What reads descriptions of virtual machines."""
    return libvirt_tree(store, archive)


@pytest.fixture(scope="session")
def chromium(store: Store, archive: Archive) -> Peers:
    """The browser that the box's pages are looked at with."""
    return browser_tree(store, archive)


@pytest.fixture(scope="session")
def image(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds the image of a profile as `build.py build` does, once."""
    out = tmp_path_factory.mktemp("out")

    def made(profile: str) -> Path:
        if not (out / profile).is_dir():
            appliance = recipe.load("appliance")
            plan = pipeline.Plan(appliance, profiles.load(profile), Level.DEVELOPMENT, archive, out)
            pipeline.build(plan, default_cache(), Steps(pipeline.STEPS))
        return out / profile

    return made
