"""Files on this machine: the connectors `local_fs` and `csv_upload`."""
