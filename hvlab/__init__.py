"""A failover cluster with live migration that you can run, break and measure on one machine.

Drive it with the command `hvlab` or over HTTP; this package so far names only its version.
"""

__version__ = "0.1.0"
