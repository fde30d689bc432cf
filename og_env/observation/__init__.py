"""The observation: its fields, how a state is encoded in them, and the buffers that are handed out."""
