"""Training sets that augment at random: what is measured is measured on rows as they are."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.preprocessing import StandardScaler
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset
from torchvision.transforms import Compose, v2

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows.leave_out import leave_out
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from skunlearn.evaluation import audit, compare, deletion_stream
from skunlearn.exceptions import AugmentedRowsWarning
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit
from skunlearn.plotting import LossHistogramDisplay, MIACurveDisplay
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.robustness import robustness_report
from skunlearn.shadow import ShadowModels
from skunlearn.utils import all_unlearners
from tests.instances import make_regressor_net
from tests.small import FORGET, net, quiet

N = 40  # training rows of the sixty


class Jitter:
    """Noise that nobody could learn."""

    def __init__(self, scale=3.0):
        self.scale = scale

    def __call__(self, x):
        return x + self.scale * torch.randn(x.shape)


class Doubled:
    """A transform that is always the same, and belongs to the rows."""

    def __call__(self, x):
        return 2 * x


class Augmented(Dataset):
    """As most people write them."""

    def __init__(self, X, y, transform=None):
        self.X, self.y, self.transform = X, y, transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        x = torch.as_tensor(self.X[i])
        return (x if self.transform is None else self.transform(x)), int(self.y[i])


class AugmentedArrays(SkorchDataset):
    """A net's own class of data sets."""

    def __init__(self, X, y=None, transform=None):
        super().__init__(X, y)
        self.augment = transform

    def transform(self, X, y):
        X, y = super().transform(X, y)
        return (X if self.augment is None else self.augment(torch.as_tensor(X))), y


@pytest.fixture
def rows(data):
    """Training rows, labels, and the same of unseen rows."""
    X, y = data
    return X[:N], y[:N], X[N:], y[N:]


def fitted(given, y=None, cls=FineTuneUnlearner, **kwargs):
    return cls(net(max_epochs=3), random_state=0).fit(given, y, **kwargs)


def says(unlearner, X, y):
    """Logits of the model on rows as they are."""
    y = unlearner._encode(np.asarray(y))
    items = TensorDataset(torch.as_tensor(np.asarray(X, np.float32)), torch.as_tensor(y))
    plain = Rows(items, y, np.arange(len(y)))
    return observe(unlearner.estimator_, plain, unlearner._classes).logits


# ------------------------------------------------------------------ noticing


@quiet
def test_a_row_that_is_read_twice_and_differs_is_noticed(rows):
    X, y, *_ = rows
    with pytest.warns(AugmentedRowsWarning, match="measure_on= to fit") as caught:
        fitted(Augmented(X, y, Jitter()))
    assert caught[0].filename == __file__
    for rare in (v2.RandomHorizontalFlip(0.3), v2.RandomErasing(0.5), v2.RandomCrop(2, padding=1)):
        images = Augmented(X.reshape(-1, 1, 2, 2), y, rare)
        with pytest.warns(AugmentedRowsWarning):
            fitted(images)
    own = RetrainUnlearner(augmenting(Jitter()), random_state=0)
    with pytest.warns(AugmentedRowsWarning):
        own.fit(X, y)


@pytest.mark.filterwarnings("error::skunlearn.exceptions.AugmentedRowsWarning")
@quiet
def test_rows_that_are_the_same_each_time_are_left_alone(rows):
    X, y, *_ = rows
    for given in (
        Augmented(X, y),
        Augmented(X, y, Doubled()),
        TensorDataset(torch.as_tensor(X), torch.as_tensor(y)),
        Subset(Augmented(X, y), range(30)),
    ):
        assert fitted(given)._reader is None
    plain = net(max_epochs=1, dataset=AugmentedArrays)
    assert RetrainUnlearner(plain, random_state=0).fit(X, y)._reader is None


@quiet
def test_looking_at_rows_leaves_the_generators_and_the_training_alone(rows):
    """Weights are those of a training that was never looked at."""
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    one = fitted(data, cls=RetrainUnlearner)
    two = fitted(data, cls=RetrainUnlearner, measure_on=data.transform)
    assert np.array_equal(says(one, X, y), says(two, X, y))


# ------------------------------------------------------------------ measuring

WAYS = {
    "a Dataset": lambda data: Augmented(data.X, data.y),
    "tensors": lambda data: TensorDataset(torch.as_tensor(data.X), torch.as_tensor(data.y)),
    "rows without labels": lambda data: Unlabelled(data.X),
    "a transform": lambda data: data.transform,
}


class Unlabelled(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.as_tensor(self.X[i]), 0 * torch.zeros(1)


@quiet
@pytest.mark.parametrize("way", WAYS)
def test_everything_is_measured_on_rows_as_they_are(rows, way):
    X, y, X_test, y_test = rows
    data = Augmented(X, y, Jitter())
    test = Augmented(X_test, y_test)
    unlearner = fitted(data, measure_on=WAYS[way](data))
    assert unlearner.score(data) == unlearner.score(data) == unlearner.score(X, y)
    assert np.array_equal(unlearner.predict(data), unlearner.predict(X))
    assert np.array_equal(
        unlearner.predict_proba(Subset(data, [3, 5])), unlearner.predict_proba(X[[3, 5]])
    )
    before = unlearner.score(X[FORGET], y[FORGET])
    unlearner.unlearn(indices=FORGET)
    measured = unlearner.deletions_[-1]["measured"]
    assert measured["forget_before"]["score"] == before
    assert measured["forget_after"]["score"] == unlearner.score(X[FORGET], y[FORGET])
    assert measured["retain_after"]["score"] == unlearner.score(X[6:], y[6:])
    np.testing.assert_array_equal(unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]))
    assert not unlearner._evidence.noisy
    assert not json.loads(unlearner.certificate())["notes"]
    result = MIAScorer(reference="retrain").measure(unlearner, test)
    plain = FineTuneUnlearner(net(max_epochs=3), random_state=0).fit(X, y)
    plain._change(model=unlearner.estimator_, evidence=unlearner._evidence)
    assert MIAScorer()(unlearner, test) == MIAScorer()(plain, X_test, y_test)
    assert result.reference_kind == "retrained"
    report = audit(unlearner, test, y_test)
    accuracy = report.wide.loc["FineTuneUnlearner"]
    assert accuracy["forget train"] == unlearner.score(X[FORGET], y[FORGET])
    assert accuracy["retained train"] == unlearner.score(X[6:], y[6:])


@quiet
@pytest.mark.parametrize("name", [n for n in all_unlearners(nets=True) if n != "CTUnlearner"])
def test_every_method(rows, name):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    unlearner = all_unlearners()[name](net(max_epochs=2), random_state=0)
    unlearner.fit(data, measure_on=data.transform)
    assert unlearner.score(data) == unlearner.score(X, y)
    forget = np.flatnonzero(y == 2) if name == "UNSIRUnlearner" else FORGET
    unlearner.unlearn(indices=forget)
    expected = says(unlearner, X[forget], y[forget])
    np.testing.assert_allclose(unlearner._evidence.logits, expected, rtol=1e-4, atol=1e-5)


@quiet
@pytest.mark.parametrize("cls", [RetrainUnlearner, ShardedUnlearner])
def test_other_kinds_of_models(rows, cls):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    for measure_on in (data.transform, Augmented(X, y)):
        unlearner = fitted(data, cls=cls, measure_on=measure_on).unlearn(indices=FORGET)
        np.testing.assert_allclose(
            unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]), rtol=1e-5
        )
        assert unlearner.score(data) == unlearner.score(data)
    jitter = Jitter()
    unlearner = cls(augmenting(jitter), random_state=0).fit(X, y, measure_on=jitter)
    assert unlearner.unlearn(indices=FORGET).score(X, y) == unlearner.score(X, y)
    np.testing.assert_allclose(
        unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]), rtol=1e-5
    )


@quiet
def test_regression(rows):
    X, y, X_test, y_test = rows
    y, y_test = (side.astype(np.float32) for side in (y, y_test))
    data = Augmented(X, y, Jitter())
    model = make_regressor_net(max_epochs=3)
    unlearner = FineTuneUnlearner(model, random_state=0).fit(data, y, measure_on=data.transform)
    assert unlearner.score(data, y) == unlearner.score(X, y)
    unlearner.unlearn(indices=FORGET)
    assert MIAScorer()(unlearner, X_test, y_test) == MIAScorer()(unlearner, X_test, y_test)
    said = unlearner.predict(torch.as_tensor(X[FORGET]))
    np.testing.assert_allclose(unlearner._evidence.predicted, said, rtol=1e-5)


@quiet
def test_guards_look_at_rows_as_they_are(rows):
    """Through noise of this size a request that changes nothing could seem to cost a lot."""
    X, y, *_ = rows
    data = Augmented(X, y, Jitter(30.0))
    unlearner = fitted(data, measure_on=data.transform)
    before = unlearner.score(X[6:], y[6:])
    unlearner.set_params(lr=1e-9, max_epochs=1).unlearn(indices=FORGET, max_accuracy_drop=0.0)
    assert unlearner.deletions_[-1]["measured"]["retain_before"]["score"] == before
    assert unlearner.deletions_[-1]["measured"]["retain_after"]["score"] == before


@quiet
def test_a_subset_of_an_augmented_dataset(rows):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    part = Subset(data, list(range(5, 35)))
    for measure_on in (data.transform, Subset(Augmented(X, y), list(range(5, 35)))):
        unlearner = fitted(part, measure_on=measure_on)
        assert unlearner.score(part) == unlearner.score(X[5:35], y[5:35])
        inner = Subset(part, [0, 3])
        assert np.array_equal(unlearner.predict(inner), unlearner.predict(X[[5, 8]]))
        unlearner.unlearn(Subset(part, [0, 3]))
        np.testing.assert_array_equal(
            unlearner._evidence.logits, says(unlearner, X[[5, 8]], y[[5, 8]])
        )


# ------------------------------------------------------------------ a net's own data sets


def augmenting(transform, **params):
    return net(max_epochs=3, dataset=AugmentedArrays, dataset__transform=transform, **params)


@quiet
@pytest.mark.parametrize("kind", ["array", "list", "tensor"])
def test_arrays_in_a_net_that_augments_them(rows, kind):
    X, y, X_test, y_test = rows
    given = {"array": X, "list": X.tolist(), "tensor": torch.from_numpy(X)}[kind]
    jitter = Jitter()
    unlearner = FineTuneUnlearner(augmenting(jitter), random_state=0)
    unlearner.fit(given, y, measure_on=jitter)
    assert unlearner.score(X, y) == unlearner.score(X, y)
    for request in (FORGET, [10, 11]):  # of a list the record holds a copy, and cuts it down
        unlearner.unlearn(indices=request)
        np.testing.assert_allclose(
            unlearner._evidence.logits, says(unlearner, X[request], y[request]), rtol=1e-5
        )
    # Unseen rows go the same way.
    assert MIAScorer()(unlearner, X_test, y_test) == MIAScorer()(unlearner, X_test, y_test)
    again = pickle.loads(pickle.dumps(unlearner))
    assert not again._evidence.noisy
    assert MIAScorer()(again, X_test, y_test) <= 0
    assert "augmentation" in again.certificate()  # what is measured from now on
    kept = again._record.retained
    again.attach(X[kept], y[kept], measure_on=jitter).unlearn(indices=[20])
    assert "augmentation" not in again.certificate()


@quiet
def test_a_dataset_of_the_rows_of_an_array(rows):
    X, y, *_ = rows
    unlearner = FineTuneUnlearner(augmenting(Jitter()), random_state=0)
    unlearner.fit(X, y, measure_on=Augmented(X, y))
    assert unlearner.score(X, y) == unlearner.score(X, y)
    unlearner.unlearn(indices=FORGET)
    np.testing.assert_array_equal(unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]))
    as_list = FineTuneUnlearner(augmenting(Jitter()), random_state=0)
    as_list.fit(X.tolist(), y, measure_on=Augmented(X, y)).unlearn(indices=FORGET)
    as_list.unlearn(indices=[9])
    np.testing.assert_allclose(as_list._evidence.logits, says(as_list, X[[9]], y[[9]]), rtol=1e-5)


@quiet
@pytest.mark.parametrize("search", [True, False])
def test_searches_copy_the_transform_and_find_it(rows, search):
    X, y, *_ = rows
    jitter, forget = Jitter(), np.isin(np.arange(N), FORGET)
    unlearner = FineTuneUnlearner(augmenting(jitter), random_state=0)
    options = {
        "cv": ForgetSplit(2, forget=forget, random_state=0),
        "scoring": MIAScorer(match=None),
    }
    given = {"forget": forget, "measure_on": jitter}
    if search:
        found = GridSearchCV(unlearner, {"max_epochs": [1, 2]}, **options).fit(X, y, **given)
        scores = found.cv_results_["mean_test_score"]
    else:
        scores = cross_validate(unlearner, X, y, params=given, **options)["test_score"]
    assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="would measure the augmentation"):
        cross_validate(unlearner, X, y, params={"forget": forget}, error_score="raise", **options)


@quiet
def test_a_pipeline(rows):
    X, y, X_test, y_test = rows
    jitter = Jitter()
    steps = [("scale", StandardScaler()), ("model", FineTuneUnlearner(augmenting(jitter)))]
    for refit in (True, False):
        pipeline = UnlearningPipeline(steps, refit_transformers=refit)
        pipeline.fit(X, y, measure_on=jitter).unlearn(indices=FORGET)
        final = pipeline.steps[-1][1]
        scaled = pipeline[:-1].transform(X[FORGET])
        np.testing.assert_allclose(
            final._evidence.logits, says(final, scaled, y[FORGET]), rtol=1e-4
        )
        assert pipeline.score(X, y) == pipeline.score(X, y)
        assert MIAScorer(match=None)(pipeline, X_test, y_test) <= 0
        assert "augmentation" not in pipeline.certificate()
        kept = pipeline._record.retained
        pipeline.detach().attach(X[kept], y[kept], measure_on=jitter).unlearn(indices=[10])
        assert not final._evidence.noisy
    with pytest.raises(TypeError, match="transform to leave out"):
        pipeline.fit(X, y, measure_on=Augmented(X, y))


# ------------------------------------------------------------------ nobody said how


@quiet
def test_verdicts_without_a_reference_of_the_same_kind_are_refused(rows):
    X, y, X_test, y_test = rows
    data, test = Augmented(X, y, Jitter()), Augmented(X_test, y_test)
    unlearner = fitted(data).unlearn(indices=FORGET)
    assert unlearner._evidence.noisy
    assert "random augmentation" in json.loads(unlearner.certificate())["notes"][0]
    for ask in (
        lambda: MIAScorer()(unlearner, test),
        lambda: MIAScorer().measure(unlearner, test),
        lambda: audit(unlearner, test, y_test, retrained=None),
        lambda: MIACurveDisplay.from_estimator(unlearner, test, y_test),
        lambda: LossHistogramDisplay.from_estimator(unlearner, test, y_test),
    ):
        with pytest.raises(ValueError, match=r"measure the augmentation.*measure_on="):
            ask()
    scorer = MIAScorer(reference="retrain")
    assert scorer(unlearner, test) == scorer(unlearner, test)
    assert audit(unlearner, test, y_test).verdicts
    stream = deletion_stream(unlearner, [FORGET, [9], [10]], test, y_test, reference=False)
    assert np.isnan(next(stream)["AUC"])


@quiet
def test_two_looks_at_the_same_rows_draw_alike(rows):
    """Otherwise a request that changes nothing would seem to change the loss."""
    data = Augmented(*rows[:2], Jitter())
    unlearner = fitted(data)
    view = unlearner._record.view(FORGET)
    first, second = (observe(unlearner.estimator_, view, unlearner._classes) for _ in range(2))
    assert np.array_equal(first.logits, second.logits)


@quiet
def test_files_say_that_rows_were_augmented(rows, tmp_path):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    unlearner = fitted(data, measure_on=data.transform).unlearn(indices=FORGET)
    unlearner.save(tmp_path / "model")
    loaded = FineTuneUnlearner(net(max_epochs=3)).load(tmp_path / "model")
    assert "random augmentation" in loaded.certificate()
    with pytest.warns(AugmentedRowsWarning):
        loaded.attach(data)
    loaded.attach(data, measure_on=data.transform)
    assert "random augmentation" not in loaded.certificate()
    assert loaded.score(data) == loaded.score(X, y)


# ------------------------------------------------------------------ compare, shadows, workers


@quiet
def test_compare(rows):
    X, y, X_test, y_test = rows
    data, test = Augmented(X, y, Jitter()), Augmented(X_test, y_test)
    forget = np.isin(np.arange(N), FORGET)
    methods = [
        FineTuneUnlearner(net(max_epochs=3)),
        ShardedUnlearner(net(max_epochs=3), n_shards=2),
    ]
    given = {"forget": forget, "X_test": test, "y_test": y_test}
    report = compare(methods, data, y, measure_on=data.transform, **given)
    again = compare(methods, data, y, measure_on=Augmented(X, y), **given)
    figures = ["forget train", "retained train", "AUC"]
    assert np.array_equal(report.wide[figures], again.wide[figures])
    assert compare(methods[:1], data, y, **given).verdicts  # all through the augmentation


@quiet
def test_shadow_models(rows):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    shadows = ShadowModels(net(max_epochs=1), n_models=4, random_state=0)
    one = shadows.fit(data, y, measure_on=data.transform).margins_
    two = clone(shadows).fit(data, y, measure_on=Augmented(X, y)).margins_
    assert np.array_equal(one, two)
    assert not np.array_equal(one, clone(shadows).fit(data, y).margins_)


@quiet
def test_robustness_report(rows):
    X, y, X_test, y_test = rows
    jitter = Jitter()
    forget = np.isin(np.arange(N), FORGET)
    given = {"forget_sets": {"some": forget}, "conditions": []}
    methods = [FineTuneUnlearner(net())]
    frame = robustness_report(methods, augmenting(jitter), *rows, measure_on=jitter, **given)
    model = RetrainUnlearner(augmenting(jitter), random_state=0).fit(X, y, measure_on=jitter)
    value = frame.query("model == 'original' and metric == 'retained accuracy'")["value"]
    assert value.item() == model.score(X_test, y_test)
    with pytest.raises(TypeError, match="transform to leave out"):
        robustness_report(methods, net(), *rows, measure_on=Augmented(X, y), **given)


@quiet
@pytest.mark.parametrize("how", ["a transform", "a Dataset"])
def test_workers(rows, tmp_path, how):
    X, y, X_test, y_test = rows
    data = Augmented(X, y, Jitter())
    measure_on = WAYS[how](data)

    def start():
        worker = DeletionWorker(
            DeletionQueue(tmp_path, batch_size=1),
            FineTuneUnlearner(net(max_epochs=2), random_state=0),
            Augmented(X_test, y_test),
            y_test,
        )
        return worker.start(data, y, ids=range(N), measure_on=measure_on)

    worker = start()
    worker.queue.submit("a", ids=[0, 1, 2, 3])
    assert worker.run_once()["audit"]["AUC"] is not None
    again = start()
    again.queue.submit("b", ids=[4, 5, 6, 7])
    assert again.run_once()["audit"]["AUC"] is not None


# ------------------------------------------------------------------ what is refused


class Tensors:
    def __call__(self, x):
        return torch.as_tensor(x)


class Numbers(Dataset):
    """Rows are plain lists, and the transform makes tensors of them."""

    def __init__(self, X, y, transform):
        self.X, self.y, self.transform = X.tolist(), y, transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.transform(self.X[i]), int(self.y[i])


REFUSED = {
    "another length": (lambda d: Augmented(d.X[:9], d.y[:9]), ValueError, "9 rows, but X has 40"),
    "another order": (
        lambda d: Augmented(d.X, d.y[::-1]),
        ValueError,
        "same rows in the same order",
    ),
    "still random": (lambda d: Augmented(d.X, d.y, Jitter(0.1)), ValueError, "still differs"),
    "one of two": (lambda d: d.transform.transforms[0], ValueError, "still differs"),
    "not there": (lambda d: Doubled(), ValueError, "was not found in Augmented"),
    "no transform": (lambda d: "transform", TypeError, "a torch Dataset or a transform"),
    "a stream": (lambda d: Endless(), TypeError, "measure_on is an IterableDataset"),
}


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


@quiet
@pytest.mark.parametrize("kind", REFUSED)
def test_what_measure_on_cannot_be(rows, kind):
    X, y, *_ = rows
    make, error, message = REFUSED[kind]
    data = Augmented(X, y, Compose([Jitter(), Jitter(2.0)]))
    with pytest.raises(error, match=message):
        fitted(data, measure_on=make(data))


@quiet
def test_transforms_without_which_nothing_can_be_read(rows):
    X, y, *_ = rows
    whole = Compose([Tensors(), Jitter()])
    data = Numbers(X, y, whole)
    with pytest.raises(ValueError, match="of the kind list, where the net takes Tensor"):
        fitted(data, measure_on=whole)
    unlearner = fitted(data, measure_on=whole.transforms[1])
    assert unlearner.score(data) == unlearner.score(X, y)


def test_arrays_are_not_augmented(rows):
    X, y, *_ = rows
    with pytest.raises(TypeError, match="nothing is augmented"):
        fitted(X, y, measure_on=Jitter())


# ------------------------------------------------------------------ leaving out


class Holder:
    def __init__(self, **parts):
        vars(self).update(parts)


def test_a_transform_is_found_wherever_it_is_held():
    jitter = Jitter()
    x = torch.zeros(3)
    for holder, reach in (
        (Holder(t=jitter), lambda h: h.t),
        (Holder(ts=[Doubled(), jitter]), lambda h: h.ts[1]),
        (Holder(ts=(Doubled(), jitter)), lambda h: h.ts[1]),
        (Holder(by={"train": jitter}), lambda h: h.by["train"]),
        (
            Holder(dataset=Holder(transform=Compose([jitter]))),
            lambda h: h.dataset.transform.transforms[0],
        ),
        (Holder(t=nn.Sequential(nn.Identity(), Module(jitter))), lambda h: h.t[1].inner),
    ):
        kept = reach(holder)
        new = leave_out(holder, jitter)
        assert reach(holder) is kept is jitter
        assert torch.equal(reach(new)(x), x)
        assert leave_out(holder, Holder()) is None
    again = leave_out(Holder(t=clone(jitter, safe=False)), jitter)
    assert torch.equal(again.t(x), x)
    assert leave_out(Holder(t=Jitter(2.0)), jitter) is None
    ring = Holder()
    ring.ring = ring
    assert leave_out(ring, jitter) is None


class Module(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


def test_joint_transforms_of_rows_and_labels():
    class Joint(v2.Transform):
        def forward(self, x, y):
            return x + torch.randn(x.shape), y

    joint = Joint()
    new = leave_out(Holder(transforms=joint), joint)
    x, y = new.transforms(torch.zeros(2), 1)
    assert torch.equal(x, torch.zeros(2))
    assert y == 1


class Dictionaries(Augmented):
    """In the style of Hugging Face."""

    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return {"X": x, "labels": y}


@quiet
def test_items_that_are_dictionaries(rows):
    X, y, *_ = rows
    given = Dictionaries(X, y, Jitter())
    for way in (Dictionaries(X, y), given.transform):
        unlearner = fitted(given, measure_on=way)
        unlearner.unlearn(indices=FORGET)
        assert unlearner.score(given) == np.mean(unlearner.predict(Dictionaries(X, y)) == y)
    with pytest.raises(ValueError, match="same rows in the same order"):
        fitted(given, measure_on=Dictionaries(X, y[::-1]))
