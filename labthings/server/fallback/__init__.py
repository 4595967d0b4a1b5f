"""What is served in place of a server that cannot start: a page that says why."""

from __future__ import annotations

from labthings.server.fallback.app import FallbackApp
from labthings.server.fallback.failure import Failure
from labthings.server.fallback.serving import serve_fallback

__all__ = ["Failure", "FallbackApp", "serve_fallback"]
