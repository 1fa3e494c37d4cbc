"""Reading models from a data warehouse. Nothing here writes."""

from connector.warehouse.contact_map import ContactMap, lookup_columns
from connector.warehouse.digests import DIGEST
from connector.warehouse.opening import Warehouse
from connector.warehouse.reader import Column, Reader, Scan

__all__ = ["DIGEST", "Column", "ContactMap", "Reader", "Scan", "Warehouse", "lookup_columns"]
