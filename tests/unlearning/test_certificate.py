"""The certificate: a record that an auditor can verify, usable part by part."""

import copy
import json
import pickle
import runpy
import sys
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn._files.canonical import START, json_digest
from skunlearn._unlearning.certificate.document import issue
from skunlearn._unlearning.certificate.letters import DISCLAIMER
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn.evaluation import audit
from skunlearn.exceptions import AlreadyForgottenError
from skunlearn.metrics import MIAScorer
from skunlearn.verify import Certificate, assert_excluded, main, schema, verify
from tests.instances import all_instances

KEY = b"a secret of the user's own"
NAMES = [f"person-{i}" for i in range(150)]


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X)))


def plain_net(**params):
    return NeuralNetClassifier(
        Plain, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, train_split=None, **params
    )


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def forgotten(iris):
    """Two requests to an unlearner around scikit-learn's logistic regression."""
    X, y = iris
    unlearner = RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0)
    unlearner.fit(X[::2], y[::2], ids=NAMES[:75])
    return unlearner.unlearn(ids=NAMES[:20:2]).unlearn(ids=NAMES[50:53])


@pytest.fixture(scope="module")
def saved(iris, tmp_path_factory):
    """A net, its file after one and after two requests, and a certificate of each."""
    X, y = iris
    folder = tmp_path_factory.mktemp("saved")
    unlearner = RetrainUnlearner(plain_net(), random_state=0).fit(X, y, ids=NAMES)
    unlearner.save(folder / "zero.safetensors")
    for name, ids in (("one", NAMES[:3]), ("two", NAMES[70:72])):
        unlearner.unlearn(ids=ids).save(folder / f"{name}.safetensors")
        unlearner.certificate().save(folder / f"{name}.json")
    np.savez(folder / "rows.npz", X=X[:3], ids=np.array(NAMES[:3]))
    np.savez(folder / "kept.npz", X=X[100:102])
    return folder, unlearner


def wrong(*args, **kwargs):
    """What `verify` finds wrong: text by what was looked at."""
    return {f.what: f.text for f in verify(*args, **kwargs) if not f.ok}


def reissued(content):
    return issue(content)


# ---------------------------------------------------------------------- the object


def test_a_certificate_is_text_and_mapping(forgotten, tmp_path, capsys):
    certificate = forgotten.certificate()
    assert json.loads(certificate) == certificate.to_dict()
    assert certificate["retained_rows"] == 62
    assert dict(certificate) == certificate.to_dict()
    assert certificate.get("nothing", 3) == 3
    assert certificate[:1] == "{"
    certificate.print()
    assert capsys.readouterr().out == certificate + "\n"
    certificate.save(tmp_path / "c.json")
    again = Certificate.read(tmp_path / "c.json")
    assert again.to_dict() == certificate.to_dict()
    assert pickle.loads(pickle.dumps(certificate)) == certificate
    assert copy.copy(certificate) == certificate == certificate.to_json()
    for text in ("no json", "[]", "{}"):
        with pytest.raises(ValueError, match="no certificate"):
            Certificate(text)


def test_the_schema_holds(forgotten, saved):
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    request = {"id": "t", "state": "refused", "reason": "not theirs"}
    for certificate in (
        forgotten.certificate(request=request),
        saved[1].certificate(),
        RetrainUnlearner(GaussianNB()).fit([[0.0], [1.0]], [0, 1]).certificate(),
    ):
        assert list(validator.iter_errors(certificate.to_dict())) == []
    broken = forgotten.certificate().to_dict()
    del broken["deletions"][0]["previous"]
    assert [e.message for e in validator.iter_errors(broken)] == [
        "'previous' is a required property"
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c.pop("model"), "has no entry 'model'"),
        (lambda c: c.update(schema_version=99), "schema_version of the certificate must be 1"),
        (lambda c: c["deletions"][1].update(rows="many"), "rows of entry 2 of deletions"),
    ],
)
def test_other_forms_are_refused(forgotten, change, text):
    content = forgotten.certificate().to_dict()
    change(content)
    (found,) = wrong(reissued(content)).values()
    assert text in found


def test_documents_of_older_versions_are_read(tmp_path):
    old = {
        "skunlearn": "0.0.1",
        "guarantee": "none",
        "scope": "The model.",
        "notes": [],
        "deletions": [{"when": "2025-01-01T00:00:00+00:00", "method": "Old", "rows": 3}],
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    certificate = Certificate.read(tmp_path / "old.json")
    assert certificate["deletions"][0]["rows"] == 3
    assert "3 records" in certificate.as_format("letter")
    assert "written by a version that put no digests" in wrong(certificate)["certificate"]


# ---------------------------------------------------------------------- 1. the request


def test_the_request(forgotten):
    request = {"id": "ticket-7", "subject": "ab12", "received": "2026-01-02", "state": "applied"}
    request |= {"done": "2026-01-03", "deadline": "2026-02-01"}
    certificate = forgotten.certificate(request=request)
    assert certificate["request"].items() >= request.items()
    assert not wrong(certificate)
    for given, error, text in (
        ({"id": "x"}, ValueError, "'state'"),
        ({"id": "x", "state": "delayed"}, ValueError, "needs a 'reason'"),
        ({"id": "x", "state": "applied", "name": "Ada"}, TypeError, "unknown entries"),
        ({"id": "x", "state": "applied", "done": 3}, TypeError, "must be text"),
        ("ticket", TypeError, "must be a dict"),
    ):
        with pytest.raises(error, match=text):
            forgotten.certificate(request=given)


# ---------------------------------------------------------------------- 2. weights and files


def test_weights_before_and_after(saved, forgotten):
    _, unlearner = saved
    for fitted in (unlearner, forgotten):
        certificate = fitted.certificate()
        first, second = (entry["weights"] for entry in certificate["deletions"])
        assert first["digest"] == second["before"] != second["digest"]
        assert certificate["model"]["weights"]["digest"] == second["digest"]
        assert certificate["model"]["version"] == 2
    assert "LogisticRegression" in first["of"]
    assert saved[1].certificate()["model"]["file"]["name"] == "two.safetensors"


def test_the_digest_is_of_weights_alone(saved, tmp_path):
    """Not of their order in the file, and of each name, dtype, shape and byte."""
    folder, _ = saved
    tensors = load_file(folder / "two.safetensors")
    plain = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
    changes = {
        "same": dict(reversed(plain.items())),
        "module": {k.removeprefix("module."): v for k, v in plain.items()},
        "renamed": {k.replace("weight", "height"): v for k, v in plain.items()},
        "widened": {k: v.double() for k, v in plain.items()},
        "reshaped": {k: v[None] for k, v in plain.items()},
        "less": dict(list(plain.items())[1:]),
    }
    for name, held in changes.items():
        save_file(held, tmp_path / f"{name}.safetensors")
        found = wrong(folder / "two.json", tmp_path / f"{name}.safetensors")
        assert bool(found) == (name not in ("same", "module")), name


def test_every_dtype_has_the_same_digest_in_memory_and_file(tmp_path):
    from skunlearn._files.weight_digests import digest_of_lines, file_digests, torch_line

    kinds = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64"
    kinds += " float8_e4m3fn float8_e5m2"
    tensors = {k: torch.arange(6.0).reshape(2, 3).to(getattr(torch, k)) for k in kinds.split()}
    tensors |= {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3)}
    del tensors["complex64"]  # a file may hold it from safetensors 0.5 on
    save_file(tensors, tmp_path / "t.safetensors")
    ours = digest_of_lines([torch_line(name, value) for name, value in tensors.items()])
    assert file_digests(tmp_path / "t.safetensors")["names as in the file"] == ours


@pytest.mark.parametrize("unlearner", all_instances(), ids=lambda u: type(u).__name__)
def test_the_digest_of_every_kind_of_model(unlearner):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 6)).astype(np.float32)
    y = np.arange(24) % 2
    if not hasattr(unlearner.estimator, "classes") and "Ridge" in type(unlearner).__name__:
        y = y * 1.0
    model = unlearner.estimator
    if type(model).__module__.startswith("skorch"):
        return  # `test_weights_before_and_after`
    model = copy.deepcopy(model).fit(X, y)
    digest = model_digest(model)["digest"]
    assert model_digest(pickle.loads(pickle.dumps(model)))["digest"] == digest
    other = copy.deepcopy(model).fit(X[3:], y[3:])
    assert model_digest(other)["digest"] != digest


def test_a_model_that_was_changed_afterwards(iris):
    X, y = iris
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[3])
    assert unlearner.certificate()["notes"] == []
    unlearner.estimator_.theta_[0, 0] += 1
    assert "changed since" in unlearner.certificate()["notes"][0]


# ---------------------------------------------------------------------- the command


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


# ---------------------------------------------------------------------- 8. an adversary


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


# ---------------------------------------------------------------------- 3. derived artefacts


def test_artefacts_of_the_user(forgotten):
    unlearner = copy.copy(forgotten)
    given = [
        {"what": "EMA copy", "state": "retrained", "detail": "on 3 May"},
        {"what": "distilled child", "state": "still there"},
    ]
    unlearner.record(derived=given).record(
        derived=[{"what": "distilled child", "state": "deleted"}]
    )
    found = {d["what"]: d for d in unlearner.certificate()["derived"]}
    assert found["EMA copy"]["state"] == "retrained"
    assert found["distilled child"]["state"] == "deleted"
    assert {d["by"] for d in found.values()} == {"declared"}
    assert forgotten.certificate()["derived"] == []
    for bad, error in (
        ([{"what": "x", "state": "gone"}], ValueError),
        ([{"state": "deleted"}], TypeError),
        ([{"what": "x", "state": "deleted", "rows": 3}], TypeError),
    ):
        with pytest.raises(error, match=r"derived\[0\]"):
            unlearner.record(derived=bad)


def test_artefacts_that_skunlearn_wrote(iris, tmp_path):
    X, y = iris
    net = plain_net(callbacks=[Checkpoint(dirname=str(tmp_path / "ours"), monitor=None)])
    unlearner = RetrainUnlearner(net, random_state=0, memory=str(tmp_path / "cache")).fit(X, y)
    (tmp_path / "versions").mkdir()
    for name in ("a", "b", "c"):
        unlearner.save(tmp_path / "versions" / name)
    (tmp_path / "versions" / "b").unlink()
    unlearner.unlearn(indices=[3]).save(tmp_path / "versions" / "c")
    found = {d["what"]: d["state"] for d in unlearner.certificate()["derived"]}
    assert found["cache at memory"] == "deleted"
    assert found["file a of version 0"] == "still there"
    assert found["file b of version 0"] == "deleted"
    assert found["file c of version 0"] == "retrained"
    assert found["checkpoint params.pt"] == "still there"
    assert {d["by"] for d in unlearner.certificate()["derived"]} == {"skunlearn"}
    # Elsewhere nothing is known of these files.
    loaded = pickle.loads(pickle.dumps(unlearner))
    found = {d["what"]: d["state"] for d in loaded.certificate()["derived"]}
    assert found["file a of version 0"] == "unknown"
    (tmp_path / "versions" / "a").unlink()
    (tmp_path / "ours" / "params.pt").unlink()
    found = {d["what"]: d["state"] for d in unlearner.certificate()["derived"]}
    assert found["file a of version 0"] == found["checkpoint params.pt"] == "deleted"


# ---------------------------------------------------------------------- 4. and 5. findings


def test_what_was_measured_joins(forgotten, iris):
    X, y = iris
    unlearner = copy.copy(forgotten)
    assert "Nor has an audit" not in unlearner.certificate()["guarantee_in_words"]["text"]
    unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X[::2], y[::2])
    with pytest.raises(ValueError, match="not forgotten anything"):
        unlearner.record(audit={"auc": 0.5})
    unlearner.unlearn(indices=range(0, 75, 3))
    report = audit(unlearner, X[1::2], y[1::2], n_seeds=2)
    attack = MIAScorer(per_class=True).measure(unlearner, X[1::2], y[1::2])
    unlearner.record(audit=[report, attack])
    certificate = unlearner.certificate()
    first, second = certificate["verification"]
    assert (first["kind"], second["kind"]) == ("Report", "MembershipInference")
    figures = first["found"]["figures"]
    assert len(figures) == len(report.frame)
    assert {"value", "low", "high", "reference"} <= set(figures[0])
    assert {f["metric"] for f in figures} == set(report.frame["metric"])
    assert set(first["found"]["worst_rows"]) == set(report.curves)
    assert set(second["found"]["scores"]) == set(attack.scores)
    assert second["found"]["difference"]["low"] == attack.difference.low
    assert set(second["found"]["per_class"]) == {str(k) for k in attack.per_class}
    assert second["previous"] == json_digest(first)
    assert first["deletion"] == json_digest(certificate["deletions"][-1])
    assert not wrong(certificate)
    # A record that is dropped, or about another log, is found though all is sealed again.
    content = certificate.to_dict()
    del content["verification"][0]
    assert "chain of verification" in wrong(reissued(content))
    content = certificate.to_dict()
    content["verification"][1]["deletion"] = START
    assert "not in this log" in wrong(reissued(content))["chain of verification"]
    for bad in (X, {"rows": X}, "fine"):
        with pytest.raises(TypeError):
            unlearner.record(audit=bad)
    assert unlearner.certificate() == certificate


def test_records_go_into_pickles_and_files(saved, tmp_path):
    _, unlearner = saved
    unlearner = copy.copy(unlearner).record(audit={"auc": 0.5})
    again = pickle.loads(pickle.dumps(unlearner))
    assert again.certificate()["verification"] == unlearner.certificate()["verification"]
    unlearner.save(tmp_path / "model")
    loaded = RetrainUnlearner(plain_net(), random_state=0).load(tmp_path / "model")
    ours, theirs = (model.certificate().to_dict() for model in (unlearner, loaded))
    for content in (ours, theirs):
        del content["derived"], content["integrity"]  # it knows of no other files
    assert ours == theirs
    assert loaded.certificate().mentions(id=NAMES[0])


def test_mentions(forgotten, iris, tmp_path):
    X, _ = iris
    certificate = forgotten.certificate()
    certificate.save(tmp_path / "c.json")
    read = Certificate.read(tmp_path / "c.json")
    for id, gone in ((NAMES[0], True), (NAMES[51], True), (NAMES[1], False), ("nobody", False)):
        assert certificate.mentions(id=id) is gone
        assert read.mentions(id=id, key=forgotten.log_key()) is gone
    rows = X[::2][[0, 1, 51]]
    assert certificate.mentions(X=rows).tolist() == [True, False, True]
    assert certificate.mentions(X=rows.astype(float).tolist()).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="log_key"):
        read.mentions(id=NAMES[0])
    with pytest.raises(ValueError, match="positions"):
        certificate.mentions(index=3)
    with pytest.raises(TypeError, match="exactly one"):
        certificate.mentions()
    assert pickle.loads(pickle.dumps(certificate))._key is None


def test_the_guarantee_in_words(forgotten, iris):
    X, y = iris
    words = forgotten.certificate()["guarantee_in_words"]
    assert "retrained without the rows" in words["text"]
    assert "older version" in words["against"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tuned = FineTuneUnlearner(plain_net(), max_epochs=1).fit(X, y).unlearn(indices=[3])
    words = tuned.certificate()["guarantee_in_words"]
    assert "not proved" in words["text"]
    assert "Nor has an audit been recorded" in words["text"]
    assert "Nobody by proof" in words["against"]
    words = tuned.record(audit={"auc": 0.5}).certificate()["guarantee_in_words"]
    assert "Nor has" not in words["text"]


# ---------------------------------------------------------------------- 7. what must not come back


def test_digests_of_the_log_are_keyed(iris):
    """A guess cannot be tested by who has the log alone, and two logs cannot be joined."""
    X, y = iris

    def log():
        unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X, y)
        return unlearner, unlearner.unlearn(X[:3]).deletions_[0]

    (first, one), (_, other) = log(), log()
    assert one["identifiers_digest"] != other["identifiers_digest"]
    assert one["forgotten"]["rows"] != other["forgotten"]["rows"]
    assert first.log_key().hex() not in first.certificate()
    with pytest.raises(AlreadyForgottenError):  # the record recognises them all the same
        first.detach().attach(X, y)


def test_exclusion(forgotten, iris):
    X, _ = iris
    X, gone = X[::2], [*range(0, 20, 2), 50, 51, 52]
    manifest = json.loads(json.dumps(forgotten.exclusion_manifest(KEY)))
    assert manifest["n_forgotten"] == 13
    kept = np.setdiff1d(np.arange(75), gone)
    others = [i for i in kept if not (X[i] == X[gone]).all(axis=1).any()]
    assert_excluded(X[others], manifest, KEY, ids=[NAMES[i] for i in kept])
    with pytest.raises(AlreadyForgottenError, match=r"rows of X .* \(1\)"):
        assert_excluded(X[[others[0], 50]], manifest, KEY)
    # A backup in another dtype, with another label.
    with pytest.raises(AlreadyForgottenError):
        assert_excluded(X[[50]].astype(np.float64), manifest, KEY)
    with pytest.raises(AlreadyForgottenError, match=r"ids .* \(0\)"):
        assert_excluded(ids=[NAMES[51]], manifest=manifest, key=KEY)
    with pytest.raises(ValueError, match="key is not the one"):
        assert_excluded(X, manifest, KEY + b"!")
    with pytest.raises(TypeError, match="16 at least"):
        forgotten.exclusion_manifest(b"short")
    with pytest.raises(TypeError, match="Pass what"):
        assert_excluded(manifest=manifest, key=KEY)
    with pytest.raises(ValueError, match="manifest must be"):
        assert_excluded(X, {}, KEY)
    other = forgotten.exclusion_manifest(KEY[::-1])
    assert other["rows"] != manifest["rows"]


# ---------------------------------------------------------------------- 9. words


def test_letter_and_page(forgotten):
    request = {"id": "<b>7</b>", "state": "delayed", "reason": "more rows are needed"}
    request["next"] = "It is tried again."
    letter = forgotten.certificate(format="letter", request=request)
    assert "It is delayed" in letter
    assert "more rows are needed" in letter
    assert "It is tried again." in letter
    assert "forget 13 records" not in letter  # that was done for others
    letter = forgotten.certificate(format="letter")
    assert "forget 13 records" in letter
    assert "Against whom" in letter
    page = forgotten.certificate(format="html", request=request)
    assert "&lt;b&gt;7" in page
    assert "<b>7" not in page
    for text in (letter, page):
        assert "no legal advice" in DISCLAIMER
        assert DISCLAIMER in text
        assert "No authority has endorsed approximate unlearning" in text
    with pytest.raises(ValueError, match="format must be"):
        forgotten.certificate(format="pdf")


def test_questions_do_not_change_the_digest_of_a_tree_of_neighbours():
    X = np.random.default_rng(0).normal(size=(300, 3))
    for algorithm in ("kd_tree", "ball_tree"):
        model = KNeighborsRegressor(algorithm=algorithm).fit(X, X[:, 0])
        before = model_digest(model)
        model.predict(X + 0.01)
        assert model_digest(model) == before
        assert model_digest(clone(model).fit(X + 1e-9, X[:, 0])) != before
