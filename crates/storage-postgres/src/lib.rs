//! PostgreSQL behind the storage ports: the shared truth of any number of nodes.
