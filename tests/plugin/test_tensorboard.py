"""fairseq's --tensorboard-logdir gets the terms of our criterion and the xsim of validations."""

import struct

import pytest
from tiny_data import train

events = pytest.importorskip("tensorboardX.proto.event_pb2", reason="tensorboardX is not installed")


def scalars(folder):
    """{tag: {step: value}} of the event files of a folder; a record is a length, its checksum, the event, its checksum."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            event = events.Event.FromString(content[place + 12 : place + 12 + size])
            place += 12 + size + 4
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_events_are_written(data, tmp_path):
    _, inner, valid = train(data, tmp_path / "run", 6, "--tensorboard-logdir", str(tmp_path / "events"))
    assert {path.name for path in (tmp_path / "events").iterdir()} == {"train", "train_inner", "valid"}
    logged = scalars(tmp_path / "events" / "train_inner")
    assert {"loss", "distil_loss", "mlm_loss", "distil_loss_aaa", "lr"} <= set(logged)
    # The log rounds to three decimals.
    assert logged["distil_loss"][6] == pytest.approx(float(inner[6]["distil_loss"]), abs=1e-3)
    judged = scalars(tmp_path / "events" / "valid")
    assert {"xsim", "xsim_aaa", "xsim_ratio", "mean_cosine"} <= set(judged)
    last = max(judged["xsim"])
    assert judged["xsim"][last] == pytest.approx(float(valid[-1]["valid_xsim"]), abs=0.01)
