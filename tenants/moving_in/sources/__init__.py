"""The products that can be moved in from: each a list of tables and a function to an Inventory."""

from tenants.moving_in.sources.source import PRODUCTS, Product, collect

__all__ = ["PRODUCTS", "Product", "collect"]
