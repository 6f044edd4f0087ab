"""What a simulated guest writes follows from its rate: it goes over its pages, again and again."""

from agent import sampling
from agent.actions import SampleWrites
from agent.forecast.prediction import Sample
from lab.simulation.guest import SimWorker
from protocol.messages import Spread, Window, WritesForecast

WINDOWS_S = (0.01, 0.1, 1.0, 10.0)


def sampled(action: SampleWrites, worker: SimWorker | None) -> WritesForecast:
    """As if it had been watched."""
    if worker is None:
        return sampling.refused(action.order, f"{action.order.vm} is gone from this node.")
    pages = len(worker.pages)
    seen = [min(float(pages), worker.rate * seconds) for seconds in WINDOWS_S]
    spreads = [Spread(written, written, written) for written in seen]
    windows = tuple(map(Window, WINDOWS_S, spreads))
    return sampling.answer(action, Sample(windows, pages), 0.0)
