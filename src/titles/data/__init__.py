"""Titles as arrays: ragged word ids on disk, and the batches made from them."""
