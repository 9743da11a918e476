"""The checks of the verb must catch unlearners that are wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skunlearn import FineTuneUnlearner, NegGradPlusUnlearner, NetUnlearner, RetrainUnlearner
from skunlearn._torch import skorch_nets
from skunlearn._torch.loop import fit_loop
from skunlearn.utils import check_unlearner, yield_unlearning_checks
from skunlearn.utils import estimator_checks as checks
from tests.instances import NormNet, make_net


class DoesNothing(NetUnlearner):
    def _unlearn(self, net, retain, forget):
        return net


class IgnoresForgetSet(NetUnlearner):
    """Destroys the model in the same way, whatever is to be forgotten."""

    def _attempt(self, retain, forget, seed):
        net = skorch_nets.copy_net(self.estimator_)
        with torch.no_grad():
            for p in net.module_.parameters():
                p.zero_()
        return net


class Overshoots(NetUnlearner):
    """Away from the original, but not toward the retrained net."""

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            net.module_.out.bias += torch.tensor([50.0] + [-50.0] * 9)


class WorksInPlace(FineTuneUnlearner):
    def _attempt(self, retain, forget, seed):
        return fit_loop.train(self.estimator_, retain, epochs=2)


class DrawsFromGlobalGenerator(FineTuneUnlearner):
    def unlearn(self, *args, **kwargs):
        torch.rand(1)
        return super().unlearn(*args, **kwargs)


class KeepsRows(FineTuneUnlearner):
    def _unlearn(self, net, retain, forget):
        net.kept_ = forget.arrays()[0]
        return super()._unlearn(net, retain, forget)


class KeepsTheOldNet(FineTuneUnlearner):
    def _unlearn(self, net, retain, forget):
        self.before_ = self.estimator_
        return super()._unlearn(net, retain, forget)


class ReadsWhatIsGone(FineTuneUnlearner):
    """And says that it does not."""

    def _unlearn(self, net, retain, forget):
        net.module_.out.bias.data[int(forget.y[0])] -= 1
        return super()._unlearn(net, retain, forget)


class LosesItsState(FineTuneUnlearner):
    """By putting it beside the model, where no file finds it."""

    def _unlearn(self, net, retain, forget):
        net.module_.out.bias.data[0] -= getattr(self.estimator_, "steps_", 0)
        net.steps_ = getattr(self.estimator_, "steps_", 0) + 1
        return super()._unlearn(net, retain, forget)


class SwallowsInterruptsOfSkorch(FineTuneUnlearner):
    def _unlearn(self, net, retain, forget):
        net.partial_fit(retain.X, retain.y)


class TrainsOnForgetRows(RetrainUnlearner):
    def _attempt(self, retain, forget, seed):
        return self._train(self._record.view(np.arange(len(self._record))))


class ReadsTheContainer(FineTuneUnlearner):
    """A step without labels, on all rows that it can reach."""

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            x = torch.as_tensor(retain.source, dtype=torch.float32)
            net.module_.out.bias -= 0.1 * net.infer(x).mean(dim=0)
        return super()._unlearn(net, retain, forget)


class ReadsItsView(FineTuneUnlearner):
    """The same step, as it should be."""

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            x = torch.as_tensor(retain.X, dtype=torch.float32)
            net.module_.out.bias -= 0.1 * net.infer(x).mean(dim=0)
        return super()._unlearn(net, retain, forget)


class ReadsLabelsOfAll(FineTuneUnlearner):
    """The labels of forget rows, by way of the retained ones'."""

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            net.module_.out.bias[0] += 0.1 * float(retain.all_y.mean())
        return super()._unlearn(net, retain, forget)


class ClaimsToRead(NetUnlearner):
    """The forget rows; and trains on the retained ones, whatever the others are."""

    def _unlearn(self, net, retain, forget):
        return self._run(net, retain)


class ClaimsNotTo(ClaimsToRead):
    """Read them, and looks at them where it can."""

    _promises = replace(NetUnlearner._promises, reads_forget_rows=False)

    def _unlearn(self, net, retain, forget):
        if forget is not None:
            with torch.no_grad():
                net.module_.out.bias -= 0.01 * float(np.mean(forget.X))
        return super()._unlearn(net, retain, forget)


class ClaimsNotToNameThem(NetUnlearner):
    """Reads labels of which it says that it does not."""

    _promises = replace(NetUnlearner._promises, reads_forget_labels=False)

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            net.module_.out.bias -= 0.01 * float(np.mean(forget.X)) + 0.01 * float(forget.y.mean())
        return self._run(net, retain)


class SwallowsInterrupt(FineTuneUnlearner):
    def unlearn(self, *args, **kwargs):
        try:
            return super().unlearn(*args, **kwargs)
        except KeyboardInterrupt:
            return self


@pytest.mark.parametrize(
    "check, unlearner",
    [
        (checks.check_reads_forget_set, DoesNothing),
        (checks.check_reads_forget_set, IgnoresForgetSet),
        (checks.check_moves_toward_retrained, DoesNothing),
        (checks.check_moves_toward_retrained, Overshoots),
        (checks.check_moves_toward_retrained, TrainsOnForgetRows),
        (checks.check_all_or_nothing, WorksInPlace),
        (checks.check_all_or_nothing, SwallowsInterrupt),
        (checks.check_generators_untouched, DrawsFromGlobalGenerator),
        (checks.check_pickle, KeepsRows),
        (checks.check_pickle, KeepsTheOldNet),
        (checks.check_files, LosesItsState),
        (checks.check_rows_of_request, ReadsWhatIsGone),
        (checks.check_all_or_nothing, SwallowsInterruptsOfSkorch),
        (checks.check_second_request, DoesNothing),
    ],
)
def test_checks_catch_wrong_unlearners(check, unlearner):
    with pytest.raises(AssertionError):
        check(unlearner(make_net(), random_state=0))


@pytest.mark.parametrize("cls", [ReadsTheContainer, ReadsLabelsOfAll, TrainsOnForgetRows])
def test_rows_outside_of_the_views_are_not_to_be_read(cls):
    """Nor in silence: the author is told why."""
    with pytest.raises(AssertionError, match=r"rows that are not in the view.*`source` of a view"):
        checks.check_reads_only_its_rows(cls(make_net(), random_state=0))
    checks.check_reads_only_its_rows(ReadsItsView(make_net(), random_state=0))


@pytest.mark.parametrize(
    "cls, message",
    [
        (ClaimsToRead, "follows from the retained rows alone"),
        (ClaimsNotTo, "another model, of a method that says reads_forget_rows=False"),
        (ClaimsNotToNameThem, "another model, of a method that says reads_forget_labels=False"),
    ],
)
def test_what_a_method_reads_is_what_it_says_that_it_reads(cls, message):
    """Of none of them another check can tell: other forget rows leave other rows to train on."""
    checks.check_reads_forget_set(cls(make_net(), random_state=0))
    with pytest.raises(AssertionError, match=message):
        checks.check_reads_as_declared(cls(make_net(), random_state=0))
    for honest in (FineTuneUnlearner, NegGradPlusUnlearner):
        checks.check_reads_as_declared(honest(make_net(), random_state=0))


class KeepsStatistics(FineTuneUnlearner):
    """Leaves the running statistics of the original."""

    def _renew_model(self, removal):
        model = self._attempt(removal.retain, removal.forget, 0)
        model.module_.norm.load_state_dict(self.estimator_.module_.norm.state_dict())
        return model, []


def test_checks_catch_running_statistics():
    net = make_net().set_params(module=NormNet)
    with pytest.raises(AssertionError, match=r"still holds forgotten ones|statistics were taken"):
        checks.check_running_statistics(KeepsStatistics(net, random_state=0))
    assert checks.check_running_statistics in list(yield_unlearning_checks(FineTuneUnlearner(net)))


def test_checks_catch_wrong_seeds():
    class Fixed(FineTuneUnlearner):
        @property
        def _seed(self):
            return 0

        @_seed.setter
        def _seed(self, value):
            pass

    with pytest.raises(AssertionError, match="seed"):
        checks.check_seeds(Fixed(make_net(), random_state=0))


def test_docstring_lists_every_check():
    unlearner = RetrainUnlearner(make_net().set_params(module=NormNet))
    for check in yield_unlearning_checks(unlearner):
        assert f"`{check.__name__}`" in checks.__doc__
        assert check.__doc__


def test_check_unlearner_runs_everything():
    check_unlearner(RetrainUnlearner(LogisticRegression()))
    with pytest.raises(AssertionError):
        check_unlearner(DoesNothing(make_net()))
