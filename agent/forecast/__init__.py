"""What a migration of a guest would cost, from what the guest was seen to write. Nothing here acts.

curve.py knows how many pages a guest writes in a time, passes.py plays the passes of pre-copy with
the very policies that lead real ones, prediction.py makes figures with bounds of it.
"""
