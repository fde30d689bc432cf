"""Compiler craft: how kernels are compiled, and how they see arrays. Nobody else has to read this."""
