"""The memory inspector: what trained models did step by step, on one page."""
