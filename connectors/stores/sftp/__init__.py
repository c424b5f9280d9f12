"""Files on SFTP servers: the connector `sftp`."""
