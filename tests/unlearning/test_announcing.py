"""What `verbose=1` prints, and what notebooks show."""

import html
import re
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import AutoUnlearner, FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn._unlearning import notebook
from skunlearn._unlearning.announcing import describe_result
from skunlearn.forget_sets import worst_case_forget_set
from tests.instances import make_net
from tests.small import FORGET, net, quiet

X, Y = make_classification(1200, 4, random_state=0)


def test_a_request_says_what_it_does(capsys):
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0, verbose=1).fit(X, Y)
    first, last = capsys.readouterr().out.splitlines()
    assert first == "fitting 1,200 rows …"
    assert re.fullmatch(r"done in [\d.]+ s", last)
    unlearner.unlearn(indices=range(50)).unlearn(indices=[50])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unlearning 50 of 1,200 rows …"
    assert lines[2] == "unlearning 1 of 1,150 rows …"
    measured = unlearner.deletions_[0]["measured"]
    losses = [measured[f"forget_{when}"]["loss"] for when in ("before", "after")]
    assert re.fullmatch(r"done in [\d.]+ s, forget loss [\d.]+ → [\d.]+", lines[1])
    assert lines[1].endswith(f"forget loss {losses[0]:.3f} → {losses[1]:.3f}")
    assert len(lines) == 4


def test_a_fit_that_forgets_says_both(capsys):
    forget = np.arange(len(X)) < 50
    RetrainUnlearner(LogisticRegression(), verbose=1).fit(X, Y, forget=forget)
    first, last = capsys.readouterr().out.splitlines()
    assert first == "fitting 1,200 rows, then unlearning 50 …"
    assert re.fullmatch(r"done in [\d.]+ s, forget loss [\d.]+ → [\d.]+", last)
    RetrainUnlearner(LogisticRegression()).fit(X, Y).unlearn(indices=[1])
    assert capsys.readouterr().out == ""


def test_graphs_say_the_same(capsys):
    pytest.importorskip("torch_geometric", reason="needs torch_geometric")
    from tests.graphs import make_eraser, planted

    data = planted()
    eraser = make_eraser(verbose=1).fit(data)
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1][:8]) == ("fitting 90 nodes …", "done in ")
    eraser.unlearn([3, 5])
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1][:8]) == ("unlearning 2 of 90 nodes …", "done in ")
    edge = next(pair for pair in data.edge_index.T.tolist() if not {*pair} & {3, 5})
    n_edges = sum(not {*pair} & {3, 5} for pair in data.edge_index.T.tolist()) // 2
    eraser.unlearn(edges=[edge])
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1][:8]) == (f"unlearning 1 of {n_edges} edges …", "done in ")
    make_eraser().fit(data).unlearn([3])
    assert capsys.readouterr().out == ""


def test_a_request_that_fails_says_no_result(capsys):
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0, verbose=1).fit(X, Y)
    capsys.readouterr()
    with pytest.raises(ValueError, match="every retained row"):
        unlearner.unlearn(indices=range(1200))
    assert "done" not in capsys.readouterr().out


@quiet
def test_nets_and_pipelines_say_the_same(data, capsys):
    steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(LogisticRegression()))]
    pipeline = UnlearningPipeline(steps, verbose=True).fit(X, Y)
    capsys.readouterr()
    pipeline.unlearn(indices=FORGET)
    assert "unlearning 6 of 1,200 rows …" in capsys.readouterr().out
    unlearner = FineTuneUnlearner(net(), verbose=1, random_state=0).fit(*data)
    capsys.readouterr()
    lines = unlearner.unlearn(indices=FORGET) and capsys.readouterr().out.splitlines()
    assert lines[0] == "unlearning 6 of 60 rows …"
    assert lines[-1].startswith("done in ")


@quiet
def test_what_nobody_looked_at_is_said_with_the_way_out(data, capsys):
    """Of requests without unseen rows alone, and not by exact methods, nor as a warning."""
    X, y = data
    given = {"X_val": X[40:], "y_val": y[40:]}
    for cls, request, said in (
        (FineTuneUnlearner, {}, "; not compared with unseen rows (X_val=)"),
        (FineTuneUnlearner, given, ""),
        (RetrainUnlearner, {}, ""),
    ):
        one = cls(net(), verbose=1, random_state=0).fit(X[:40], y[:40])
        capsys.readouterr()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one.unlearn(indices=range(20), **request)
        last = capsys.readouterr().out.splitlines()[-1]
        assert "".join(last.partition("; not compared")[1:]) == said
        assert not any("compared with unseen" in str(warning.message) for warning in caught)
    one_row = ask_of_one_row(data)
    assert describe_result(one_row).endswith("; not compared with unseen rows (X_val=)")
    assert "AutoUnlearner with X_val=" in one_row["not_looked_at"]


def ask_of_one_row(data):
    return FineTuneUnlearner(net(), random_state=0).fit(*data).unlearn(indices=[3]).deletions_[0]


def test_results_without_losses():
    assert describe_result({"seconds": 2.345}) == "done in 2.3 s"
    unknown = {"forget_before": None, "forget_after": {"loss": 1.0}}
    assert describe_result({"seconds": 0.012, "measured": unknown}) == "done in 0.01 s"


def test_long_searches_show_a_bar(data, capsys):
    X, y = data
    unlearner = FineTuneUnlearner(net(), random_state=0).fit(X, y)
    worst_case_forget_set(unlearner, X, y, 6, n_iter=2, max_epochs=1, random_state=0, verbose=1)
    shown = capsys.readouterr()
    assert "2/2" in shown.err
    assert "mean loss under w" in shown.err
    assert shown.out == ""


# ------------------------------------------------------------------ notebooks


def htmls(unlearner):
    return [unlearner._repr_html_(), unlearner._repr_mimebundle_()["text/html"]]


@quiet
def test_notebooks_show_the_state_in_a_line(data):
    unlearner = FineTuneUnlearner(net(), random_state=0)
    assert all(shown.startswith("<p>not fitted</p>") for shown in htmls(unlearner))
    unlearner.fit(*data)
    assert all(shown.startswith("<p>60 rows fitted, 0 forgotten</p>") for shown in htmls(unlearner))
    unlearner.unlearn(indices=FORGET)
    said = "<p>60 rows fitted, 6 forgotten, no guarantee</p>"
    assert all(shown.startswith(said) and shown.count(said) == 1 for shown in htmls(unlearner))
    exact = RetrainUnlearner(net(), random_state=0).fit(*data).unlearn(indices=FORGET)
    said = "6 forgotten, guarantee: retrained without the rows</p>"
    assert all(said in shown for shown in htmls(exact))


@quiet
def test_notebooks_show_the_state_of_a_pipeline(data):
    pipeline = UnlearningPipeline(
        [("scale", StandardScaler()), ("net", FineTuneUnlearner(net(), random_state=0))]
    )
    assert all(shown.startswith("<p>not fitted</p>") for shown in htmls(pipeline))
    pipeline.fit(*data).unlearn(indices=FORGET)
    said = "<p>60 rows fitted, 6 forgotten, no guarantee</p>"
    assert all(shown.startswith(said) and shown.count(said) == 1 for shown in htmls(pipeline))


def test_diagrams_are_no_wider_than_a_page():
    """A long text that cannot wrap makes the whole diagram as wide."""
    shown = FineTuneUnlearner(net(), lr=0.1)._repr_html_()
    texts = [html.unescape(text) for text in re.findall("<pre>(.*?)</pre>", shown, re.S)]
    details = [text for text in texts if text.startswith("NeuralNetClassifier(")]
    assert details
    assert max(len(line) for text in details for line in text.splitlines()) <= 44


@pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_params_html"), reason="tables of parameters: scikit-learn 1.7"
)
def test_tables_of_parameters_name_nets():
    shown = FineTuneUnlearner(net())._get_params_html()
    assert repr(shown["estimator"]) == "NeuralNetClassifier(…)"
    assert "NeuralNetClassifier(…)" in shown._repr_html_()
    model = RetrainUnlearner(LogisticRegression())._get_params_html()["estimator"]
    assert isinstance(model, LogisticRegression)  # all others are as scikit-learn has them


@pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_fitted_attr_html"), reason="such tables: scikit-learn 1.9"
)
@quiet
def test_tables_of_what_was_fitted_name_nets(data):
    unlearner = FineTuneUnlearner(net(), random_state=0).fit(*data).unlearn(indices=FORGET)
    shown = unlearner._get_fitted_attr_html()
    assert repr(shown["estimator_"]["value"]) == "NeuralNetClassifier(…)"
    assert repr(shown["deletions_"]["value"]) == "1 request"
    assert "NeuralNetClassifier(…)" in unlearner._repr_html_()
    exact = RetrainUnlearner(LogisticRegression()).fit(data[0][:, :2], data[1])
    assert exact._get_fitted_attr_html()["estimator_"]["value"] is exact.estimator_


def test_notebooks_show_what_was_set_of_a_net():
    shown = FineTuneUnlearner(net(), lr=0.1)._repr_html_()
    assert "max_epochs" in shown
    assert "module__n_out" in shown
    assert "iterator_valid" not in shown  # one of sixty that nobody has set
    assert "torch_load_kwargs" not in shown


def test_text_shows_what_was_set_of_a_net():
    cases = [
        FineTuneUnlearner(net(), lr=0.1),
        RetrainUnlearner(make_pipeline(StandardScaler(), net())),
        RetrainUnlearner(FrozenEstimator(net())),
        UnlearningPipeline([("scale", StandardScaler()), ("net", FineTuneUnlearner(net()))]),
    ]
    for shown in map(repr, cases):
        assert "max_epochs=" in shown, shown
        assert "iterator_valid" not in shown, shown
        assert "_params_to_validate" not in shown, shown
        assert "<class" not in shown, shown
    assert repr(cases[0]).startswith("FineTuneUnlearner(estimator=NeuralNetClassifier(module=")
    assert repr(cases[0]).endswith("lr=0.1)")


class Renaming(TransformerMixin, BaseEstimator):
    """It has more parameters than its signature says, as LightGBM's estimators have."""

    def __init__(self, name="a"):
        self.name = name
        self.others = {"depth": 3}

    def get_params(self, deep=True):
        return super().get_params(deep) | self.others


def test_text_of_others_estimators_needs_all_that_they_hold():
    steps = [("own", Renaming("b")), ("last", LogisticRegression())]
    for last in (LogisticRegression(), net()):
        steps[-1] = "last", last
        shown = repr(RetrainUnlearner(Pipeline(steps)))
        assert "name='b'" in shown
        assert "iterator_valid" not in shown


def test_notebooks_link_to_the_documentation_where_it_has_an_address(monkeypatch):
    unlearner = FineTuneUnlearner(net())
    assert "Documentation for FineTuneUnlearner" not in unlearner._repr_html_()
    monkeypatch.setattr(notebook, "find_documentation", lambda: "https://docs.example/")
    page = "https://docs.example/api/generated/skunlearn.FineTuneUnlearner.html"
    assert all(f'href="{page}"' in shown for shown in htmls(unlearner))
    # scikit-learn's own go on to scikit-learn's.
    inner = RetrainUnlearner(LogisticRegression())._repr_html_()
    assert "https://scikit-learn.org/" in inner
    assert "docs.example/api/generated/skunlearn.RetrainUnlearner.html" in inner


def test_the_address_is_that_of_the_package(monkeypatch):
    found = {"skunlearn": ["Source, https://a.example", "Documentation, https://b.example/stable"]}
    monkeypatch.setattr(notebook, "metadata", lambda name: Urls(found[name]))
    notebook.find_documentation.cache_clear()
    assert notebook.find_documentation() == "https://b.example/stable"
    for urls in ([], ["Source, https://a.example"], None):
        found["skunlearn"] = urls
        notebook.find_documentation.cache_clear()
        assert notebook.find_documentation() == ""
    monkeypatch.undo()
    notebook.find_documentation.cache_clear()


class Urls:
    """What ``importlib.metadata.metadata`` gives."""

    def __init__(self, urls):
        self.urls = urls

    def get_all(self, name):
        assert name == "Project-URL"
        return self.urls


def test_other_estimators_are_shown_as_ever():
    shown = RetrainUnlearner(LogisticRegression(C=2.0))._repr_html_()
    assert "estimator: LogisticRegression" in shown
    assert "2.0" in shown
    pipeline = UnlearningPipeline([("model", RetrainUnlearner(LogisticRegression()))])
    assert "RetrainUnlearner" in pipeline._repr_html_()


@quiet
def test_each_table_of_epochs_says_of_which_net(capsys):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 4)).astype("float32"), np.arange(400) % 3
    recipe = make_net(module__n_out=3, max_epochs=60, batch_size=10)
    auto = AutoUnlearner(recipe, random_state=0, verbose=1).fit(X[:300], y[:300])
    capsys.readouterr()
    auto.unlearn(indices=range(20), X_val=X[300:], y_val=y[300:])
    lines = capsys.readouterr().out.splitlines()
    done, tables = auto.deletions_[0]["auto"], []
    for line in lines:
        if line.startswith("training "):
            tables.append([line, 0])
        elif tables and re.match(r" +\d+ ", line):
            tables[-1][1] += 1
    first, second = done["reference_epochs"], done["epochs"]
    assert tables == [
        [f"training a reference, without the rows, for {first} epochs …", first],
        [f"training the net itself, for {second} epochs …", second],
    ]
