"""A run in the formats of others: tables (CSV, Parquet) and images (OME-Zarr)."""

from instrument.campaign.export.run import Format, export_run

__all__ = ["Format", "export_run"]
