"""The planner inside the environment: it prices operations and offers the best ones."""
