"""Stores of files on other machines: object stores, SFTP servers, web servers."""
