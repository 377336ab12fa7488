"""Giving each object its Go type, and names for people."""
