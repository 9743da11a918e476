"""A public base that does not learn, once, and an adapter for each shard."""

import copy
import json
import os
import pickle
import tempfile
from unittest import mock

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Unfreezer
from torch import nn

from skunlearn import PublicBackbone, RetrainUnlearner, ShardedUnlearner
from skunlearn._unlearning.certificate import model_digests
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn.exact import sharded as sharded_file
from skunlearn.exact._ensemble import ShardEnsemble
from skunlearn.exact._shards import train_shard
from skunlearn.exceptions import UnlearningError
from skunlearn.utils._check_tools import parameters, same_parameters

FORGET = np.array([3, 17, 40])
KEPT = np.setdiff1d(np.arange(60), FORGET)
GROUPS = np.arange(60) // 6


class Body(nn.Module):
    """Stands for the large public model; its first two layers are tied."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(4, 64)
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(torch.relu(self.one(torch.relu(self.enter(x)))))


class Adapted(nn.Module):
    """The base with a low-rank matrix beside it, and a head."""

    def __init__(self, base, how="frozen_module"):
        super().__init__()
        if how == "frozen_module":
            self.body = base.frozen_module()
        elif how == "itself":
            self.body = base.module
        else:
            self.body = copy.deepcopy(base.module).requires_grad_()
        self.down, self.up = nn.Linear(4, 2, bias=False), nn.Linear(2, 64, bias=False)
        self.norm, self.head = nn.BatchNorm1d(64), nn.Linear(64, 3)

    def forward(self, x):
        return self.head(self.norm(self.body(x) + self.up(self.down(x))))


class Loaded(nn.Module):
    """A base that the module's code loads, of which nobody declares anything."""

    def __init__(self, path):
        super().__init__()
        self.body = Body()
        self.body.load_state_dict(torch.load(path, weights_only=True))
        self.body.requires_grad_(False)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture
def base():
    torch.manual_seed(0)
    return PublicBackbone(Body(), trained_on="made-up data", declared_by="A. Nother")


def net(base, module=Adapted, **params):
    settings = {"max_epochs": 3, "batch_size": 8, "lr": 0.1, "train_split": None, "verbose": 0}
    settings |= {"optimizer": torch.optim.Adam, "optimizer__lr": 0.01, "module__base": base}
    return NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, **(settings | params))


def sharded(base, module=Adapted, n_slices=1, folder=None, **params):
    settings = {"n_shards": 3, "n_slices": n_slices, "folder": folder}
    return ShardedUnlearner(net(base, module, **params), random_state=0, **settings)


def same(a, b):
    pairs = zip(a.estimator_.members, b.estimator_.members, strict=True)
    return all(same_parameters(parameters(one), parameters(other)) for one, other in pairs)


def bases(unlearner):
    """Objects of the base's weights in all members."""
    return {id(m.module_.body.enter.weight) for m in unlearner.estimator_.members}


@pytest.mark.parametrize("n_slices", [1, 3])
def test_a_person_is_deleted_by_one_adapter(data, base, n_slices):
    X, y = data
    unlearner = sharded(base, n_slices=n_slices).fit(X, y, groups=GROUPS)
    assert bases(unlearner) == {id(base.module.enter.weight)}
    before = list(unlearner.estimator_.members)
    unlearner.unlearn(groups=[4])
    kept = GROUPS != 4
    again = sharded(base, n_slices=n_slices).fit(X[kept], y[kept], groups=GROUPS[kept])
    assert same(unlearner, again)
    assert np.array_equal(unlearner.predict_proba(X), again.predict_proba(X))
    assert sum(a is not b for a, b in zip(before, unlearner.estimator_.members)) == 1
    assert bases(unlearner) == {id(base.module.enter.weight)}
    # The optimizer's lists hold nothing else either.
    for member in unlearner.estimator_.members:
        held = {id(p) for group in member.optimizer_.param_groups for p in group["params"]}
        assert held == {id(p) for p in member.module_.parameters()}


def test_sharing_changes_no_prediction(data, base):
    X, y = data
    unlearner = sharded(base).fit(X, y)
    each = [copy.deepcopy(m).predict_proba(X) for m in unlearner.estimator_.members]
    assert unlearner.predict_proba(X) == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    apart = sharded(base, module__how="copy").fit(X, y)  # which trains the base too
    assert len(bases(apart)) == 3
    assert apart.estimator_.count_bytes()["shared"] == 0


def test_a_request_asks_no_copies_of_adapters(data, base, monkeypatch):
    """A look at the ensemble is no pickle of it; that took longer than the training of a shard."""
    unlearner = sharded(base).fit(*data, groups=GROUPS)
    members, asked, plain = unlearner.estimator_.members, [], ShardEnsemble._probabilities
    note = lambda self, member, X: (asked.append(member), plain(self, member, X))[1]  # noqa: E731
    monkeypatch.setattr(ShardEnsemble, "_probabilities", note)
    unlearner.unlearn(indices=[3])
    assert len(asked) == 2 * 3 + 2
    assert sum(any(one is m for m in members) for one in asked) == 2 * 3


def test_the_base_is_stored_once(data, base, tmp_path):
    X, y = data
    unlearner = sharded(base, n_slices=2, folder=tmp_path).fit(X, y)
    sizes = unlearner.estimator_.count_bytes()
    body = sum(p.numel() for p in Body().parameters()) * 4
    own = (4 * 2 + 2 * 64 + 64 * 3 + 3 + 4 * 64) * 4 + 8  # adapter, head, norm and its count
    assert sizes == {"shared": body, "own": [own] * 3}
    whole, numbers = pickle.dumps(unlearner), base.module.one.weight.detach().numpy().tobytes()
    assert pickle.dumps(unlearner.estimator_).count(numbers) == 1
    assert whole.count(numbers) == 1  # that of the recipe is the same object
    (folder,) = tmp_path.iterdir()
    files = list(folder.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size < own + 3000 < body for file in files)
    for other in (pickle.loads(whole), copy.deepcopy(unlearner)):
        assert len(bases(other)) == 1
        assert np.array_equal(other.predict_proba(X), unlearner.predict_proba(X))
        assert other.estimator_.count_bytes() == sizes
        other.unlearn(indices=FORGET)
        assert len(bases(other)) == 1
        assert same(other, sharded(base, n_slices=2).fit(X[KEPT], y[KEPT]))
        assert json.loads(other.certificate())["guarantee"] != "none"
    assert bases(unlearner) == {id(base.module.enter.weight)}  # of which none was touched


def test_the_digest_tells_members_and_base_apart(data, base):
    X, y = data
    unlearner = sharded(base).fit(X, y)
    digest = model_digest(unlearner.estimator_)
    assert model_digest(pickle.loads(pickle.dumps(unlearner.estimator_))) == digest
    hashed = []
    with mock.patch.object(model_digests, "torch_line", lambda *line: hashed.append(line) or ""):
        model_digest(unlearner.estimator_)
    assert sum(tensor is base.module.one.weight for _, tensor in hashed) == 1
    seen = {digest["digest"]}
    last = unlearner.estimator_.members[2].module_
    for tensor in (base.module.two.bias, last.head.bias, last.norm.running_mean):
        with torch.no_grad():
            tensor += 1
        seen.add(model_digest(unlearner.estimator_)["digest"])
    assert len(seen) == 4


def test_shards_from_processes_stand_on_the_backbone_too(data, base, monkeypatch):
    def train_elsewhere(*args):
        return pickle.loads(pickle.dumps(train_shard(*pickle.loads(pickle.dumps(args)))))

    X, y = data
    monkeypatch.setattr(sharded_file, "train_shard", train_elsewhere)
    unlearner = sharded(base).fit(X, y).unlearn(indices=FORGET)
    assert bases(unlearner) == {id(base.module.enter.weight)}
    assert same(unlearner, sharded(base).fit(X[KEPT], y[KEPT]))


@pytest.mark.parametrize("method", ["shards", "retraining"])
def test_the_certificate_quotes_who_declared_the_base_public(data, base, method):
    X, y = data
    make = {"shards": sharded, "retraining": lambda b: RetrainUnlearner(net(b), random_state=0)}
    unlearner = make[method](base).fit(X, y).unlearn(indices=FORGET)
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == unlearner._make_promises().guarantee
    (declared,) = certificate["declared"]
    assert declared == {"step": "estimator__module__base (PublicBackbone)", **base.declaration()}
    assert "Declared by: A. Nother. That is not checked." in certificate["notes"][0]
    assert unlearner.deletions_[0]["exact"]


def test_another_base_than_in_fit_takes_the_guarantee(data, base):
    X, y = data
    unlearner = sharded(base).fit(X, y)
    with torch.no_grad():
        base.module.enter.weight[0, 0] += 1
    unlearner.unlearn(indices=FORGET)
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "none"
    assert "not what was declared in fit" in certificate["notes"][0]


def test_a_base_of_which_nothing_is_declared_is_shared_and_named(data):
    X, y = data
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "public.pt")
        torch.save(Body().state_dict(), path)
        params = {"module": Loaded, "module__path": path, "n_slices": 2}
        recipe = sharded(None, **params)
        recipe.estimator = NeuralNetClassifier(
            Loaded, module__path=path, criterion=nn.CrossEntropyLoss, max_epochs=2,
            train_split=None, verbose=0,
        )  # fmt: skip
        unlearner = recipe.fit(X, y)
        assert len(bases(unlearner)) == 1
        other = copy.deepcopy(unlearner)
        other.unlearn(indices=FORGET)
        certificate = json.loads(other.certificate())
        assert certificate["guarantee"] == "none"
        assert "weights that are the same whatever the seed" in certificate["notes"][0]
        # Checkpoints hold no base: another one in the file is not taken for it.
        torch.save(Body().state_dict(), path)
        late = np.flatnonzero(unlearner._places[1] == 1)[:1]
        with pytest.raises(UnlearningError, match="no longer what the module built in fit"):
            unlearner.unlearn(indices=late)


def test_a_declared_base_that_would_be_trained_is_refused(data, base):
    X, y = data
    before = base.declaration()
    with pytest.raises(TypeError, match=r"very layers of estimator__module__base.*frozen_module"):
        sharded(base, module__how="itself").fit(X, y)
    assert base.declaration() == before
    thaw = [("thaw", Unfreezer("body.*", at=2))]
    with pytest.raises(UnlearningError, match="has changed the weights of estimator__module__base"):
        sharded(base, callbacks=thaw).fit(X, y)


class Writes(Adapted):
    """An adapter that takes a part of the base over, as PiSSA does, past torch's count."""

    def __init__(self, base, exchanged):
        super().__init__(base)
        weight = self.body.enter.weight
        if exchanged:
            weight.data = weight.data * 0.5
        else:
            weight.data.mul_(0.5)


@pytest.mark.parametrize("exchanged", [True, False])
def test_adapters_that_write_into_the_base_are_refused(data, base, exchanged):
    X, y = data
    with pytest.raises(UnlearningError, match=r"changed the weights of .*writes into what"):
        sharded(base, Writes, module__exchanged=exchanged).fit(X, y)


class Merging(Adapted):
    """An adapter that is put into the base for predictions, as loralib's are."""

    def __init__(self, base):
        super().__init__(base)
        self.low, self.high = nn.Linear(4, 1, bias=False), nn.Linear(1, 64, bias=False)
        nn.init.zeros_(self.high.weight)
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if self.merged is mode:
            weight, sign = self.body.enter.weight, -1 if mode else 1
            weight.data += sign * (self.high.weight @ self.low.weight)
            self.merged = not mode
        return self

    def forward(self, x):
        beside = 0 if self.merged else self.high(self.low(x))
        return self.head(self.norm(self.body(x) + beside))


def test_adapters_that_are_merged_for_predictions_are_refused(data, base):
    X, y = data
    with pytest.raises(UnlearningError, match=r"merges its adapter into .*copy.deepcopy\(net\)"):
        sharded(base, Merging).fit(X, y)


class Sized(Adapted):
    """As of DoRA, the sizes of the base's rows learn; and other sizes are somebody else's."""

    def __init__(self, base, factor=1):
        super().__init__(base)
        self.size = nn.Parameter(factor * torch.linalg.norm(self.body.one.weight, dim=1))

    def forward(self, x):
        return self.head(self.norm(self.size * self.body(x) + self.up(self.down(x))))


@pytest.mark.parametrize("factor, known", [(1, True), (1.5, False)])
def test_norms_of_declared_weights_are_declared(data, base, factor, known):
    X, y = data
    unlearner = sharded(base, Sized, module__factor=factor).fit(X, y).unlearn(indices=FORGET)
    certificate = json.loads(unlearner.certificate())
    assert (certificate["guarantee"] != "none") is known
    assert same(unlearner, sharded(base, Sized, module__factor=factor).fit(X[KEPT], y[KEPT]))


def test_files_are_not_written_into_a_backbone(data, base, tmp_path):
    X, y = data
    saved = RetrainUnlearner(net(base), random_state=0).fit(X, y)
    saved.save(tmp_path / "net.safetensors")
    other = PublicBackbone(Body(), trained_on="other data", declared_by="A. Nother")
    before = other.declaration()
    loaded = RetrainUnlearner(net(other), random_state=0).load(tmp_path / "net.safetensors")
    assert np.array_equal(loaded.predict_proba(X), saved.predict_proba(X))
    assert other.declaration() == before
    again = RetrainUnlearner(net(base), random_state=0).load(tmp_path / "net.safetensors")
    assert again.estimator_.module_.body.one.weight is base.module.one.weight


def test_frozen_parts_drawn_by_each_shard_stay_their_own(data):
    class Random(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Body().requires_grad_(False)
            self.head = nn.Linear(64, 3)

        def forward(self, x):
            return self.head(self.body(x))

    X, y = data
    recipe = NeuralNetClassifier(
        Random, criterion=nn.CrossEntropyLoss, max_epochs=2, train_split=None, verbose=0
    )
    unlearner = ShardedUnlearner(recipe, n_shards=3, random_state=0).fit(X, y)
    assert len(bases(unlearner)) == 3
    unlearner.unlearn(indices=FORGET)
    again = ShardedUnlearner(recipe, n_shards=3, random_state=0).fit(X[KEPT], y[KEPT])
    assert same(unlearner, again)
    assert json.loads(unlearner.certificate())["guarantee"] != "none"


class WithLora(nn.Module):
    """An adapter of peft on a public base, of which the head is trained whole."""

    def __init__(self, base, **settings):
        super().__init__()
        peft = pytest.importorskip("peft", reason="the extra transformers brings it")
        settings |= {"target_modules": ["one", "enter"], "modules_to_save": ["head"]}
        config = peft.LoraConfig(r=2, **settings)
        model = nn.Sequential()
        model.add_module("body", base.frozen_module())
        model.add_module("head", nn.Linear(64, 3))
        self.model = peft.get_peft_model(model, config)

    def forward(self, x):
        return self.model(x)


def test_adapters_of_peft_that_write_into_the_base_are_refused(data, base):
    pytest.importorskip("peft", reason="the extra transformers brings it")
    with pytest.raises(UnlearningError, match="writes into what it is put on"):
        sharded(base, WithLora, module__init_lora_weights="pissa").fit(*data)


@pytest.mark.parametrize("use_dora", [False, True])
def test_an_adapter_of_peft_for_each_shard(data, base, use_dora):
    pytest.importorskip("peft", reason="the extra transformers brings it")
    X, y = data
    params = {"module": WithLora, "module__use_dora": use_dora}
    unlearner = sharded(base, **params).fit(X, y, groups=GROUPS)
    sizes = unlearner.estimator_.count_bytes()
    body = sum(p.numel() for p in Body().parameters()) * 4
    assert sizes["shared"] == body
    assert max(sizes["own"]) < body / 4
    unlearner.unlearn(groups=[4])
    kept = GROUPS != 4
    again = sharded(base, **params).fit(X[kept], y[kept], groups=GROUPS[kept])
    assert same(unlearner, again)
    assert unlearner.deletions_[0]["shards_retrained"] == 1
    assert json.loads(unlearner.certificate())["guarantee"] != "none"
    other = pickle.loads(pickle.dumps(unlearner))
    assert np.array_equal(other.predict_proba(X), unlearner.predict_proba(X))


class SmallViT(nn.Module):
    """A vision transformer that returns logits."""

    def __init__(self):
        super().__init__()
        transformers = pytest.importorskip("transformers", reason="an extra brings it")
        config = transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=8,
            patch_size=4,
            num_channels=1,
            num_labels=3,
        )
        self.vit = transformers.ViTForImageClassification(config)

    def forward(self, x):
        return self.vit(pixel_values=x).logits


class AdaptedViT(nn.Module):
    """An adapter in each of its attentions, and a head that is trained whole."""

    def __init__(self, base):
        super().__init__()
        peft = pytest.importorskip("peft", reason="the extra transformers brings it")
        layers = r".*attention.*(q_proj|v_proj|query|value)"
        config = peft.LoraConfig(r=4, target_modules=layers, modules_to_save=["classifier"])
        self.model = peft.get_peft_model(base.frozen_module(), config)

    def forward(self, x):
        return self.model(x)


def test_an_adapter_of_a_vision_transformer_for_each_shard(data):
    pytest.importorskip("peft", reason="the extra transformers brings it")
    y = data[1]
    X = np.random.default_rng(0).normal(size=(60, 1, 8, 8)).astype(np.float32)
    torch.manual_seed(0)
    base = PublicBackbone(SmallViT(), trained_on="nothing", declared_by="A. Nother")
    declared = base.declaration()
    unlearner = sharded(base, AdaptedViT).fit(X, y, groups=GROUPS)
    sizes = unlearner.estimator_.count_bytes()
    assert max(sizes["own"]) < sizes["shared"] / 2
    unlearner.unlearn(groups=[4])
    kept = GROUPS != 4
    again = sharded(base, AdaptedViT).fit(X[kept], y[kept], groups=GROUPS[kept])
    assert same(unlearner, again)
    assert np.array_equal(unlearner.predict_proba(X), again.predict_proba(X))
    assert unlearner.deletions_[0]["shards_retrained"] == 1
    assert base.declaration() == declared
    assert json.loads(unlearner.certificate())["guarantee"] == "retrained without the rows"
    # Merged into a copy, an adapter is in no other net.
    member, before = copy.deepcopy(unlearner.estimator_.members[0]), unlearner.predict_proba(X)
    said = member.predict_proba(X)
    member.module_.model = member.module_.model.merge_and_unload()
    np.testing.assert_allclose(member.predict_proba(X), said, atol=1e-5)
    assert np.array_equal(unlearner.predict_proba(X), before)
    assert base.declaration() == declared
