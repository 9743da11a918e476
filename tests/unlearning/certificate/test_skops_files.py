"""Models of scikit-learn are checked against a certificate, and a file can do no harm."""

import io as streams
import json
import pickle
import sys
import zipfile

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    CertifiedRemovalUnlearner,
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn._unlearning.certificate.skops_files import TRUSTED
from skunlearn.verify import main, verify
from tests.unlearning.certificate.documents import reissued, wrong

io = pytest.importorskip("skops.io", reason="the extra skops")
X, Y = load_iris(return_X_y=True)
X, Y = X[::2], Y[::2]
FOREST = RandomForestClassifier(3, max_depth=3, random_state=0)

UNLEARNERS = {
    "forest": ForestUnlearner(FOREST, random_state=0),
    "retrained forest": RetrainUnlearner(FOREST, random_state=0),
    "pipeline": RetrainUnlearner(make_pipeline(StandardScaler(), LogisticRegression())),
    "neighbours": SufficientStatisticsUnlearner(KNeighborsClassifier(3)),
    "balls": RetrainUnlearner(KNeighborsClassifier(algorithm="ball_tree", metric="manhattan")),
    "ridge": RidgeUnlearner(Ridge()),
    "bayes": SufficientStatisticsUnlearner(GaussianNB()),
    "stacked": RetrainUnlearner(StackingClassifier([("a", GaussianNB())], GaussianNB(), cv=2)),
    "process": RetrainUnlearner(GaussianProcessClassifier()),
    "shards": ShardedUnlearner(DecisionTreeClassifier(max_depth=2), n_shards=3, random_state=0),
    "certified": CertifiedRemovalUnlearner(LogisticRegression(), random_state=0),
}


def forgetful(unlearner):
    y = Y * 1.0 if isinstance(unlearner, RidgeUnlearner) else Y
    rows, y = (X / 10, np.minimum(y, 1)) if "Certified" in repr(unlearner) else (X, y)
    return unlearner.fit(rows, y)


@pytest.mark.filterwarnings("ignore:.*privacy budget.*", "ignore:.*reveal.*")
@pytest.mark.parametrize("name", UNLEARNERS)
def test_every_kind_of_model(name, tmp_path):
    unlearner = forgetful(UNLEARNERS[name])
    before, after = tmp_path / "before.skops", tmp_path / "after.skops"
    io.dump(unlearner.estimator_, before)
    unlearner.unlearn(indices=[0, 30, 60])
    io.dump(unlearner.estimator_, after)
    certificate = tmp_path / "certificate.json"
    unlearner.certificate().save(certificate)
    assert wrong(certificate, after) == {}
    assert any("are those of version 1" in f.text for f in verify(certificate, after))
    assert list(wrong(certificate, before).values()) == [
        "its weights are those from before request 1"
    ]
    assert main([str(certificate), str(after)]) == 0
    assert main([str(certificate), str(before)]) == 1


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """A certificate of a logistic regression, and its folder."""
    folder = tmp_path_factory.mktemp("issued")
    unlearner = RetrainUnlearner(LogisticRegression(max_iter=500)).fit(X, Y).unlearn(indices=[3])
    unlearner.certificate().save(folder / "certificate.json")
    io.dump(unlearner.estimator_, folder / "model.skops")
    return folder, unlearner


def test_one_weight(issued, tmp_path):
    folder, unlearner = issued
    other = pickle.loads(pickle.dumps(unlearner.estimator_))
    other.coef_[1, 2] = np.nextafter(other.coef_[1, 2], 9)
    io.dump(other, tmp_path / "m")
    found = wrong(folder / "certificate.json", tmp_path / "m")
    assert list(found.values()) == ["its weights are not those of the certificate"]


def test_pipelines_that_forget_in_steps(tmp_path):
    steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(LogisticRegression()))]
    pipeline = UnlearningPipeline(steps).fit(X, Y).unlearn(indices=[1, 2])
    certificate, scale = pipeline.certificate(), pipeline.named_steps["scale"]
    model = pipeline.named_steps["model"].estimator_
    plain = Pipeline([("scale", scale), ("model", model)])
    io.dump(plain, tmp_path / "m")
    assert wrong(certificate, tmp_path / "m") == {}
    io.dump(model, tmp_path / "m")
    assert "scale are not in the file" in verify(certificate, tmp_path / "m")[-1].text
    assert wrong(certificate, tmp_path / "m") == {}
    for other in (
        [("scale", StandardScaler().fit(X)), ("model", model)],
        [("more", StandardScaler().fit(X)), ("scale", scale), ("model", model)],
    ):
        io.dump(Pipeline(other), tmp_path / "m")
        assert "steps" in str(wrong(certificate, tmp_path / "m"))


class Opens:
    """What a pickle would run; skops writes and checks the name of its type."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        open(state["path"], "w").close()


def stuffed(model, tmp_path, **more):
    for name, value in more.items():
        setattr(model, name, value)
    io.dump(model, tmp_path / "m")
    return tmp_path / "m"


def rewritten(source, target, change):
    """A copy of a file whose schema was changed by hand."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "schema.json":
                data = json.dumps(change(json.loads(data))).encode()
            new.writestr(name, data)


def test_a_hostile_file_is_refused_and_nothing_of_it_runs(issued, tmp_path, capsys):
    folder, unlearner = issued
    target = tmp_path / "opened"
    model = pickle.loads(pickle.dumps(unlearner.estimator_))
    path = stuffed(model, tmp_path, extra_=Opens(str(target)))
    assert main([str(folder / "certificate.json"), str(path)]) == 1
    printed = capsys.readouterr().out
    assert "test_skops_files.Opens" in printed
    assert "nothing of it was made" in printed
    assert not target.exists()
    # It would have: whoever trusts the file runs what is in it.
    io.load(path, trusted=io.get_untrusted_types(file=path))
    assert target.exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("joblib.memory", "Memory")]
)
@pytest.mark.parametrize(
    "loader", ["ConstructorFromReduceNode", "FunctionNode", "TypeNode", "ObjectNode", "ListNode"]
)
def test_no_node_names_a_function(issued, tmp_path, monkeypatch, module, name, loader):
    folder, _ = issued
    monkeypatch.chdir(tmp_path)

    def change(schema):
        node = {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1}
        words = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
        words |= {"content": '"touch opened"', "is_json": True, "__id__": 2}
        given = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
        node["content"] = [words] if loader == "ListNode" else given | {"content": [words]}
        schema["content"]["content"]["coef_"] = node | {"__id__": 3}
        return schema

    rewritten(folder / "model.skops", tmp_path / "m", change)
    assert f"{module}.{name}" in str(wrong(folder / "certificate.json", tmp_path / "m"))
    assert not (tmp_path / "opened").exists()


def test_no_method_is_called(issued, tmp_path):
    folder, _ = issued

    def change(schema):
        text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
        given = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
        given["content"] = [text | {"content": '"fit"', "is_json": True}]
        called = {"__class__": "methodcaller", "__module__": "operator", "attrs": given}
        schema["content"]["content"]["coef_"] = called | {"__loader__": "OperatorFuncNode"}
        return schema

    rewritten(folder / "model.skops", tmp_path / "m", change)
    assert "operator.methodcaller" in str(wrong(folder / "certificate.json", tmp_path / "m"))


def test_what_is_trusted_holds_numbers(issued):
    allowed = ("numpy.", "scipy.", "sklearn.", "skunlearn.certified.", "skunlearn.exact.")
    assert all(name.startswith(allowed) for name in TRUSTED)
    assert not any("PyFunc" in name for name in TRUSTED)


def test_damaged_files(issued, tmp_path):
    folder, _ = issued
    data, certificate = (folder / "model.skops").read_bytes(), folder / "certificate.json"
    with zipfile.ZipFile(streams.BytesIO(data)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    for broken in (data[: len(data) // 2], data[:4], b"PK\x03\x04" + b"\0" * 99):
        (tmp_path / "m").write_bytes(broken)
        assert "no whole file" in str(wrong(certificate, tmp_path / "m"))
    for left_out in parts:
        with zipfile.ZipFile(tmp_path / "m", "w") as new:
            for name in parts.keys() - {left_out}:
                new.writestr(name, parts[name])
        assert wrong(certificate, tmp_path / "m")
    deep = {"__loader__": "ListNode", "__class__": "list", "__module__": "builtins"}
    with zipfile.ZipFile(tmp_path / "m", "w") as new:
        text = (json.dumps(deep)[:-1] + ', "content": [') * 3000 + "]}" * 3000
        new.writestr("schema.json", text[:-2] + ', "protocol": 1}')
    assert "no whole file" in str(wrong(certificate, tmp_path / "m"))


def test_rows_and_unlearners_in_such_files(issued, tmp_path):
    folder, unlearner = issued
    found = wrong(folder / "certificate.json", folder / "model.skops", rows={"X": X[:1]})
    assert "holds no record of rows" in str(found)
    io.dump(unlearner.detach(), tmp_path / "m")
    assert "write its estimator_" in str(wrong(folder / "certificate.json", tmp_path / "m"))


def test_other_versions_are_named(issued):
    folder, _ = issued
    content = json.loads((folder / "certificate.json").read_text())
    content["versions"]["scikit-learn"] = "1.2.3"
    content["model"]["weights"]["digest"] = "0" * 64
    found = wrong(reissued(content), folder / "model.skops")
    assert "issued with scikit-learn 1.2.3" in str(found)


def test_without_skops(issued, monkeypatch):
    folder, _ = issued
    monkeypatch.setitem(sys.modules, "skops", None)
    found = wrong(folder / "certificate.json", folder / "model.skops")
    assert "skunlearn[skops]" in str(found)
