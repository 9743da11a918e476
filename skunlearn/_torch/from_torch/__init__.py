"""The objects of a plain PyTorch training as parameters of a skorch net."""
