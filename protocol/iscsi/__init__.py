"""The words of iSCSI (RFC 7143) as both ends need them at error recovery level 0, without I/O."""
