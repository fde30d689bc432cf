"""Validation: the model against closed forms, request-level simulation and measured data; and its speed."""
