"""Colours and axes that all pictures share."""

# Okabe and Ito's palette, told apart with any colour vision; line styles and markers differ too.
FORGET, UNSEEN, RETAIN = "#D55E00", "#E69F00", "#0072B2"
RETRAINED, OTHER = "#009E73", "#000000"
SERIES = ("#0072B2", "#D55E00", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
STYLES = ("-", "--", "-.", ":")


def axes_of(ax):
    """`ax`, or axes of a new figure of pyplot, and their figure."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    return ax, ax.figure


def calm(*axes):
    """Few lines, behind the data."""
    for ax in axes:
        ax.grid(color="0.92")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
