"""The lists of senders that `postern quarantine senders` shows and changes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from installer.box.quarantine import senders
from installer.box.words import parser
from overlays.quarantine.records import Records

ANN = "ann@example.com"


def typed(*more: str) -> argparse.Namespace:
    return parser().parse_args(["quarantine", "senders", ANN, *more])


def test_a_sender_is_on_one_list_at_most(tmp_path: Path) -> None:
    records = Records(tmp_path / "records", tmp_path / "blocked")
    assert senders(records, ANN, typed()) == "Nobody is on a list.\n"
    assert senders(records, ANN, typed("--welcome", "aunt@example.edu")) == "welcome aunt@example.edu\n"
    said = senders(records, ANN, typed("--block", "Aunt@Example.edu", "--json"))
    assert json.loads(said) == {"welcome": [], "block": ["aunt@example.edu"]}
    assert senders(records, ANN, typed("--forget", "AUNT@example.edu")) == "Nobody is on a list.\n"


def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'pest' is not a mail address"):
        senders(Records(tmp_path / "records", tmp_path / "blocked"), ANN, typed("--block", "pest"))
