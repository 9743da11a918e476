"""The main job on scikit-learn's bundled digits: ``python -m skunlearn.demo``.

A small net learns the ten digits, all eights of its training set are to be forgotten, and two
unlearners are set beside a net that was retrained without them, in full and for as long as they
took. Five rows, verdicts, what the unlearners warn of, and one picture.
"""

import argparse
import textwrap
import warnings

from matplotlib.figure import Figure
from sklearn.model_selection import train_test_split

from skunlearn.auto import AutoUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import compare
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.finetuning import FineTuneUnlearner
from skunlearn.nets import digits_classifier
from skunlearn.plotting import UnlearningReportDisplay

_ROWS = {
    "forget train, %": "right on the forgotten digits, %",
    "forget loss": "loss on the forgotten digits",
    "retained test, %": "right on unseen digits that stay, %",
    "AUC difference": "attacks, largest difference to retrained",
    "of retraining": "time, share of retraining",
}


def main(arguments=None):
    """Run the demo.

    Parameters
    ----------
    arguments : list of str, default=None
        Command line; None takes the process's own.

    Returns
    -------
    report : Report
        From `skunlearn.evaluation.compare`.

    Examples
    --------
    >>> from skunlearn.demo import main
    >>> report = main(["--output", "demo.png"])  # doctest: +SKIP
    """
    parser = argparse.ArgumentParser(prog="skunlearn.demo", description=__doc__)
    parser.add_argument("--output", default="demo.png", help="picture to write (%(default)s)")
    parser.add_argument("--digit", type=int, default=8, choices=range(10), help="digit to forget")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    X, y = load_digits_images(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
    net = digits_classifier()
    unlearners = {
        "fine-tuned": FineTuneUnlearner(net, lr=0.15, max_epochs=10),
        "automatic": AutoUnlearner(net),
    }
    print(f"{len(y)} training digits; to forget: the {sum(y == options.digit)} {options.digit}s")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotForgottenWarning)
        # Forgetting a whole class is what we are here for.
        warnings.simplefilter("ignore", ClassForgottenWarning)
        report = compare(
            unlearners,
            X,
            y,
            forget=y == options.digit,
            X_test=X_test,
            y_test=y_test,
            random_state=options.seed,
            verbose=1,
        )
    print(f"\n{_five_rows(report)}\n")
    said = [f"{name}: {verdict}." for name, verdict in report.verdicts.items()]
    for warning in caught:
        if issubclass(warning.category, NotForgottenWarning):
            said.append(f"Warning: {warning.message}")
        else:
            warnings.warn(warning.message, stacklevel=2)
    for text in said:
        print(textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False))
    title = f"Forgetting all {options.digit}s of the digits"
    display = UnlearningReportDisplay.from_report(report, figure=Figure(), title=title)
    display.figure_.savefig(options.output, dpi=150)
    print(f"\nPicture: {options.output}; main() returns the whole report.")
    return report


def _five_rows(report):
    """What a newcomer needs, a column for each model."""
    table = report.table().loc[list(_ROWS)].drop(columns="better")
    # Intervals stand in the picture.
    table = table.map(lambda text: text.partition(" ")[0])
    floor = report.roles["floor"]  # whose whole name would make lines too long
    table = table.rename(columns={floor: floor.removeprefix("retrained ")})
    return table.set_axis(_ROWS.values()).to_string()


if __name__ == "__main__":
    main()
