"""Agents: async generator functions of the operator, as models."""
