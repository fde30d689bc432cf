"""The commands of `og-env`, a module each."""
