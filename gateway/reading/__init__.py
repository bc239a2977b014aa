"""A message for human eyes: its octets as safe text, whatever a stranger wrote into them.

mime.py finds the parts, parameters.py what their fields say of them, words.py turns octets and HTML
into text. All of it is pure, linear in the octets and bounded in parts, depth and decoded size;
nothing that a message names is ever fetched.
"""

from gateway.reading.mime import Attachment, Readable, read

__all__ = ["Attachment", "Readable", "read"]
