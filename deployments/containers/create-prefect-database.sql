CREATE DATABASE headrace_prefect;
