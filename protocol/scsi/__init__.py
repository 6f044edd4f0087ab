"""SCSI commands, their parameter data and sense as values: bytes to dataclasses and back."""
