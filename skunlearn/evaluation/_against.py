"""How far a model lies from the retrained one."""


def against(outputs, figures, attacked, name, first):
    return {}
