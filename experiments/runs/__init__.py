"""A run on disk: its folder, what it holds, and how a tracker hears of it."""
