"""The certificate: a record that an auditor can read, usable part by part."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Checkpoint, TrainEndCheckpoint

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn._files.digests import START, json_digest
from skunlearn._unlearning.certificate.letters import DISCLAIMER
from skunlearn.evaluation import audit
from skunlearn.exceptions import AlreadyForgottenError
from skunlearn.metrics import MIAScorer
from skunlearn.verify import Certificate, assert_excluded, schema
from tests.instances import make_net
from tests.unlearning.certificate.documents import KEY, NAMES, plain_net, reissued, wrong


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


def test_checkpoints_of_nets_inside_of_other_estimators(iris, tmp_path, monkeypatch):
    X, y = iris
    monkeypatch.chdir(tmp_path)  # where a callback writes that is given as a class
    net = plain_net(callbacks=[Checkpoint(dirname="ours", monitor=None)])
    inside = make_pipeline(StandardScaler(), net)
    unlearner = RetrainUnlearner(inside, random_state=0).fit(X, y).unlearn(indices=[3])
    assert (tmp_path / "ours" / "params.pt").exists()  # of the net that knew the row
    found = {d["what"]: d["state"] for d in unlearner.certificate()["derived"]}
    assert found["checkpoint params.pt"] == "still there"
    by_class = RetrainUnlearner(plain_net(callbacks=[TrainEndCheckpoint]), random_state=0)
    by_class.fit(X, y).unlearn(indices=[3])
    found = {d["what"]: d["state"] for d in by_class.certificate()["derived"]}
    assert found["checkpoint train_end_params.pt"] == "still there"
    (tmp_path / "train_end_params.pt").unlink()
    found = {d["what"]: d["state"] for d in by_class.certificate()["derived"]}
    assert found["checkpoint train_end_params.pt"] == "deleted"


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


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_nobody_looked_at_is_a_note(iris):
    X, y = iris
    one = FineTuneUnlearner(plain_net(), random_state=0).fit(X[::2], y[::2])
    one.unlearn(indices=range(0, 75, 5))
    (note,) = one.certificate()["notes"]
    assert note.startswith("Whether an attack tells the forgotten rows from rows that the model")
    assert note.endswith("nobody has looked at: the request brought none (X_val=, y_val=).")
    unseen = {"X_val": X[1::2], "y_val": y[1::2]}
    one.unlearn(indices=range(1, 75, 5), **unseen)
    (note,) = one.certificate()["notes"]
    assert "the forgotten rows of 1 of 2 requests" in note
    one.unlearn(indices=range(2, 75, 5))
    (note,) = one.certificate()["notes"]
    assert "of 2 of 3 requests" in note
    one.record(audit=MIAScorer().measure(one, X[1::2], y[1::2]))  # looks at the last ones
    (note,) = one.certificate()["notes"]
    assert "of 1 of 3 requests" in note
    exact = RetrainUnlearner(plain_net(), random_state=0).fit(X, y).unlearn(indices=range(9))
    assert exact.certificate()["notes"] == []


def test_old_values_of_corrected_rows_do_not_come_back_unnoticed(iris):
    """A backup from before a correction holds what was forgotten by it."""
    X, y = iris
    X, y = np.unique(X, axis=0)[:60], np.arange(60) % 2
    old, new = X.copy(), X.copy()
    new[3], new[4] = X[3] + 1, X[5]  # the second: what another row holds
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y)
    unlearner.correct(indices=[3, 4], X_new=new[[3, 4]]).correct(indices=[6], y_new=[1])
    steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(GaussianNB()))]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    pipeline.correct(indices=[3, 4], X_new=new[[3, 4]])
    for model in (unlearner, pipeline, pickle.loads(pickle.dumps(unlearner))):
        manifest = model.exclusion_manifest(KEY)
        assert manifest["n_forgotten"] == 0
        assert_excluded(new, manifest, KEY)
        with pytest.raises(AlreadyForgottenError, match=r"2 of 60 rows of X .* \(3, 4\)"):
            assert_excluded(old, manifest, KEY)
    # Given back what it held, a row may hold it; and values of before go with the row.
    unlearner.correct(indices=[3], X_new=old[[3]]).unlearn(indices=[4])
    manifest = unlearner.exclusion_manifest(KEY)
    assert manifest["n_forgotten"] == 1
    assert_excluded(old[[0, 1, 2, 3, 6]], manifest, KEY)
    for values in (old[[4]], new[[3]]):
        with pytest.raises(AlreadyForgottenError):
            assert_excluded(values, manifest, KEY)


def test_old_values_are_known_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 2
    unlearner = RetrainUnlearner(make_net(module__n_out=2, max_epochs=1), random_state=0)
    unlearner.fit(X.copy(), y).correct(indices=[3], X_new=X[[3]] + 1).save(tmp_path / "model")
    loaded = RetrainUnlearner(make_net(module__n_out=2, max_epochs=1), random_state=0)
    manifest = loaded.load(tmp_path / "model").exclusion_manifest(KEY)
    with pytest.raises(AlreadyForgottenError, match=r"1 of 40 rows of X .* \(3\)"):
        assert_excluded(X, manifest, KEY)
