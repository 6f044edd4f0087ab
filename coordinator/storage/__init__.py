"""Shared storage: clustered disks, who may write to them, who owns them, the volumes on them."""
