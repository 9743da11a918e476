"""Unlearning by influence functions."""

from skunlearn.influence._editor import CurvatureEditor


class InfluenceUnlearner(CurvatureEditor):
    """X"""

    def _unlearn(self, net, retain, forget):
        objective, solve = self._objective(net, retain, forget)
        pushed = objective.gradient(forget) / objective.mass(retain)
        self._move(objective, self.step * solve(pushed[None])[0])
