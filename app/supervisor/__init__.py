"""Keeps processes alive: process 1 of a container, and of `make run`."""
