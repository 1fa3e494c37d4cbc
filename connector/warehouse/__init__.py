"""Reading models from a data warehouse. Nothing here writes."""

from connector.warehouse.models import select_of
from connector.warehouse.reader import Column, Reader, Scan, Warehouse

__all__ = ["Column", "Reader", "Scan", "Warehouse", "select_of"]
