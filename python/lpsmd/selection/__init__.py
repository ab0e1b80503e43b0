"""Frames worth a label: dynamics with the present models, what their committee does not know, and no two alike.

`sampling` runs a study in cells of several volumes and disorders, `committee` says how far the models of a functional
are apart, `diversity` picks frames that differ, `drawing` picks evenly for a test, `selecting` puts them together.
"""
