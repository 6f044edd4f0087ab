"""What operators may send over HTTP to have something foretold."""

from typing import Annotated

from pydantic import Field

from coordinator.forecast_requests import WINDOW_S, WINDOW_S_MAX
from coordinator.io.api_models import Body, Bytes, Count, Name, PolicyName, Rate, Seconds
from protocol.travel import Compress, Marking

Window = Annotated[Seconds, Field(gt=0, le=WINDOW_S_MAX)]


class EstimateBody(Body):
    to: Name | None = Field(
        None, description="the name of another node that is Up; without it placement chooses"
    )
    policy: PolicyName | None = Field(
        None, description="the name of a policy, such as 2008r2; without it all are looked at"
    )
    window: Window = Field(
        WINDOW_S, description="how long the guest is watched at most, such as 1s or 10s"
    )
    streams: Count | None = Field(None, description="how many connections carry pages, 1 to 16")
    compress: Compress | None = Field(None, description="off, auto or zstd")
    level: Count | None = Field(None, description="of zstd, 1 to 19")
    delta: Bytes | None = Field(None, description="memory for what was sent, such as 64MiB")
    kept: bool | None = Field(None, description="true or false")
    checksum: bool | None = Field(None, description="true or false")
    marking: Marking | None = Field(None, description="round, sent or peek")
    rate: Rate | None = Field(None, description="such as 118MB/s; 0 for no limit")
    downtime: Seconds | None = Field(None, description="the pause to aim at, such as 20ms")
