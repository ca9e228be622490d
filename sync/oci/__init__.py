"""The wire: OCI distribution and image specifications over HTTP. Imports no Django."""
