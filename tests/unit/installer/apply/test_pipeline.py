"""Apply: everything or nothing, and only what changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hardware.host import files
from hardware.host.errors import Refused
from hardware.host.log import Steps
from installer.apply import device, health, services, write
from installer.apply.pipeline import apply
from installer.apply.places import Stage
from installer.apply.store import Store, Verdict
from overlays.settings import Secrets, Settings, parse_answers
from tests.unit.installer.apply.conftest import ANSWERS, HASH, PASSWORD, Lab


def test_first_apply_puts_everything_in_force(lab: Lab, settings: Settings, secrets: Secrets, steps: Steps) -> None:
    outcome = apply(lab.box, settings, secrets, "first", steps)
    assert outcome.generation.number == 1
    assert outcome.generation.about.verdict is Verdict.GOOD
    assert "mx1" in (lab.root / "etc/hostname").read_text()
    assert {"postfix", "nftables", "systemd-networkd", "ssh", "chrony"} <= lab.active()
    assert lab.places.stage() is Stage.IN_SERVICE
    assert (lab.places.state / "current").readlink() == Path("generations/0001")
    assert Store(lab.places).load(outcome.generation)[0] == settings
    assert not lab.places.candidate.exists()


def test_second_apply_touches_only_what_changed(
    lab: Lab, settings: Settings, other: Settings, secrets: Secrets, steps: Steps
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    lab.forget_calls()
    outcome = apply(lab.box, other, secrets, "second", steps)
    assert outcome.actions.reloaded == ("postfix.service",)
    assert outcome.actions.restarted == outcome.actions.started == outcome.actions.stopped == ()
    assert all(path.startswith(("etc/postfix/", "etc/postern/")) for path in outcome.changes.all)
    changing = [call for call in lab.calls("systemctl") if " show " not in call]
    assert changing == ["systemctl --no-block --no-ask-password reload postfix.service"]


def test_the_same_settings_again_change_nothing(lab: Lab, settings: Settings, secrets: Secrets, steps: Steps) -> None:
    first = apply(lab.box, settings, secrets, "first", steps)
    kept = Store(lab.places).load(first.generation)[1]
    again = apply(lab.box, settings, kept, "again", steps)
    assert again.changes == write.Changes(frozenset(), frozenset())
    assert again.actions == services.Actions()
    assert again.generation.number == 2


def test_a_service_that_no_port_lets_in_is_stopped(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    outcome = apply(lab.box, parse_answers(ANSWERS.replace("ssh, ", ""), "a"), secrets, "no ssh", steps)
    assert outcome.actions.stopped == ("ssh.service",)
    assert "ssh" not in lab.active()


def test_problems_are_all_told_and_nothing_is_written(lab: Lab, secrets: Secrets, steps: Steps) -> None:
    wrong = ANSWERS.replace("port1:", "port99:").replace("server: 192.0.2.25", "server: 192.0.2.10")
    with pytest.raises(Refused) as refused:
        apply(lab.box, parse_answers(wrong, "a"), secrets, "wrong", steps, source="a")
    text = str(refused.value)
    assert "port99" in text
    assert "the box itself" in text
    assert not lab.places.state.exists()
    assert list((lab.root / "etc").iterdir()) == []


def test_a_parser_that_complains_is_quoted(lab: Lab, settings: Settings, secrets: Secrets, steps: Steps) -> None:
    lab.break_("nft")
    with pytest.raises(Refused, match="nft: nft: line 3: this is wrong"):
        apply(lab.box, settings, secrets, "first", steps)
    assert Store(lab.places).history() == []
    assert list((lab.root / "etc").iterdir()) == []
    assert not lab.places.candidate.exists()


@pytest.mark.parametrize("ill", ["postfix.service", "port-25"])
def test_ill_health_leads_back_to_the_generation_before(
    lab: Lab, settings: Settings, other: Settings, secrets: Secrets, steps: Steps, ill: str
) -> None:
    store = Store(lab.places)
    apply(lab.box, settings, secrets, "first", steps)
    before = snapshot(lab.root / "etc")
    (lab.root / "fake/units/postfix.service").unlink()
    lab.break_(ill)
    with pytest.raises(Refused, match="generation 2 was taken back; generation 1 is in force"):
        apply(lab.box, other, secrets, "second", steps)
    current = store.current()
    assert current is not None
    assert current.number == 1
    assert store.get(2).about.verdict is Verdict.FAILED
    assert snapshot(lab.root / "etc") == before


def test_ill_health_of_the_first_generation_leads_back_to_the_factory(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps
) -> None:
    lab.break_("port-25")
    with pytest.raises(Refused, match="the box is as before its set-up"):
        apply(lab.box, settings, secrets, "first", steps)
    assert Store(lab.places).current() is None
    assert lab.places.stage() is Stage.FACTORY
    assert "postfix" not in lab.active()
    assert lab.calls("systemctl restart postern-fence.service")
    assert not (lab.root / "etc/postfix/main.cf").exists()
    assert (lab.root / "etc/hostname").exists()


@pytest.mark.parametrize("step", ["files", "device", "services", "health"])
def test_a_fault_at_any_step_leads_back(
    lab: Lab,
    settings: Settings,
    other: Settings,
    secrets: Secrets,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    before = snapshot(lab.root / "etc")
    module, name = {
        "files": (write, "install"),
        "device": (device, "ensure"),
        "services": (services, "bring"),
        "health": (health, "problems"),
    }[step]
    real, calls = getattr(module, name), []

    def fail_once(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("the power of this process is gone")
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, fail_once)
    with pytest.raises(RuntimeError, match="power"):
        apply(lab.box, other, secrets, "second", steps)
    current = Store(lab.places).current()
    assert current is not None
    assert current.number == 1
    assert snapshot(lab.root / "etc") == before


def test_two_at_once(lab: Lab, settings: Settings, secrets: Secrets, steps: Steps) -> None:
    with files.locked(lab.places.lock), pytest.raises(Refused, match="another change is being applied"):
        apply(lab.box, settings, secrets, "second", steps)


def test_no_password_anywhere(lab: Lab, settings: Settings, secrets: Secrets, steps: Steps) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    steps.stream.flush()
    assert (lab.root / "fake/stdin").read_text() == f"{PASSWORD}\n"
    assert PASSWORD not in lab.everything_written()
    assert PASSWORD not in Path(steps.stream.name).read_text()
    stored = lab.places.state / "generations/0001/secrets.yaml"
    assert HASH in stored.read_text()
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert HASH not in (lab.root / "fake/log").read_text()
    assert HASH not in (stored.parent / "about.json").read_text()


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder, with its mode and text."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_text(),
        )
        for path in folder.rglob("*")
        if not path.is_dir()
    }
