"""One explicit training loop under Lightning Fabric, and what it needs."""
