"""Networks and workloads that come with the package, and where their data is from."""
