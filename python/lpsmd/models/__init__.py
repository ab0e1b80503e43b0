"""Model files: what they promise, how they are made, how they are evaluated.

`contract` holds the passport and the file format and needs neither torch nor a trainer to be
imported; the exporters (`nequip`, `mace`, `deepmd`) need torch and their own package, and run in
the trainer's environment; `evaluate` needs torch and the compiled `lpsmd._core`. `accuracy`
compares predictions with labels and needs numpy, scipy and ASE alone; `labelled` holds model files
against labelled frames.
"""
