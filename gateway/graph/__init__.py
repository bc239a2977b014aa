"""The graph of targets as a picture: what resolve() followed, as a tree, as boxes with places.

Pure: a decision and its facts in, boxes out. Templates draw them.
"""

from gateway.graph.layout import Box, Edge, Picture, place
from gateway.graph.tree import Node, Reference, State, grow

__all__ = ["Box", "Edge", "Node", "Picture", "Reference", "State", "grow", "place"]
