"""The equations as pure functions of tensors: addressing, memory, attention, initial weights."""
