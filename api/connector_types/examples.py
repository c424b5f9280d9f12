"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "ConnectorTypes": {
        "data": [
            {
                "type": "postgresql",
                "title": "PostgreSQL",
                "category": "database",
                "description": "Tables of a PostgreSQL database.",
                "status": "ready",
                "source": "postgresql",
                "testable": True,
                "authMethods": ["basic"],
                "configSchema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "properties": {
                        "host": {
                            "maxLength": 2000,
                            "minLength": 1,
                            "title": "Host",
                            "type": "string",
                            "x-address": True,
                        },
                        "port": {"maximum": 65535, "minimum": 1, "title": "Port", "type": "integer", "x-address": True},
                        "database": {
                            "maxLength": 2000,
                            "minLength": 1,
                            "title": "Database",
                            "type": "string",
                            "x-address": True,
                        },
                        "sslmode": {
                            "default": "prefer",
                            "enum": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
                            "title": "Sslmode",
                            "type": "string",
                            "x-address": True,
                        },
                    },
                    "additionalProperties": True,
                    "required": ["host", "port", "database"],
                    "title": "PostgreSQL",
                    "type": "object",
                },
                "authConfigSchema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "properties": {
                        "username": {"maxLength": 2000, "minLength": 1, "title": "Username", "type": "string"},
                        "password": {
                            "default": "",
                            "format": "password",
                            "title": "Password",
                            "type": "string",
                            "writeOnly": True,
                        },
                    },
                    "additionalProperties": False,
                    "required": ["username"],
                    "title": "Login",
                    "type": "object",
                },
            }
        ]
    },
}
