"""The seed catalog: dated data files beside this module, and how they are read into domain values."""

from infra.catalog.loading import load
from infra.catalog.reading import CatalogError

__all__ = ["CatalogError", "load"]
