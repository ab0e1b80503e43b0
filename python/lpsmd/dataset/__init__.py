"""Labelled frames from anywhere: checked, joined, split, and looked at, before a model is trained on them."""

from lpsmd.dataset.errors import DatasetError, SplitError
from lpsmd.dataset.folder import Dataset, read_dataset
from lpsmd.dataset.importing import Imported, import_dataset
from lpsmd.dataset.splitting import Split, split_dataset, split_frames
from lpsmd.dataset.summary import Summary, summarize

__all__ = [
    "Dataset",
    "DatasetError",
    "Imported",
    "Split",
    "SplitError",
    "Summary",
    "import_dataset",
    "read_dataset",
    "split_dataset",
    "split_frames",
    "summarize",
]
