"""Schedules: cron expressions, intervals, RFC 5545 recurrence rules, and when they fire."""
