"""Concern: who may administer the box."""
