"""Gradients of single rows, and what is made of them."""
