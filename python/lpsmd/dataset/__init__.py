"""Labelled frames from anywhere, checked before a model is trained on them."""
