"""Runs on captions: pictures, films and stories about pictures, described and judged."""
