"""What all parts are built from: memories, queues, ports, address generators."""
