"""Sums over rows that are free of rounding, so that rows leave them without a trace.

Every column is written in whole numbers of 54 bits, as three parts of 18 (error-free splitting, as
in Ozaki et al., "Error-free transformations of matrix multiplication", Numerical Algorithms 2012).
Products of parts have 36 bits and are added up exactly, first in float64 and then in int64. When
rows are taken out again, the very sums of the others are left.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from skunlearn.exact import _double

_BITS = 18
_ROWS = 2**16  # 36 bits and 16 fit the 53 of a float64
_CELLS = 2**17  # numbers that are worked on at a time, so that they stay in the cache
_MOST_ROWS = 2**25  # 37 bits and 25 fit an int64
# By the power of 2^18 that it stands for, each product of two parts and how often it occurs.
_PRODUCTS = (((0, 0, 1),), ((0, 1, 2),), ((0, 2, 2), (1, 1, 1)), ((1, 2, 2),), ((2, 2, 1),))
_RESOLVED = 98  # bits of a sum of squares below which nothing but rounding is left of a spread
_FINE = 2.0**-40  # largest step of a column in units of its root mean square


@dataclass(frozen=True)
class Sums:
    """Sums of rows, and of squares or products of their values, over groups of rows.

    Attributes
    ----------
    n : int64 array of shape (g, p)
        Values of each group and column that are not missing.
    first : int64 array of shape (3, g, p)
    second : int64 array of shape (5, g, p) or (5, p, p), or None
        Squares by group, or products over all rows.
    kind : {None, "squares", "products"}
    shift : int array of shape (p,)
        Columns are multiplied by 2 to this power.
    rounded : bool array of shape (p,)
        Whether fractions were left then, and rounded off.
    """

    n: np.ndarray
    first: np.ndarray
    second: np.ndarray | None
    kind: str | None
    shift: np.ndarray
    rounded: np.ndarray

    @classmethod
    def of(cls, X, groups, n_groups, kind=None):
        """Sums over the rows of `X`, an array or csr matrix of shape (n, p).

        `groups` of shape (n,) numbers the group of each row. NaN stands for a missing value, which
        does not count (not with "products").
        """
        n, p = X.shape
        if n > _MOST_ROWS:
            raise ValueError(f"Exact sums hold {_MOST_ROWS} rows at most, got {n}.")
        shapes = {None: None, "squares": (5, n_groups, p), "products": (5, p, p)}
        empty = cls(
            np.zeros((n_groups, p), np.int64),
            np.zeros((3, n_groups, p), np.int64),
            None if kind is None else np.zeros(shapes[kind], np.int64),
            kind,
            _shift(X),
            np.zeros(p, bool),
        )
        return empty._plus(X, groups, 1)

    def without(self, X, groups):
        """The sums when some of the rows go."""
        return self._plus(X, groups, -1)

    def move(self, X, before, after):
        """The sums when rows go from some groups to others."""
        return self._plus(X, before, -1)._plus(X, after, 1)

    def _plus(self, X, groups, sign):
        new = replace(
            self,
            n=self.n.copy(),
            first=self.first.copy(),
            second=None if self.second is None else self.second.copy(),
            rounded=self.rounded.copy(),
        )
        split = _split_sparse if sparse.issparse(X) else _split_dense
        for rows in _pieces(X):
            parts, absent, rounded = split(X[rows], self.shift)
            of = _indicator(groups[rows], len(self.n))
            new.rounded[:] |= rounded
            new.n[:] += sign * np.bincount(groups[rows], minlength=len(self.n))[:, None]
            if absent is not None:
                new.n[:] -= sign * _dense(of @ absent)
            for total, part in zip(new.first, parts):
                total += sign * _dense(of @ part)
            for level, products in enumerate(_PRODUCTS if self.kind else ()):
                for i, j, times in products:
                    new.second[level] += sign * self._product(of, parts[i], parts[j], times)
        return new

    def _product(self, of, a, b, times):
        if self.kind == "squares":
            return times * _dense(of @ (a.multiply(b) if sparse.issparse(a) else a * b))
        product = _dense(a.T @ b)
        return product + product.T if times == 2 else product

    # ------------------------------------------------------------------ what follows from them

    def count(self):
        """Rows of each group, where no value is missing."""
        return self.n[:, 0]

    def totals(self):
        """Sums over each group, a float array of shape (g, p)."""
        high, low = _double.of_integers(self.first, _BITS)
        return np.ldexp(high + low, -self.shift)

    def means(self):
        """Means of each group, a float array of shape (g, p); NaN for one without rows."""
        with np.errstate(invalid="ignore"):
            high, low = _double.divide(_double.of_integers(self.first, _BITS), self.n * 1.0)
        return np.ldexp(high + low, -self.shift)

    def pool(self):
        """The sums over all groups as one."""
        second = self.second
        if self.kind == "squares":
            second = second.sum(axis=1, keepdims=True)
        n, first = self.n.sum(axis=0, keepdims=True), self.first.sum(axis=1, keepdims=True)
        return replace(self, n=n, first=first, second=second)

    def scatter(self):
        """Σ(x − mean)² by group and column, or Σ(x − mean)(x − mean)ᵀ about the groups' means."""
        total = _double.of_integers(self.second, _BITS)
        least = np.ldexp(total[0], -_RESOLVED)
        first = _double.of_integers(self.first, _BITS)
        for g, n in enumerate(self.n):
            ours = first[0][g], first[1][g]
            if not n.any():
                continue
            with np.errstate(invalid="ignore"):
                mean = _double.divide(ours, n * 1.0)
            if self.kind == "squares":
                row = _double.subtract((total[0][g], total[1][g]), _double.multiply(ours, mean))
                total[0][g], total[1][g] = row
            else:
                column = ours[0][:, None], ours[1][:, None]
                total = _double.subtract(total, _double.multiply(column, mean))
        shift = 2 * self.shift if self.kind == "squares" else self.shift[:, None] + self.shift
        total = total[0] + total[1]
        spreads = total > least
        if self.kind == "products":
            spreads = np.outer(spreads.diagonal(), spreads.diagonal())
            total = (total + total.T) / 2
        return np.ldexp(np.where(spreads, total, 0.0), -shift)

    def is_coarse(self):
        """Whether rounding to the columns' steps may be felt: values far larger have gone, say."""
        pooled = self.pool()
        diagonal = pooled.second
        if self.kind is None:
            size = np.abs(pooled.totals()[0])
        else:
            if self.kind == "products":
                diagonal = np.stack([level.diagonal() for level in pooled.second])[:, None]
            high = _double.of_integers(diagonal, _BITS)[0][0]
            size = np.ldexp(np.sqrt(np.maximum(high, 0) / np.maximum(pooled.n[0], 1)), -self.shift)
        felt = np.ldexp(1.0, -self.shift) > _FINE * size
        return bool((self.rounded & felt & (pooled.n[0] > 0)).any())


def _shift(X):
    """Powers of 2 by which columns become numbers below 2^54 in magnitude."""
    if sparse.issparse(X):
        most = np.zeros(X.shape[1])
        np.maximum.at(most, X.indices, np.nan_to_num(np.abs(X.data), nan=0.0))
    else:
        most = np.zeros(X.shape[1])
        for rows in _pieces(X):
            np.fmax(most, np.fmax.reduce(np.abs(X[rows]), axis=0), out=most)
    return 3 * _BITS - np.frexp(np.nan_to_num(most, nan=0.0))[1]


def _pieces(X):
    step = max(1, min(_ROWS, _CELLS // max(1, X.shape[1])))
    step = _ROWS if sparse.issparse(X) else step
    return [slice(i, i + step) for i in range(0, X.shape[0], step)]


def _split_dense(X, shift):
    """Three parts of the rows, which values are missing, and where fractions were rounded off."""
    X, absent = np.ldexp(X.astype(np.float64), shift), None
    if np.isnan(X).any():
        absent = np.isnan(X)
        X[absent] = 0.0
        absent = absent.astype(np.float64)
    whole = np.rint(X)
    return _parts(whole), absent, (whole != X).any(axis=0)


def _split_sparse(X, shift):
    values, absent = np.ldexp(X.data.astype(np.float64), shift[X.indices]), None
    if np.isnan(values).any():
        absent = np.isnan(values)
        values[absent] = 0.0
        absent = sparse.csr_array((absent * 1.0, X.indices, X.indptr), X.shape)
    whole = np.rint(values)
    rounded = np.zeros(X.shape[1], bool)
    rounded[X.indices[whole != values]] = True
    parts = [sparse.csr_array((part, X.indices, X.indptr), X.shape) for part in _parts(whole)]
    return parts, absent, rounded


def _parts(whole):
    first = np.rint(whole * 2.0 ** (-2 * _BITS))
    rest = whole - first * 2.0 ** (2 * _BITS)
    second = np.rint(rest * 2.0**-_BITS)
    return [first, second, rest - second * 2.0**_BITS]


def _indicator(groups, n_groups):
    n = len(groups)
    return sparse.csr_array((np.ones(n), (groups, np.arange(n))), (n_groups, n))


def _dense(values):
    values = values.toarray() if sparse.issparse(values) else np.asarray(values)
    return values.astype(np.int64)
