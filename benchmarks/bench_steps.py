"""SCRUB, NegGrad+ and SalUn against hand-written loops of the same mathematics."""

import argparse
import copy
import functools

import numpy as np
import torch
from _goals import goal, paired
from _timing import medians, report, timed_rounds
from bench_loop import CNN, MLP
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax

from skunlearn import NegGradPlusUnlearner, SalUnUnlearner, SCRUBUnlearner
from skunlearn._rows.views import Rows

BATCH, RATE, EPOCHS = 128, 0.01, 3
CHANCE = float(np.log(10))


class Hand:
    """A model, its rows, and what the loops below share."""

    def __init__(self, module, X, y, forget):
        self.model = module
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        self.forget, self.retain = torch.from_numpy(forget), torch.from_numpy(~forget)
        self.forget, self.retain = (m.nonzero().squeeze(1) for m in (self.forget, self.retain))

    def optimizer(self):
        return torch.optim.SGD(self.model.parameters(), lr=RATE, momentum=0.9)

    def batches(self, rows):
        order = rows[torch.randperm(len(rows))]
        return order.split(BATCH)

    def step(self, optimizer, loss, rate, max_norm=None):
        optimizer.zero_grad()
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        return loss.item()


def neg_grad_plus(hand):
    optimizer, steps = hand.optimizer(), EPOCHS * len(hand.batches(hand.retain))
    others, done = iter(()), 0
    for _ in range(EPOCHS):
        for i in hand.batches(hand.retain):
            f = next(others, None)
            if f is None:
                others = iter(hand.batches(hand.forget))
                f = next(others)
            climbed = cross_entropy(hand.model(hand.X[f]), hand.y[f], reduction="none")
            descent = cross_entropy(hand.model(hand.X[i]), hand.y[i])
            loss = 0.85 * descent - 0.15 * climbed.clamp(max=CHANCE).mean()
            hand.step(optimizer, loss, RATE * (1 - done / steps), max_norm=1.0)
            done += 1


def salun(hand):
    params = list(hand.model.parameters())
    total = [torch.zeros_like(p) for p in params]
    for f in hand.forget.split(256):
        loss = cross_entropy(hand.model(hand.X[f]), hand.y[f], reduction="sum") / len(hand.forget)
        for sum_, grad in zip(total, torch.autograd.grad(loss, params), strict=True):
            sum_.add_(grad)
    whole = torch.cat([g.abs().flatten() for g in total])
    free = torch.zeros(len(whole), dtype=torch.bool)
    free[whole.argsort(descending=True, stable=True)[: round(0.5 * len(whole))]] = True
    free = [m.view_as(p) for m, p in zip(free.split([p.numel() for p in params]), params)]
    anchors = [p.detach().clone() for p in params]
    optimizer, steps, done = (
        hand.optimizer(),
        EPOCHS * len(hand.batches(torch.arange(len(hand.y)))),
        0,
    )
    for _ in range(EPOCHS):
        labels = hand.y.clone()
        labels[hand.forget] = (labels[hand.forget] + torch.randint(1, 10, (len(hand.forget),))) % 10
        for i in hand.batches(torch.arange(len(hand.y))):
            loss = cross_entropy(hand.model(hand.X[i]), labels[i])
            hand.step(optimizer, loss, RATE * (1 - done / steps))
            with torch.no_grad():
                for p, anchor, mask in zip(params, anchors, free, strict=True):
                    p.copy_(torch.where(mask, p, anchor))
                    optimizer.state[p]["momentum_buffer"].mul_(mask)
            done += 1


def scrub(hand):
    teacher = copy.deepcopy(hand.model).requires_grad_(False)

    def divergence(x, out):
        with torch.no_grad():
            p = log_softmax(teacher(x) / 4, dim=1).exp()
        return 16 * nn.functional.kl_div(log_softmax(out / 4, dim=1), p, reduction="none").sum(1)

    for epoch in range(EPOCHS):
        rate = RATE * (1 - epoch / EPOCHS)
        if epoch < 2:
            optimizer = hand.optimizer()
            for f in hand.batches(hand.forget):
                out = hand.model(hand.X[f])
                known = cross_entropy(out.detach(), hand.y[f], reduction="none") < CHANCE
                loss = -(known * divergence(hand.X[f], out)).mean()
                hand.step(optimizer, loss, rate, max_norm=5.0)
        optimizer = hand.optimizer()
        for i in hand.batches(hand.retain):
            out = hand.model(hand.X[i])
            loss = 0.99 * cross_entropy(out, hand.y[i])
            loss = loss + 0.001 * divergence(hand.X[i], out).mean()
            hand.step(optimizer, loss, rate)


METHODS = {
    "NegGrad+": (NegGradPlusUnlearner, neg_grad_plus),
    "SalUn": (SalUnUnlearner, salun),
    "SCRUB": (SCRUBUnlearner, scrub),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nets", nargs="+", default=["MLP", "CNN"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, options.rows)
    forget = rng.random(options.rows) < 0.1
    nets = {"MLP": (MLP, (64,)), "CNN": (CNN, (1, 28, 28))}
    for name in options.nets:
        module, shape = nets[name]
        X = rng.normal(size=(options.rows, *shape)).astype(np.float32)
        net = NeuralNetClassifier(
            module, criterion=nn.CrossEntropyLoss, lr=RATE, optimizer__momentum=0.9, max_epochs=1,
            batch_size=BATCH, iterator_train__shuffle=True, train_split=None, verbose=0,
        )  # fmt: skip
        views = [Rows(X, y, np.flatnonzero(m)) for m in (~forget, forget)]
        for method, (cls, loop) in METHODS.items():
            unlearner = cls(net, lr=RATE, max_epochs=EPOCHS, random_state=0).fit(X, y)

            def by_hand(unlearner=unlearner, loop=loop, X=X):
                loop(Hand(copy.deepcopy(unlearner.estimator_.module_), X, y, forget))

            ours = functools.partial(unlearner._attempt, *views, 0)
            times = timed_rounds({"hand-written loop": by_hand, "skunlearn": ours}, options.rounds)
            title = f"{method}, {name}, {options.rows} rows, {EPOCHS} epochs, batch {BATCH}"
            report(title, medians(times), "hand-written loop")
            ratio = paired(times["skunlearn"], times["hand-written loop"])
            goal(f"{method} step / hand-written loop, {name}", ratio, at_most=1.05)


if __name__ == "__main__":
    main()
