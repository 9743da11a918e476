"""The nets of `skunlearn.nets`: shapes, inputs, seeding, layout, and what they must not know."""

import copy

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.datasets import load_digits_images
from skunlearn.nets import CIFARResNet18, DigitsNet, FastCIFARNet
from skunlearn.nets._augment import flip_and_shift
from skunlearn.nets._inputs import as_float
from skunlearn.nets.fast_cifar_net import opponent_cosine_basis

SMALL = (4, 8, 8)


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8))


@pytest.mark.parametrize(
    "make, n", [(DigitsNet, 9930), (CIFARResNet18, 11173962), (FastCIFARNet, 1089408)]
)
def test_parameter_counts(make, n):
    assert sum(p.numel() for p in make().parameters()) == n


@pytest.mark.parametrize("make", [CIFARResNet18, FastCIFARNet])
def test_bytes_and_the_floats_they_stand_for_agree(make, pixels):
    torch.manual_seed(0)
    net = make(n_classes=7).eval()
    with torch.no_grad():
        logits = net(pixels)
        assert torch.equal(logits, net(as_float(pixels)))
    assert logits.shape == (6, 7)
    assert logits.dtype == torch.float32
    assert logits.std() > 0
    with pytest.raises(TypeError, match="uint8 or floating point"):
        net(pixels.long())


def test_bytes_are_mapped_to_minus_two_and_two():
    ends = as_float(torch.tensor([0, 255], dtype=torch.uint8))
    assert ends.tolist() == [-2, 2]
    given = torch.rand(3, dtype=torch.float64)
    assert as_float(given) is given


def test_the_resnet_has_the_stem_for_small_images(pixels):
    net = CIFARResNet18().eval()
    shapes = []
    for part in (net.resnet.conv1, net.resnet.layer1, net.resnet.layer4):
        part.register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape[1:])))
    net(pixels[:2])
    assert shapes == [(64, 32, 32), (64, 32, 32), (512, 4, 4)]


def test_the_stem_is_analytic():
    stem = opponent_cosine_basis()
    assert stem.shape == (24, 3, 2, 2)
    assert torch.equal(stem[:12], -stem[12:])
    flat = stem[:12].flatten(1)
    gram = flat @ flat.T
    assert torch.allclose(gram, torch.diag(gram.diag()), atol=1e-5)  # orthogonal, full rank
    assert gram.diag().min() > 0
    torch.manual_seed(1)
    net = FastCIFARNet(widths=SMALL)
    assert torch.equal(net.stem, stem)
    assert "stem" not in net.state_dict()
    assert not net.stem.requires_grad


def test_nets_know_nothing_of_rows_before_training(pixels):
    # A stem fitted at the first batch would show here.
    for make in (CIFARResNet18, FastCIFARNet):
        torch.manual_seed(0)
        fresh = make()
        seen = copy.deepcopy(fresh).eval()
        seen(pixels)
        for name, value in fresh.state_dict().items():
            assert torch.equal(value, seen.state_dict()[name]), name


def test_augmentation_follows_the_global_seed(pixels):
    torch.manual_seed(0)
    net = FastCIFARNet(widths=SMALL)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(net.train()(pixels))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    state = torch.get_rng_state()
    net.eval()(pixels)
    plain = FastCIFARNet(widths=SMALL, augment=False).train()
    before = torch.get_rng_state()
    plain(pixels)
    assert torch.equal(before, torch.get_rng_state())  # drew nothing
    torch.set_rng_state(state)
    net.eval()(pixels)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_flip_and_shift_gives_crops_of_the_padded_image(memory_format):
    torch.manual_seed(0)
    x = torch.rand(400, 3, 6, 7).contiguous(memory_format=memory_format)
    padded = nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    crops = {}
    for dy in range(5):
        for dx in range(5):
            crop = padded[:, :, dy : dy + 6, dx : dx + 7]
            crops[dy, dx, False] = crop
            crops[dy, dx, True] = crop.flip(3)
    out = flip_and_shift(x, 2)
    assert out.shape == x.shape
    matches = {k: (out == crop).flatten(1).all(1) for k, crop in crops.items()}
    assert torch.stack(list(matches.values())).any(0).all()
    counts = {k: int(hit.sum()) for k, hit in matches.items()}
    assert min(counts.values()) > 0  # each of the 50 occurs; 8 are expected of each
    assert 150 < sum(n for (_, _, flipped), n in counts.items() if flipped) < 250


def test_flip_and_shift_keeps_channels_last():
    x = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert flip_and_shift(x, 2).is_contiguous(memory_format=torch.channels_last)


def test_convolutions_run_in_channels_last(pixels):
    net = FastCIFARNet(widths=SMALL)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 6
    seen = []
    for part in convolutions:
        assert part.weight.is_contiguous(memory_format=torch.channels_last)
        part.register_forward_hook(
            lambda *args: seen.append(args[1][0].is_contiguous(memory_format=torch.channels_last))
        )
    net(pixels)
    assert seen == [True] * 6
    twin = copy.deepcopy(net)
    assert twin.groups[0][0].weight.is_contiguous(memory_format=torch.channels_last)


def test_mirror_averages_with_the_mirror_image(pixels):
    torch.manual_seed(0)
    net = FastCIFARNet(widths=SMALL, autocast=False).eval()
    averaged, flipped = net(pixels), net(pixels.flip(3))
    torch.testing.assert_close(averaged, flipped)
    net.mirror = False
    torch.testing.assert_close(averaged, (net(pixels) + net(pixels.flip(3))) / 2)
    assert not torch.allclose(averaged, net(pixels))


def test_autocast(pixels):
    torch.manual_seed(0)
    net = FastCIFARNet(widths=SMALL, augment=False, mirror=False).eval()
    kinds, outputs = [], {}
    net.groups[0][0].register_forward_hook(lambda *args: kinds.append(args[2].dtype))
    for net.autocast in (True, False):
        outputs[net.autocast] = net(pixels)
    assert kinds == [torch.bfloat16, torch.float32]
    assert outputs[True].dtype == torch.float32
    assert not torch.equal(outputs[True], outputs[False])
    # bfloat16 keeps 8 significant bits; a handful of layers add up to some percent.
    assert (outputs[True] - outputs[False]).abs().max() < 0.1 * outputs[False].abs().max()
    with pytest.raises(ValueError, match="autocast"):
        FastCIFARNet(autocast="bf16")


def test_every_parameter_gets_a_gradient(pixels):
    for net in (FastCIFARNet(widths=SMALL), CIFARResNet18()):
        nn.functional.cross_entropy(net(pixels), torch.arange(6)).backward()
        for name, p in net.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().sum() > 0, name


def test_nets_within_skorch(pixels):
    net = NeuralNetClassifier(
        FastCIFARNet,
        module__n_classes=3,
        module__widths=SMALL,
        criterion=nn.CrossEntropyLoss,
        max_epochs=1,
        train_split=None,
        verbose=0,
    ).fit(pixels.numpy(), np.array([0, 1, 2, 0, 1, 2]))
    p = net.predict_proba(pixels.numpy())
    assert p.shape == (6, 3)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_digits_net_reaches_97_percent():
    X, y = load_digits_images(return_X_y=True)
    train = np.arange(len(X)) % 4 != 0
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        DigitsNet,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.02,
        batch_size=64,
        max_epochs=15,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).fit(X[train], y[train])
    assert net.score(X[~train], y[~train]) >= 0.97
