"""Recall of what was read: by place, by content, in noise, in games and programs."""
