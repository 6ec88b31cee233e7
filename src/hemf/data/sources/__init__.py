"""Where images come from: importing this package registers every source."""

from hemf.data.sources import covid_ct, csv, folder, isic2018, kvasir
from hemf.data.sources.registry import SOURCES, Source, register

__all__ = ["SOURCES", "Source", "covid_ct", "csv", "folder", "isic2018", "kvasir", "register"]
