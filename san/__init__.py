"""The shared disks: LUNs behind a real iSCSI target with persistent reservations."""
