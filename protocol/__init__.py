"""What the programs say to each other. The conversation, from a node's first word to a moved guest:

```text
agent 1    -> coordinator  Hello        I am node1 in this life; this is the newest I have seen
           <- coordinator  Welcome      I lead in term 4, and these are our clocks
           <- coordinator  ProposeView  view 17: these members, these votes
           -> coordinator  ViewAcked    my promises to all others have run out; I live by 17
agent 1    -> agent 2      Heartbeat    seq 981, and I hear you          (UDP, on every network)
           <- agent 2      ...Answer    seq 981: I support you for 5 s   (enough of these: a lease)
coordinator -> agents      Ping         are you still mine?
           <- agents       Pong         yes; my lease, routes and VMs are these
coordinator -> agent 2     Reserve      S3: memory for sql01, attempt 7, epoch 3
           <- agent 2      Reserved     there is room, and I listen
coordinator -> agent 1     Migrate      S4: to agent 2, over these networks, with this token
agent 1    -> agent 2      Greeting     on each connection; then pages, RoundEnded, round by round
agent 1    -> agent 2      DeviceState  S9: the rest, and what the memory must be now
           <- agent 2      ...Received  it is; then OpenStorage and StorageOpened (S10)
agent 1    -> coordinator  Consented    I shall not decide alone any more
coordinator -> both        Decided      S11: committed; sql01 is agent 2's, epoch 4
           <- both         Ended        carried out, cleaned up, and how long each part took
```

names.py is the vocabulary, messages/ every message in full, errors.py what can go wrong and how
sure one may be of it; shapes.py, codec.py and framing.py turn messages to bytes; io/link.py is TCP.
Whatever speaks with authority names its term, incarnation, epoch or attempt; the stale is refused.
"""
