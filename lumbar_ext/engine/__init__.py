"""Many items through one task: processes that are ended when they hang, eat or die, on one machine or on a Dask cluster."""
