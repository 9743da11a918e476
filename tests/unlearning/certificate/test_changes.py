"""What verification finds: changed bytes, sections, models, signatures."""

import json
import pickle
import runpy
import sys

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from skunlearn._files.digests import START, json_digest
from skunlearn.verify import Certificate, main, verify
from tests.unlearning.certificate.documents import NAMES, reissued, wrong


def test_the_command(saved, monkeypatch, capsys):
    monkeypatch.chdir(saved[0])
    given = ["verify", "two.json", "two.safetensors", "--rows", "rows.npz"]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.modules["skunlearn.verify"].__file__, run_name="__main__")
    printed = capsys.readouterr().out
    assert ended.value.code == 0, printed
    assert "WRONG" not in printed
    assert "the very file two.safetensors" in printed
    assert "none of 3 is retained there; 3 are known as forgotten" in printed


@pytest.mark.parametrize(
    ("certificate", "models", "more", "text"),
    [
        ("one", ["one", "two"], ["--rows", "rows.npz"], None),  # a later version
        ("two", ["one"], [], "an earlier version"),
        ("two", ["two"], ["--rows", "kept.npz"], "2 of 2 are retained there (0, 1)"),
        ("two", ["missing"], [], "No such file"),
        ("missing", [], [], "No such file"),
        ("two", [], ["--rows", "rows.npz"], "pass a model's file"),
        ("two", ["two"], ["--key", "two.json"], "there is none"),
    ],
)
def test_what_the_command_finds(saved, monkeypatch, capsys, certificate, models, more, text):
    monkeypatch.chdir(saved[0])
    code = main([f"{certificate}.json", *(f"{name}.safetensors" for name in models), *more])
    assert code == (0 if text is None else 1)
    printed = capsys.readouterr().out
    assert ("WRONG" in printed) == (text is not None)
    assert text is None or text in printed


def test_pickles_are_not_read(saved, tmp_path):
    folder, _ = saved
    rows = tmp_path / "rows.npz"
    np.savez(rows, X=np.array([[object()]]), allow_pickle=True)
    assert "allow_pickle" in str(wrong(folder / "two.json", folder / "two.safetensors", rows=rows))
    (tmp_path / "m").write_bytes(pickle.dumps({"a": 1}))
    assert "not a whole safetensors" in str(wrong(folder / "two.json", tmp_path / "m"))


def positions_of_bytes(path):
    """One byte of every part of a file: the header, the log in it, each tensor."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    at = {"length": 0, "log": data.index(b"RetrainUnlearner", data.index(b"deletions"))}
    for name, held in header.items():
        begin, end = held.get("data_offsets", (0, 0))
        if end > begin:
            at[name] = 8 + size + begin
    return data, at


def test_a_flipped_byte_is_found_wherever_it_is(saved, tmp_path):
    folder, _ = saved
    data, places = positions_of_bytes(folder / "two.safetensors")
    assert any(name.startswith("net.") for name in places)
    assert any(name.startswith("record.") for name in places)
    for name, position in places.items():
        broken = bytearray(data)
        broken[position] ^= 1
        (tmp_path / "two.safetensors").write_bytes(broken)
        found = wrong(folder / "two.json", tmp_path / "two.safetensors")
        (text,) = found.values()
        assert main([str(folder / "two.json"), str(tmp_path / "two.safetensors")]) == 1
        if name.startswith("net."):
            assert "not those of the certificate" in text
        elif name.startswith("record."):
            assert "not the very file" in text
        assert len(data) == len(broken)
    (tmp_path / "two.safetensors").write_bytes(data[:-1])
    assert "longer or shorter" in str(wrong(folder / "two.json", tmp_path / "two.safetensors"))


def test_old_weights_in_a_new_file(saved, tmp_path):
    """The weights from before the request, under the log of the version after it."""
    folder, _ = saved
    from safetensors import safe_open

    with safe_open(folder / "two.safetensors", framework="pt") as file:
        metadata = file.metadata()
    tensors, old = (load_file(folder / f"{name}.safetensors") for name in ("two", "one"))
    tensors |= {key: value for key, value in old.items() if key.startswith("net.")}
    save_file(tensors, tmp_path / "two.safetensors", metadata=metadata)
    found = wrong(folder / "two.json", tmp_path / "two.safetensors")
    assert "from before request 2" in str(found)


def drop_first(content):
    del content["deletions"][0]


def drop_last(content):
    del content["deletions"][-1]


def swap(content):
    content["deletions"].reverse()


def figure_in_first(content):
    content["deletions"][0]["measured"]["retain_after"]["score"] = 1.0


def figure_in_last(content):
    content["deletions"][-1]["rows"] = 1000


def figure_outside(content):
    content["retained_rows"] += 1


@pytest.mark.parametrize(
    ("change", "section", "chain"),
    [
        (drop_first, "deletions", "entry 1 of 1 does not begin the chain"),
        (drop_last, "deletions", "entry 1, the last, was changed"),
        (swap, "deletions", "entry 1 of 2 does not begin the chain"),
        (figure_in_first, "deletions", "entry 2 of 2 does not fit entry 1"),
        (figure_in_last, "deletions", "entry 2, the last, was changed"),
        (figure_outside, "retained_rows", None),
    ],
)
def test_what_is_changed_is_named(saved, tmp_path, change, section, chain):
    folder, unlearner = saved
    content = unlearner.certificate().to_dict()
    change(content)
    findings = [f for f in verify(Certificate(json.dumps(content))) if not f.ok]
    assert (findings[0].what, findings[0].text) == (f"section {section}", "it was changed")
    if chain is None:
        assert len(findings) == 1
    else:
        assert findings[1].what == "chain of deletions"
        assert chain in findings[1].text
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert main([str(tmp_path / "c.json")]) == 1
    # Whoever issues it anew hides the sections, not the chain, nor that the file's log differs.
    found = wrong(reissued(content), folder / "two.safetensors")
    assert bool(found) == (section == "deletions")


def test_a_signature(forgotten, tmp_path):
    pytest.importorskip("cryptography", reason="needs cryptography")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    def public(key):
        return key.public_key().public_bytes(
            form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
        )

    ours, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    plain = forgotten.certificate()
    signed = plain.sign(ours)
    assert signed.mentions(id=NAMES[0])
    pem = ours.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    assert plain.sign(pem) == signed == signed.sign(ours)
    assert not wrong(signed, public_key=public(ours))
    assert not wrong(signed)
    assert "there is none" in wrong(plain, public_key=public(ours))["signature"]
    assert "not by the owner" in wrong(signed, public_key=public(theirs))["signature"]
    # Issued anew after a change, with the old signature: all but the signature fits.
    content = signed.to_dict()
    figure_outside(content)
    forged = reissued(content).to_dict() | {"signature": content["signature"]}
    forged = Certificate(json.dumps(forged))
    assert not wrong(forged)
    assert list(wrong(forged, public_key=public(ours))) == ["signature"]
    (tmp_path / "public.pem").write_bytes(public(ours))
    signed.save(tmp_path / "c.json")
    assert main([str(tmp_path / "c.json"), "--key", str(tmp_path / "public.pem")]) == 0
    with pytest.raises(TypeError, match="Ed25519"):
        plain.sign("secret")


def test_each_entry_names_the_one_before(forgotten):
    first, second = forgotten.deletions_
    assert first["previous"] == START
    assert second["previous"] == json_digest(first)
