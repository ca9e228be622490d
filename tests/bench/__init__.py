"""`make bench`: how fast the console copies, beside skopeo, and what it asks of the registries. docs/performance.md."""
