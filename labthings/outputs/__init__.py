"""Outputs that are more than JSON: files and other binary data, and streams of images."""

from labthings.outputs.mjpeg_stream import MJPEGStream, MJPEGStreamDescriptor, RingbufferEntry

__all__ = ["MJPEGStream", "MJPEGStreamDescriptor", "RingbufferEntry"]
