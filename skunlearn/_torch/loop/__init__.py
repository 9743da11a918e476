"""Training: the loop, the loss, the rates and what happens around a step."""
