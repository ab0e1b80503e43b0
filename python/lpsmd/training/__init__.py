"""Training of production models: `lpsmd train`.

The trainers (nequip, mace-torch, deepmd-kit) and the teacher (sevenn) run as programs of their own, each in
its own environment, because their pins collide; nothing here imports them.
"""
