"""Scripted models, which reproduce rare behaviour of real models on demand."""
